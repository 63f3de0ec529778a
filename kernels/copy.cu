// Moving and adding tensors: sums of branches, gradients of branching outputs, the parts of a concatenation, and zeros
// beside channels.
#include "stream.cuh"

struct Sum2 {
  __device__ __forceinline__ float operator()(float a, float b) const { return a + b; }
};
struct Same {
  __device__ __forceinline__ float operator()(float x) const { return x; }
};

// y = a + b
template <class T>
__device__ __forceinline__ void add(const T* a, const T* b, T* y, u32 n) {
  Binary<T, Sum2> op = {a, b, y, 0u, {}};
  stream<2>(op, n, aligned(a, b, y));
}

// sum += x
template <class T>
__device__ __forceinline__ void accumulate(const T* x, T* sum, u32 n) {
  Unary<T, Same> op = {x, sum, 1u, {}};
  stream<2>(op, n, aligned(x, sum));
}

// Rows between tensors with different pitches. 16 bytes lie within one row where they divide width and pitches.
template <class T>
struct CopyRows {
  static const u32 WIDTH = Width<T>::value;
  typedef typename Unary<T, Same>::Values Values;
  const T* from;
  T* to;
  Divisor width;
  u32 from_pitch, to_pitch, accumulate;
  __device__ __forceinline__ u32 place(u32 i, u32 pitch) const {
    u32 row = width.quotient(i);
    return i + row * (pitch - width.by);
  }
  __device__ __forceinline__ Values load(u32 i) const {
    Values v;
    v.x = words(from, place(i, from_pitch));
    if (accumulate) v.y = words(to, place(i, to_pitch));
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    u32 at = place(i, to_pitch);
    if (!accumulate) return put(to, at, v.x);
    float a[WIDTH], old[WIDTH];
    widen(v.x, from, a);
    widen(v.y, from, old);
    for (u32 k = 0; k < WIDTH; ++k) a[k] += old[k];
    put(to, at, narrow(a, from));
  }
  __device__ __forceinline__ void one(u32 i) const {
    store_or_add(to, place(i, to_pitch), ::load(from, place(i, from_pitch)), accumulate);
  }
};

// Copies (or adds) `rows` rows of `width` elements between tensors whose rows lie from_pitch and to_pitch elements
// apart. A part of a channel concatenation is one row per image in NCHW, one row per pixel in NHWC.
template <class T>
__device__ __forceinline__ void copy_rows(const T* from, T* to, u32 rows, const Divisor& width, u32 from_pitch,
                                          u32 to_pitch, u32 accumulate) {
  CopyRows<T> op = {from, to, width, from_pitch, to_pitch, accumulate};
  bool whole = aligned(from, to) && (width.by | from_pitch | to_pitch) % CopyRows<T>::WIDTH == 0u;
  stream<2>(op, rows * width.by, whole);
}

// Rows between zeros: 16 bytes are all of one or all of the other where they divide widths and places.
template <class T>
struct PadRows {
  static const u32 WIDTH = Width<T>::value;
  typedef Words Values;
  const T* from;
  T* to;
  u32 width, before;
  Divisor pitch;
  __device__ __forceinline__ bool inside(u32 i, u32* at) const {
    u32 row = pitch.quotient(i), column = i - row * pitch.by - before;  // what lies before a row wraps around
    *at = row * width + column;
    return column < width;
  }
  __device__ __forceinline__ Values load(u32 i) const {
    Values v = {{0u, 0u, 0u, 0u}};
    u32 at;
    if (inside(i, &at)) v = words(from, at);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const { put(to, i, v); }
  __device__ __forceinline__ void one(u32 i) const {
    u32 at;
    store(to, i, inside(i, &at) ? ::load(from, at) : 0.0f);
  }
};

// Writes `rows` rows of `pitch` elements: `before` zeros, a row of `width` elements of the other tensor, and zeros.
template <class T>
__device__ __forceinline__ void pad_rows(const T* from, T* to, u32 rows, u32 width, const Divisor& pitch, u32 before) {
  PadRows<T> op = {from, to, width, before, pitch};
  stream<2>(op, rows * pitch.by, aligned(from, to) && (width | pitch.by | before) % PadRows<T>::WIDTH == 0u);
}

#define COPY(SUFFIX, T)                                                                                             \
  KERNEL_FN add_##SUFFIX(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y, u32 n) { add(a, b, y, n); } \
  KERNEL_FN accumulate_##SUFFIX(const T* __restrict__ x, T* __restrict__ sum, u32 n) { accumulate(x, sum, n); }     \
  KERNEL_FN copy_rows_##SUFFIX(const T* __restrict__ from, T* __restrict__ to, u32 rows, const Divisor width, u32 from_pitch, \
                               u32 to_pitch, u32 accumulate) {                                                      \
    copy_rows(from, to, rows, width, from_pitch, to_pitch, accumulate);                                             \
  }                                                                                                                 \
  KERNEL_FN pad_rows_##SUFFIX(const T* __restrict__ from, T* __restrict__ to, u32 rows, u32 width, const Divisor pitch, \
                              u32 before) {                                                                         \
    pad_rows(from, to, rows, width, pitch, before);                                                                 \
  }
FOR_EACH_TYPE(COPY)
