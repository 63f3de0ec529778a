// Normalisation of every pixel over its channels, and its gradients.
//
//   xhat = (x - mean) * inverse, inverse = 1 / sqrt(variance + eps), over the channels of a pixel; y = gamma * xhat + beta;
//   g = gamma * dy; dx = inverse * (g - mean(g) - xhat * mean(g * xhat)); dbeta = sum dy; dgamma = sum dy * xhat.
// gamma, beta, statistics and the parameters' gradients are f32 whatever the storage type.
//
// Where a pixel's channels lie together (Channels.inner is 1) a warp has a pixel, otherwise a thread has one, so that
// neighbouring threads read neighbouring places. Blocks of 32 x 8 threads.
#include "channels.cuh"

// The channels of one pixel: `count` of them, `stride` apart, of which this thread takes every `step`th from `first` on.
struct Pixel {
  u32 index, base, stride, first, step;
  bool warp, inside;
  __device__ __forceinline__ Pixel(const Channels& s) {
    warp = s.last();
    index = warp ? blockIdx.x * ROWS + threadIdx.y : (blockIdx.x * ROWS + threadIdx.y) * 32u + threadIdx.x;
    inside = index < s.outer * s.inner.by;
    base = warp ? index * s.channels.by : s.inner.quotient(index) * s.channels.by * s.inner.by + s.inner.remainder(index);
    stride = s.inner.by;
    first = warp ? threadIdx.x : 0u;
    step = warp ? 32u : 1u;
  }
  // The sum over the pixel of what its threads have.
  __device__ __forceinline__ float all(float v) const {
    if (warp)
      for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
  }
};

template <class T>
__device__ __forceinline__ void layernorm_forward(const T* x, T* y, const float* gamma, const float* beta, float* mean,
                                                  float* inverse, float eps, const Channels& s) {
  Pixel at(s);
  if (!at.inside) return;  // whole warps where they add up
  float share = 1.0f / (float)s.channels.by, sum = 0.0f, squares = 0.0f;
  for (u32 c = at.first; c < s.channels.by; c += at.step) sum += load(x, at.base + c * at.stride);
  float center = at.all(sum) * share;
  for (u32 c = at.first; c < s.channels.by; c += at.step) {
    float d = load(x, at.base + c * at.stride) - center;
    squares += d * d;
  }
  float factor = 1.0f / sqrtf(at.all(squares) * share + eps);
  if (!at.warp || threadIdx.x == 0u) {
    mean[at.index] = center;
    inverse[at.index] = factor;
  }
  for (u32 c = at.first; c < s.channels.by; c += at.step) {
    u32 i = at.base + c * at.stride;
    store(y, i, (load(x, i) - center) * factor * gamma[c] + beta[c]);
  }
}

template <class T>
__device__ __forceinline__ void layernorm_backward_data(const T* x, const T* dy, T* dx, const float* gamma,
                                                        const float* mean, const float* inverse, const Channels& s,
                                                        u32 accumulate) {
  Pixel at(s);
  if (!at.inside) return;
  float share = 1.0f / (float)s.channels.by, center = mean[at.index], factor = inverse[at.index];
  float sum = 0.0f, products = 0.0f;
  for (u32 c = at.first; c < s.channels.by; c += at.step) {
    u32 i = at.base + c * at.stride;
    float g = gamma[c] * load(dy, i);
    sum += g;
    products += g * (load(x, i) - center) * factor;
  }
  sum = at.all(sum) * share;
  products = at.all(products) * share;
  for (u32 c = at.first; c < s.channels.by; c += at.step) {
    u32 i = at.base + c * at.stride;
    float xhat = (load(x, i) - center) * factor;
    store_or_add(dx, i, (gamma[c] * load(dy, i) - sum - xhat * products) * factor, accumulate);
  }
}

// Those of gamma and beta: sums over pixels, of x and dy.
template <class T>
struct ParameterGradients {
  static const u32 ARRAYS = 2, SUMS = 2;
  const T* from[2];
  const float *mean, *inverse;
  __device__ __forceinline__ void common(u32) {}
  __device__ __forceinline__ void term(const float (&of)[2], float (&terms)[2], u32 pixel) const {
    terms[0] = of[1] * (of[0] - mean[pixel]) * inverse[pixel];
    terms[1] = of[1];
  }
};

// As batchnorm_backward_weights, whose total adds up these slices too.
template <class T>
__device__ __forceinline__ void layernorm_backward_weights(const T* x, const T* dy, const float* mean,
                                                           const float* inverse, float* partials, float* dgamma,
                                                           float* dbeta, const Channels& s) {
  ParameterGradients<T> terms = {{x, dy}, mean, inverse};
  Results<float, 2> result = {{dgamma, dbeta}, partials, s.channels.by};
  add_up<T>(s, terms, aligned(x, dy), result);
}

#define LAYERNORM(SUFFIX, T)                                                                                          \
  KERNEL_FN layernorm_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, const float* __restrict__ gamma,   \
                                       const float* __restrict__ beta, float* __restrict__ mean,                      \
                                       float* __restrict__ inverse, float eps, const Channels shape) {                \
    layernorm_forward(x, y, gamma, beta, mean, inverse, eps, shape);                                                  \
  }                                                                                                                   \
  KERNEL_FN layernorm_backward_data_##SUFFIX(const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dx,   \
                                             const float* __restrict__ gamma, const float* __restrict__ mean,         \
                                             const float* __restrict__ inverse, const Channels shape,                 \
                                             u32 accumulate) {                                                        \
    layernorm_backward_data(x, dy, dx, gamma, mean, inverse, shape, accumulate);                                      \
  }                                                                                                                   \
  KERNEL_FN layernorm_backward_weights_##SUFFIX(const T* __restrict__ x, const T* __restrict__ dy,                    \
                                                const float* __restrict__ mean, const float* __restrict__ inverse,    \
                                                float* __restrict__ partials, float* __restrict__ dgamma,             \
                                                float* __restrict__ dbeta, const Channels shape) {                    \
    layernorm_backward_weights(x, dy, mean, inverse, partials, dgamma, dbeta, shape);                                 \
  }
FOR_EACH_TYPE(LAYERNORM)
