// Slices and shuffles of channels: output channel k is channel from + k % groups * (channels / groups) + k / groups of the input.
#include "common.cuh"

struct PickShape {
  u32 from, channels, groups, total;
  u32 plane, nhwc;
};

// The channel of element i of a tensor of so many channels, and the place of another channel of `others` at the same pixel.
__device__ __forceinline__ u32 channel_at(const PickShape& s, u32 i, u32 channels) {
  return (s.nhwc ? i : i / s.plane) % channels;
}
__device__ __forceinline__ u32 place(const PickShape& s, u32 i, u32 channels, u32 others, u32 other) {
  if (s.nhwc) return i / channels * others + other;
  return (i / (channels * s.plane) * others + other) * s.plane + i % s.plane;
}

template <class T>
__device__ __forceinline__ void pick_forward(const T* x, T* y, const PickShape& s, u32 n) {
  GRID_STRIDE(i, n) {
    u32 k = channel_at(s, i, s.channels);
    u32 source = s.from + k % s.groups * (s.channels / s.groups) + k / s.groups;
    store(y, i, load(x, place(s, i, s.channels, s.total, source)));
  }
}

// What was not picked has no gradient.
template <class T>
__device__ __forceinline__ void pick_backward(const T* dy, T* dx, const PickShape& s, u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) {
    u32 taken = channel_at(s, i, s.total) - s.from, width = s.channels / s.groups;
    u32 k = taken % width * s.groups + taken / width;
    float d = taken < s.channels ? load(dy, place(s, i, s.total, s.channels, k)) : 0.0f;
    store_or_add(dx, i, d, accumulate);
  }
}

#define PICK(SUFFIX, T)                                                                                             \
  KERNEL_FN pick_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, const PickShape shape, u32 n) {       \
    pick_forward(x, y, shape, n);                                                                                   \
  }                                                                                                                 \
  KERNEL_FN pick_backward_##SUFFIX(const T* __restrict__ dy, T* __restrict__ dx, const PickShape shape,             \
                                   u32 accumulate, u32 n) {                                                         \
    pick_backward(dy, dx, shape, accumulate, n);                                                                    \
  }
FOR_EACH_TYPE(PICK)
