// The gradients of batch normalisation with training statistics.
//
//   xhat = (x - mean) * inverse, inverse = 1 / sqrt(variance + eps), variance over all N*H*W values;
//   dbeta = sum dy; dgamma = sum dy * xhat; dx = gamma * inverse * (dy - (dbeta + xhat * dgamma) / (N*H*W)).
// gamma, statistics and the parameters' gradients are f32 whatever the storage type, as in cuDNN.
#include "channels.cuh"

// The terms of dgamma and dbeta, of x and dy.
template <class T>
struct Gradients {
  static const u32 ARRAYS = 2, SUMS = 2;
  const T* from[2];
  const float *mean, *inverse;
  float center, factor;
  __device__ __forceinline__ void common(u32 channel) {
    center = mean[channel];
    factor = inverse[channel];
  }
  __device__ __forceinline__ void term(const float (&elements)[2], float (&terms)[2], u32) const {
    terms[0] = elements[1] * (elements[0] - center) * factor;
    terms[1] = elements[1];
  }
};

// The gradients themselves where there is one slice, else the slices' sums, all of dgamma's before dbeta's.
template <class T>
__device__ __forceinline__ void batchnorm_backward_weights(const T* x, const T* dy, const float* mean,
                                                           const float* inverse, float* partials, float* dgamma,
                                                           float* dbeta, const Channels& s) {
  Gradients<T> terms = {{x, dy}, mean, inverse, 0.0f, 0.0f};
  Results<float, 2> result = {{dgamma, dbeta}, partials, s.channels.by};
  add_up<T>(s, terms, aligned(x, dy), result);
}

KERNEL_FN batchnorm_backward_weights_total(const float* __restrict__ partials, float* __restrict__ dgamma,
                                           float* __restrict__ dbeta, u32 slices, u32 channels) {
  Results<float, 2> result = {{dgamma, dbeta}, (float*)0, channels};
  add_slices<2>(partials, slices, channels, result);
}

// Reads the dgamma and dbeta that batchnorm_backward_weights wrote.
struct InputGradient {
  static const u32 COUNT = 4;
  const float *gamma, *mean, *inverse, *dgamma, *dbeta;
  float share;
  __device__ __forceinline__ void common(u32 c, float (&to)[4]) const {
    to[0] = mean[c];
    to[1] = inverse[c] * dgamma[c] * share;
    to[2] = dbeta[c] * share;
    to[3] = gamma[c] * inverse[c];
  }
  __device__ __forceinline__ float value(const float (&of)[2], const float (&c)[4]) const {
    return c[3] * (of[1] - (c[2] + (of[0] - c[0]) * c[1]));
  }
};

template <class T>
__device__ __forceinline__ void batchnorm_backward_data(const T* x, const T* dy, T* dx, const float* gamma,
                                                        const float* mean, const float* inverse, const float* dgamma,
                                                        const float* dbeta, const Channels& s, u32 accumulate, u32 n) {
  InputGradient gradient = {gamma, mean, inverse, dgamma, dbeta, 1.0f / (float)(s.outer * s.inner.by)};
  ByChannel<T, InputGradient, 2> op = {{x, dy}, dx, accumulate, gradient, s};
  by_channel<1>(op, n, aligned(x, dy, dx));
}

#define BATCHNORM(SUFFIX, T)                                                                                          \
  KERNEL_FN batchnorm_backward_weights_##SUFFIX(const T* __restrict__ x, const T* __restrict__ dy,                    \
                                                const float* __restrict__ mean, const float* __restrict__ inverse,    \
                                                float* __restrict__ partials, float* __restrict__ dgamma,             \
                                                float* __restrict__ dbeta, const Channels shape) {                    \
    batchnorm_backward_weights(x, dy, mean, inverse, partials, dgamma, dbeta, shape);                                 \
  }                                                                                                                   \
  KERNEL_FN batchnorm_backward_data_##SUFFIX(                                                                         \
      const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dx, const float* __restrict__ gamma,         \
      const float* __restrict__ mean, const float* __restrict__ inverse, const float* __restrict__ dgamma,            \
      const float* __restrict__ dbeta, const Channels shape, u32 accumulate, u32 n) {                                 \
    batchnorm_backward_data(x, dy, dx, gamma, mean, inverse, dgamma, dbeta, shape, accumulate, n);                    \
  }
FOR_EACH_TYPE(BATCHNORM)
