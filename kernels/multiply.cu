// Products of two tensors, of which the second may have one number per image and channel ("gate"), as in squeeze and
// excitation; and the gradient of such a gate, a sum over the pixels of each channel.
#include "stream.cuh"

// A tensor [images, channels, pixels] in NCHW, or [images, pixels, channels] in NHWC. Tensors of equal shapes are those of one pixel.
struct GateShape {
  Divisor channels, pixels, image;  // `image`: the elements of one
  u32 nhwc;
  __device__ __forceinline__ u32 gate_of(u32 i) const {
    return nhwc ? image.quotient(i) * channels.by + channels.remainder(i) : pixels.quotient(i);
  }
};

// y = a * b, element by element, or with gates of which 16 bytes belong to as many neighbours.
template <class T>
struct Product {
  static const u32 WIDTH = Width<T>::value;
  struct Values {
    Words a, b, y;
  };
  const T *a, *b;
  T* y;
  u32 accumulate;
  GateShape s;
  __device__ __forceinline__ Values load(u32 i) const {
    Values v;
    v.a = words(a, i);
    v.b = words(b, s.pixels.by == 1u ? i : s.gate_of(i));
    if (accumulate) v.y = words(y, i);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    float factors[WIDTH];
    widen(v.b, a, factors);
    write(i, v, factors);
  }
  __device__ __forceinline__ void write(u32 i, const Values& v, const float (&factors)[WIDTH]) const {
    float product[WIDTH], old[WIDTH];
    widen(v.a, a, product);
#pragma unroll
    for (u32 k = 0; k < WIDTH; ++k) product[k] *= factors[k];
    if (accumulate) {
      widen(v.y, a, old);
      for (u32 k = 0; k < WIDTH; ++k) product[k] += old[k];
    }
    put(y, i, narrow(product, a));
  }
  __device__ __forceinline__ void one(u32 i) const {
    store_or_add(y, i, ::load(a, i) * ::load(b, s.gate_of(i)), accumulate);
  }
};

// The same where 16 bytes lie in the planes of two gates at most.
template <class T>
struct PlaneProduct : Product<T> {
  static const u32 WIDTH = Width<T>::value;
  typedef typename Product<T>::Values Values;
  u32 last;  // gate
  __device__ __forceinline__ PlaneProduct(const Product<T>& base, u32 last) : Product<T>(base), last(last) {}
  __device__ __forceinline__ Values load(u32 i) const {
    Values v;
    v.a = words(this->a, i);
    if (this->accumulate) v.y = words(this->y, i);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    u32 plane = this->s.pixels.quotient(i), of_first = (plane + 1u) * this->s.pixels.by - i;
    float first = ::load(this->b, plane), second = ::load(this->b, min(plane + 1u, last)), factors[WIDTH];
#pragma unroll
    for (u32 k = 0; k < WIDTH; ++k) factors[k] = k < of_first ? first : second;
    this->write(i, v, factors);
  }
};

// y = a * b
template <class T>
__device__ __forceinline__ void multiply(const T* a, const T* b, T* y, const GateShape& s, u32 accumulate, u32 n) {
  const u32 WIDTH = Width<T>::value;
  Product<T> op = {a, b, y, accumulate, s};
  if (s.pixels.by > 1u && !s.nhwc)
    stream<2>(PlaneProduct<T>(op, s.pixels.quotient(n - 1u)), n, aligned(a, y) && s.pixels.by >= WIDTH);
  else
    stream<2>(op, n, aligned(a, b, y) && (s.pixels.by == 1u || s.channels.by % WIDTH == 0u));
}

// A sum where it is whole, else one slice's.
template <class T>
__device__ __forceinline__ void put_sum(float sum, float* partials, T* dgate, u32 gate, u32 gates, u32 accumulate) {
  if (gridDim.y == 1u)
    store_or_add(dgate, gate, sum, accumulate);
  else
    partials[blockIdx.y * gates + gate] = sum;
}

// dgate = the sums of dy * x over pixels, in gridDim.y slices, with 32 x 8 threads. NHWC: a lane per channel, the rows share the
// pixels; ceil(channels / 32) blocks per image. NCHW: a block per gate, whose threads share the pixels; with few pixels a warp per
// gate, and 8 gates in a block. Additions are in one order always.
const u32 ROWS = 8;
template <class T>
__device__ __forceinline__ void gate_gradient(const T* dy, const T* x, float* partials, T* dgate, const GateShape& s,
                                              u32 gates, u32 warps, u32 accumulate) {
  __shared__ float shared[ROWS][32];
  u32 lane = threadIdx.x, row = threadIdx.y, slice = blockIdx.y, slices = gridDim.y;
  float sum = 0.0f;
  if (s.nhwc) {
    u32 blocks = (s.channels.by + 31u) / 32u, image = blockIdx.x / blocks, c = blockIdx.x % blocks * 32u + lane;
    if (c < s.channels.by) {
#pragma unroll 4
      for (u32 p = slice * ROWS + row; p < s.pixels.by; p += slices * ROWS) {
        u32 i = (image * s.pixels.by + p) * s.channels.by + c;
        sum += load(dy, i) * load(x, i);
      }
    }
    shared[row][lane] = sum;
    __syncthreads();
    if (row != 0u || c >= s.channels.by) return;
    for (u32 r = 1; r < ROWS; ++r) sum += shared[r][lane];
    put_sum(sum, partials, dgate, image * s.channels.by + c, gates, accumulate);
    return;
  }
  u32 gate = warps ? blockIdx.x * ROWS + row : blockIdx.x;
  u32 first = warps ? lane : (slice * ROWS + row) * 32u + lane, step = warps ? 32u : slices * ROWS * 32u;
  if (gate < gates) {
#pragma unroll 4
    for (u32 p = first; p < s.pixels.by; p += step) {
      u32 i = gate * s.pixels.by + p;
      sum += load(dy, i) * load(x, i);
    }
  }
  for (int o = 16; o > 0; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
  if (!warps) {
    shared[row][lane] = sum;
    __syncthreads();
    if (row != 0u) return;
    for (u32 r = 1; r < ROWS; ++r) sum += shared[r][lane];
  }
  if (lane == 0u && gate < gates) put_sum(sum, partials, dgate, gate, gates, accumulate);
}

// The slices' sums added up.
template <class T>
__device__ __forceinline__ void gate_gradient_total(const float* partials, T* dgate, u32 slices, u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) {
    float sum = 0.0f;
    for (u32 slice = 0; slice < slices; ++slice) sum += partials[slice * n + i];
    store_or_add(dgate, i, sum, accumulate);
  }
}

#define MULTIPLY(SUFFIX, T)                                                                                             \
  KERNEL_FN multiply_##SUFFIX(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y,                      \
                              const GateShape shape, u32 accumulate, u32 n) {                                           \
    multiply(a, b, y, shape, accumulate, n);                                                                            \
  }                                                                                                                     \
  KERNEL_FN gate_gradient_##SUFFIX(const T* __restrict__ dy, const T* __restrict__ x, float* __restrict__ partials,     \
                                   T* __restrict__ dgate, const GateShape shape, u32 gates, u32 warps,                  \
                                   u32 accumulate) {                                                                    \
    gate_gradient(dy, x, partials, dgate, shape, gates, warps, accumulate);                                             \
  }                                                                                                                     \
  KERNEL_FN gate_gradient_total_##SUFFIX(const float* __restrict__ partials, T* __restrict__ dgate, u32 slices,         \
                                         u32 accumulate, u32 n) {                                                       \
    gate_gradient_total(partials, dgate, slices, accumulate, n);                                                        \
  }
FOR_EACH_TYPE(MULTIPLY)
