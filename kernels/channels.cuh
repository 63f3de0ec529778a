// Sums over everything but the channel: many blocks, coalesced in either layout, and always added in the same order, so that the
// result is deterministic. Each block adds up a slice of the tensor; where there are several slices, a second kernel adds up
// their sums, a matrix [slices, channels].
#pragma once
#include "common.cuh"

// A tensor as it lies in memory: NHWC is [N*H*W, C, 1], NCHW [N, C, H*W], and the input of a fully connected layer [N, C, 1].
struct Channels {
  u32 outer, channels, inner;
};

__device__ __forceinline__ u32 channel_of(const Channels& s, u32 i) {
  return (s.inner == 1u ? i : i / s.inner) % s.channels;
}

// Adds up this block's slice, with 32 x ROWS threads: of 32 channels, one per lane, where inner is 1, and of one channel where the
// lanes have neighbouring places of an image. gridDim.y is the number of slices. `terms` has begin(channel), add(index), and the
// array `sums` that they fill; true where that ends up whole.
const u32 ROWS = 8;
template <class Terms>
__device__ __forceinline__ bool add_up(const Channels& s, Terms& terms, u32* channel) {
  __shared__ float partial[Terms::COUNT][ROWS][32];
  bool wide = s.inner == 1u;
  u32 lane = threadIdx.x, c = wide ? blockIdx.x * 32u + lane : blockIdx.x, places = s.outer * s.inner;
  u32 first = blockIdx.y * ROWS + threadIdx.y, step = gridDim.y * ROWS;
  if (!wide) {
    first = first * 32u + lane;
    step *= 32u;
  }
  if (c < s.channels && first < places) {
    terms.begin(c);
    u32 pixel = first % s.inner, pixels = step % s.inner;
    u32 i = (first / s.inner * s.channels + c) * s.inner + pixel;
    u32 stride = step / s.inner * s.channels * s.inner + pixels, other_channels = (s.channels - 1u) * s.inner;
    u32 count = (places - first + step - 1u) / step;  // known beforehand, so that several loads are on their way at once
#pragma unroll 4
    for (u32 k = 0; k < count; ++k) {
      terms.add(i);
      i += stride;
      pixel += pixels;
      bool next_image = pixel >= s.inner;
      pixel -= next_image ? s.inner : 0u;
      i += next_image ? other_channels : 0u;
    }
  }
  for (u32 k = 0; k < Terms::COUNT; ++k) partial[k][threadIdx.y][lane] = terms.sums[k];
  __syncthreads();
  if (threadIdx.y != 0u) return false;
  for (u32 k = 0; k < Terms::COUNT; ++k) {
    for (u32 row = 1; row < ROWS; ++row) terms.sums[k] += partial[k][row][lane];
    if (!wide)
      for (int o = 16; o > 0; o >>= 1) terms.sums[k] += __shfl_xor_sync(0xffffffffu, terms.sums[k], o);
  }
  *channel = c;
  return wide ? c < s.channels : lane == 0u;
}

// The sums of COUNT arrays that lie `apart` elements from each other.
template <class T, u32 N>
struct Arrays {
  static const u32 COUNT = N;
  const T* from;
  u32 apart;
  float sums[N];
  __device__ __forceinline__ void begin(u32) {}
  __device__ __forceinline__ void add(u32 i) {
    for (u32 k = 0; k < N; ++k) sums[k] += load(from, k * apart + i);
  }
};
