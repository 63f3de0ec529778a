// Products of two tensors, of which the second may have one number per image and channel ("gate"), as in squeeze and
// excitation; and the gradient of such a gate, a sum over the pixels of each channel.
#include "common.cuh"

// A tensor [images, channels, pixels] in NCHW, or [images, pixels, channels] in NHWC. Tensors of equal shapes are those of one pixel.
struct GateShape {
  u32 channels, pixels, nhwc;
};

__device__ __forceinline__ u32 gate_of(const GateShape& s, u32 i) {
  return s.nhwc ? i / (s.channels * s.pixels) * s.channels + i % s.channels : i / s.pixels;
}

// y = a * b
template <class T>
__device__ __forceinline__ void multiply(const T* a, const T* b, T* y, const GateShape& s, u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) store_or_add(y, i, load(a, i) * load(b, gate_of(s, i)), accumulate);
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
    u32 blocks = (s.channels + 31u) / 32u, image = blockIdx.x / blocks, c = blockIdx.x % blocks * 32u + lane;
    if (c < s.channels) {
#pragma unroll 4
      for (u32 p = slice * ROWS + row; p < s.pixels; p += slices * ROWS) {
        u32 i = (image * s.pixels + p) * s.channels + c;
        sum += load(dy, i) * load(x, i);
      }
    }
    shared[row][lane] = sum;
    __syncthreads();
    if (row != 0u || c >= s.channels) return;
    for (u32 r = 1; r < ROWS; ++r) sum += shared[r][lane];
    put_sum(sum, partials, dgate, image * s.channels + c, gates, accumulate);
    return;
  }
  u32 gate = warps ? blockIdx.x * ROWS + row : blockIdx.x;
  u32 first = warps ? lane : (slice * ROWS + row) * 32u + lane, step = warps ? 32u : slices * ROWS * 32u;
  if (gate < gates) {
#pragma unroll 4
    for (u32 p = first; p < s.pixels; p += step) {
      u32 i = gate * s.pixels + p;
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
