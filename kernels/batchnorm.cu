// The gradients of batch normalisation with training statistics.
//
//   xhat = (x - mean) * inverse, inverse = 1 / sqrt(variance + eps), variance over all N*H*W values;
//   dbeta = sum dy; dgamma = sum dy * xhat; dx = gamma * inverse * (dy - (dbeta + xhat * dgamma) / (N*H*W)).
// gamma, statistics and the parameters' gradients are f32 whatever the storage type, as in cuDNN.
#include "channels.cuh"

// What every gradient needs; those of gamma and beta are just these.
template <class T>
struct Gradients {
  static const u32 COUNT = 2;
  const T *x, *dy;
  const float *mean, *inverse;
  float center, factor;
  float sums[2];  // dgamma, dbeta
  __device__ __forceinline__ void begin(u32 channel) {
    center = mean[channel];
    factor = inverse[channel];
  }
  __device__ __forceinline__ void add(u32 i) {
    float d = load(dy, i);
    sums[0] += d * (load(x, i) - center) * factor;
    sums[1] += d;
  }
};

// The gradients themselves where there is one slice, else the slices' sums, all of dgamma's before dbeta's.
template <class T>
__device__ __forceinline__ void batchnorm_backward_weights(const T* x, const T* dy, const float* mean,
                                                           const float* inverse, float* partials, float* dgamma,
                                                           float* dbeta, const Channels& s) {
  Gradients<T> terms = {x, dy, mean, inverse, 0.0f, 0.0f, {0.0f, 0.0f}};
  u32 channel;
  if (!add_up(s, terms, &channel)) return;
  bool whole = gridDim.y == 1u;
  float* gamma_to = whole ? dgamma : partials + blockIdx.y * s.channels;
  float* beta_to = whole ? dbeta : partials + (gridDim.y + blockIdx.y) * s.channels;
  gamma_to[channel] = terms.sums[0];
  beta_to[channel] = terms.sums[1];
}

KERNEL_FN batchnorm_backward_weights_total(const float* __restrict__ partials, float* __restrict__ dgamma,
                                           float* __restrict__ dbeta, u32 slices, u32 channels) {
  Arrays<float, 2> terms = {partials, slices * channels, {0.0f, 0.0f}};
  Channels s = {slices, channels, 1u};
  u32 channel;
  if (!add_up(s, terms, &channel)) return;
  dgamma[channel] = terms.sums[0];
  dbeta[channel] = terms.sums[1];
}

// Reads the dgamma and dbeta that batchnorm_backward_weights wrote.
template <class T>
__device__ __forceinline__ void batchnorm_backward_data(const T* x, const T* dy, T* dx, const float* gamma,
                                                        const float* mean, const float* inverse, const float* dgamma,
                                                        const float* dbeta, const Channels& s, u32 accumulate, u32 n) {
  float share = 1.0f / (float)(s.outer * s.inner);
  GRID_STRIDE(i, n) {
    u32 c = channel_of(s, i);
    float factor = inverse[c], xhat = (load(x, i) - mean[c]) * factor;
    float centered = load(dy, i) - (dbeta[c] + xhat * dgamma[c]) * share;
    store_or_add(dx, i, gamma[c] * factor * centered, accumulate);
  }
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
