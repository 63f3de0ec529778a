// Streams tensors through the multiprocessors at the speed of memory: 16 bytes per load and store, several of them on their way at
// once. What 16 bytes do not divide, and tensors that do not begin at a multiple of 16 bytes, go element by element.
#pragma once
#include "common.cuh"

// Sixteen bytes as they lie in memory.
struct __align__(16) Words {
  u32 w[4];
};

// Elements in 16 bytes.
template <class T>
struct Width {
  static const u32 value = 16u / sizeof(T);
};

template <class T>
__device__ __forceinline__ Words words(const T* p, u32 i) {
  return *reinterpret_cast<const Words*>(p + i);
}
template <class T>
__device__ __forceinline__ void put(T* p, u32 i, const Words& v) {
  *reinterpret_cast<Words*>(p + i) = v;
}

// Tells if 16 bytes can be moved at once from here on.
__device__ __forceinline__ bool aligned(const void* p) { return (reinterpret_cast<u64>(p) & 15u) == 0u; }
__device__ __forceinline__ bool aligned(const void* p, const void* q) { return aligned(p) && aligned(q); }
__device__ __forceinline__ bool aligned(const void* p, const void* q, const void* r) { return aligned(p, q) && aligned(r); }

// Words to f32 and back; rounded as `store` rounds.
__device__ __forceinline__ void widen(const Words& v, const float*, float (&to)[4]) {
  for (u32 k = 0; k < 4u; ++k) to[k] = __uint_as_float(v.w[k]);
}
__device__ __forceinline__ void widen(const Words& v, const f16*, float (&to)[8]) {
#pragma unroll
  for (u32 k = 0; k < 4u; ++k) {
    f16 low = {(unsigned short)v.w[k]}, high = {(unsigned short)(v.w[k] >> 16)};
    to[2 * k] = load(&low, 0u);
    to[2 * k + 1] = load(&high, 0u);
  }
}
__device__ __forceinline__ void widen(const Words& v, const bf16*, float (&to)[8]) {
#pragma unroll
  for (u32 k = 0; k < 4u; ++k) {
    to[2 * k] = __uint_as_float(v.w[k] << 16);
    to[2 * k + 1] = __uint_as_float(v.w[k] & 0xffff0000u);
  }
}
__device__ __forceinline__ Words narrow(const float (&from)[4], const float*) {
  Words v;
#pragma unroll
  for (u32 k = 0; k < 4u; ++k) v.w[k] = __float_as_uint(from[k]);
  return v;
}
template <class T>
__device__ __forceinline__ Words narrow(const float (&from)[8], const T*) {
  Words v;
#pragma unroll
  for (u32 k = 0; k < 4u; ++k) {
    T low, high;
    store(&low, 0u, from[2 * k]);
    store(&high, 0u, from[2 * k + 1]);
    v.w[k] = (u32)low.bits | (u32)high.bits << 16;
  }
  return v;
}

// The threads of a launch over one axis.
__device__ __forceinline__ u32 thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ u32 thread_count() { return gridDim.x * blockDim.x; }

// Does an operation on the elements from `first` on one by one.
template <class Op>
__device__ __forceinline__ void singly(const Op& op, u32 first, u32 n) {
#pragma unroll 1
  for (u32 i = first + thread_index(); i < n; i += thread_count()) op.one(i);
}

// Does an operation on n elements. It has WIDTH, the elements that it takes at once; Values, what it reads for them;
// load(i), which reads; finish(i, values), which computes and writes; and one(i) for a single element. What AHEAD times as many need is
// on its way before the first is waited for: more than one where that is little code, since many threads keep memory busy too.
// `whole`: all its tensors are aligned. The first `threads` threads take vectors.
template <u32 AHEAD, class Op>
__device__ __forceinline__ void stream(const Op& op, u32 n, bool whole, u32 threads) {
  u32 vectors = whole ? n / Op::WIDTH : 0u;
  if (thread_index() < threads) {
#pragma unroll 1
    for (u32 v = thread_index(); v < vectors; v += AHEAD * threads) {
      typename Op::Values values[AHEAD];
#pragma unroll
      for (u32 k = 0; k < AHEAD; ++k)
        if (v + k * threads < vectors) values[k] = op.load((v + k * threads) * Op::WIDTH);
#pragma unroll
      for (u32 k = 0; k < AHEAD; ++k)
        if (v + k * threads < vectors) op.finish((v + k * threads) * Op::WIDTH, values[k]);
    }
  }
  singly(op, vectors * Op::WIDTH, n);
}
template <u32 AHEAD, class Op>
__device__ __forceinline__ void stream(const Op& op, u32 n, bool whole) {
  stream<AHEAD>(op, n, whole, thread_count());
}

// y = f(x), or y += f(x).
template <class T, class F>
struct Unary {
  static const u32 WIDTH = Width<T>::value;
  struct Values {
    Words x, y;
  };
  const T* x;
  T* y;
  u32 accumulate;
  F f;
  __device__ __forceinline__ Values load(u32 i) const {
    Values v;
    v.x = words(x, i);
    if (accumulate) v.y = words(y, i);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    float a[WIDTH], old[WIDTH];
    widen(v.x, x, a);
    for (u32 k = 0; k < WIDTH; ++k) a[k] = f(a[k]);
    if (accumulate) {
      widen(v.y, x, old);
      for (u32 k = 0; k < WIDTH; ++k) a[k] += old[k];
    }
    put(y, i, narrow(a, x));
  }
  __device__ __forceinline__ void one(u32 i) const { store_or_add(y, i, f(::load(x, i)), accumulate); }
};

// y = f(a, b), or y += f(a, b).
template <class T, class F>
struct Binary {
  static const u32 WIDTH = Width<T>::value;
  struct Values {
    Words a, b, y;
  };
  const T *a, *b;
  T* y;
  u32 accumulate;
  F f;
  __device__ __forceinline__ Values load(u32 i) const {
    Values v;
    v.a = words(a, i);
    v.b = words(b, i);
    if (accumulate) v.y = words(y, i);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    float p[WIDTH], q[WIDTH], old[WIDTH];
    widen(v.a, a, p);
    widen(v.b, a, q);
    for (u32 k = 0; k < WIDTH; ++k) p[k] = f(p[k], q[k]);
    if (accumulate) {
      widen(v.y, a, old);
      for (u32 k = 0; k < WIDTH; ++k) p[k] += old[k];
    }
    put(y, i, narrow(p, a));
  }
  __device__ __forceinline__ void one(u32 i) const { store_or_add(y, i, f(::load(a, i), ::load(b, i)), accumulate); }
};
