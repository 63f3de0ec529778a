// A bias per channel, of convolutions and fully connected layers: y += bias, and its gradient, the sums of dy.
#include "channels.cuh"

template <class T>
struct AddBias {
  static const u32 COUNT = 1;
  const T* bias;
  __device__ __forceinline__ void common(u32 channel, float (&to)[1]) const { to[0] = load(bias, channel); }
  __device__ __forceinline__ float value(const float (&y)[1], const float (&b)[1]) const { return y[0] + b[0]; }
};

template <class T>
__device__ __forceinline__ void bias_add(T* y, const T* bias, const Channels& s, u32 n) {
  ByChannel<T, AddBias<T>, 1> op = {{y}, y, 0u, {bias}, s};
  by_channel<2>(op, n, aligned(y));
}

// The gradient itself where there is one slice, else the slices' sums.
template <class T>
__device__ __forceinline__ void bias_gradient(const T* dy, float* partials, T* dbias, const Channels& s) {
  Plain<T, 1> terms = {{dy}};
  Results<T, 1> result = {{dbias}, partials, s.channels.by};
  add_up<T>(s, terms, aligned(dy), result);
}

template <class T>
__device__ __forceinline__ void bias_gradient_total(const float* partials, T* dbias, u32 slices, u32 channels) {
  Results<T, 1> result = {{dbias}, (float*)0, channels};
  add_slices<1>(partials, slices, channels, result);
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
