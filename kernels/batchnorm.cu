// The gradients of batch normalisation with training statistics: one block of 256 threads per channel, in either layout.
//
//   xhat = (x - mean) * inverse, inverse = 1 / sqrt(variance + eps), variance over all N*H*W values;
//   dbeta = sum dy; dgamma = sum dy * xhat; dx = gamma * inverse * (dy - (dbeta + xhat * dgamma) / (N*H*W)).
// gamma, beta, statistics and their gradients are f32 whatever the storage type, as in cuDNN.
#include "common.cuh"

struct BatchnormShape {
  u32 images, channels, spatial, nhwc;
};

__device__ __forceinline__ u32 element(const BatchnormShape& s, u32 k) {
  u32 channel = blockIdx.x;
  return s.nhwc ? k * s.channels + channel : (k / s.spatial * s.channels + channel) * s.spatial + k % s.spatial;
}

// The two sums over a channel that every gradient needs; the gradients of gamma and beta are just these.
template <class T>
__device__ __forceinline__ void batchnorm_backward_weights(const T* x, const T* dy, const float* mean,
                                                           const float* inverse, float* dgamma, float* dbeta,
                                                           const BatchnormShape& s) {
  __shared__ float shared[32];
  u32 channel = blockIdx.x, count = s.images * s.spatial;
  float center = mean[channel], factor = inverse[channel];
  float sum = 0.0f, product = 0.0f;
  for (u32 k = threadIdx.x; k < count; k += blockDim.x) {
    u32 i = element(s, k);
    float d = load(dy, i);
    sum += d;
    product += d * (load(x, i) - center) * factor;
  }
  sum = block_reduce<Sum>(sum, shared);
  product = block_reduce<Sum>(product, shared);
  if (threadIdx.x == 0) {
    dbeta[channel] = sum;
    dgamma[channel] = product;
  }
}

// Reads the dgamma and dbeta that batchnorm_backward_weights wrote.
template <class T>
__device__ __forceinline__ void batchnorm_backward_data(const T* x, const T* dy, T* dx, const float* gamma,
                                                        const float* mean, const float* inverse, const float* dgamma,
                                                        const float* dbeta, const BatchnormShape& s, u32 accumulate) {
  u32 channel = blockIdx.x, count = s.images * s.spatial;
  float center = mean[channel], factor = inverse[channel], g = gamma[channel] * factor;
  float sum = dbeta[channel] / (float)count, product = dgamma[channel] / (float)count;
  for (u32 k = threadIdx.x; k < count; k += blockDim.x) {
    u32 i = element(s, k);
    float xhat = (load(x, i) - center) * factor;
    store_or_add(dx, i, g * (load(dy, i) - sum - xhat * product), accumulate);
  }
}

#define BATCHNORM(SUFFIX, T)                                                                                          \
  KERNEL_FN batchnorm_backward_weights_##SUFFIX(const T* __restrict__ x, const T* __restrict__ dy,                    \
                                                const float* __restrict__ mean, const float* __restrict__ inverse,    \
                                                float* __restrict__ dgamma, float* __restrict__ dbeta,                \
                                                const BatchnormShape shape) {                                         \
    batchnorm_backward_weights(x, dy, mean, inverse, dgamma, dbeta, shape);                                           \
  }                                                                                                                   \
  KERNEL_FN batchnorm_backward_data_##SUFFIX(                                                                         \
      const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dx, const float* __restrict__ gamma,         \
      const float* __restrict__ mean, const float* __restrict__ inverse, const float* __restrict__ dgamma,            \
      const float* __restrict__ dbeta, const BatchnormShape shape, u32 accumulate) {                                  \
    batchnorm_backward_data(x, dy, dx, gamma, mean, inverse, dgamma, dbeta, shape, accumulate);                       \
  }
FOR_EACH_TYPE(BATCHNORM)
