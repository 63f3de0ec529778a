// A bias per channel, of convolutions and fully connected layers: y += bias, and its gradient, the sums of dy.
#include "channels.cuh"

template <class T>
__device__ __forceinline__ void bias_add(T* y, const T* bias, const Channels& s, u32 n) {
  GRID_STRIDE(i, n) store(y, i, load(y, i) + load(bias, channel_of(s, i)));
}

// The gradient itself where there is one slice, else the slices' sums.
template <class T>
__device__ __forceinline__ void bias_gradient(const T* dy, float* partials, T* dbias, const Channels& s) {
  Arrays<T, 1> terms = {dy, 0u, {0.0f}};
  u32 channel;
  if (!add_up(s, terms, &channel)) return;
  if (gridDim.y == 1u)
    store(dbias, channel, terms.sums[0]);
  else
    partials[blockIdx.y * s.channels + channel] = terms.sums[0];
}

template <class T>
__device__ __forceinline__ void bias_gradient_total(const float* partials, T* dbias, u32 slices, u32 channels) {
  Arrays<float, 1> terms = {partials, 0u, {0.0f}};
  Channels s = {slices, channels, 1u};
  u32 channel;
  if (add_up(s, terms, &channel)) store(dbias, channel, terms.sums[0]);
}

#define BIAS(SUFFIX, T)                                                                                               \
  KERNEL_FN bias_add_##SUFFIX(T* __restrict__ y, const T* __restrict__ bias, const Channels shape, u32 n) {           \
    bias_add(y, bias, shape, n);                                                                                      \
  }                                                                                                                   \
  KERNEL_FN bias_gradient_##SUFFIX(const T* __restrict__ dy, float* __restrict__ partials, T* __restrict__ dbias,     \
                                   const Channels shape) {                                                            \
    bias_gradient(dy, partials, dbias, shape);                                                                        \
  }                                                                                                                   \
  KERNEL_FN bias_gradient_total_##SUFFIX(const float* __restrict__ partials, T* __restrict__ dbias, u32 slices,       \
                                         u32 channels) {                                                              \
    bias_gradient_total(partials, dbias, slices, channels);                                                           \
  }
FOR_EACH_TYPE(BIAS)
