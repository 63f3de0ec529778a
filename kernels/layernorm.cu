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
    warp = s.inner == 1u;
    index = warp ? blockIdx.x * ROWS + threadIdx.y : (blockIdx.x * ROWS + threadIdx.y) * 32u + threadIdx.x;
    inside = index < s.outer * s.inner;
    base = warp ? index * s.channels : index / s.inner * s.channels * s.inner + index % s.inner;
    stride = s.inner;
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
  float share = 1.0f / (float)s.channels, sum = 0.0f, squares = 0.0f;
  for (u32 c = at.first; c < s.channels; c += at.step) sum += load(x, at.base + c * at.stride);
  float center = at.all(sum) * share;
  for (u32 c = at.first; c < s.channels; c += at.step) {
    float d = load(x, at.base + c * at.stride) - center;
    squares += d * d;
  }
  float factor = 1.0f / sqrtf(at.all(squares) * share + eps);
  if (!at.warp || threadIdx.x == 0u) {
    mean[at.index] = center;
    inverse[at.index] = factor;
  }
  for (u32 c = at.first; c < s.channels; c += at.step) {
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
  float share = 1.0f / (float)s.channels, center = mean[at.index], factor = inverse[at.index];
  float sum = 0.0f, products = 0.0f;
  for (u32 c = at.first; c < s.channels; c += at.step) {
    u32 i = at.base + c * at.stride;
    float g = gamma[c] * load(dy, i);
    sum += g;
    products += g * (load(x, i) - center) * factor;
  }
  sum = at.all(sum) * share;
  products = at.all(products) * share;
  for (u32 c = at.first; c < s.channels; c += at.step) {
    u32 i = at.base + c * at.stride;
    float xhat = (load(x, i) - center) * factor;
    store_or_add(dx, i, (gamma[c] * load(dy, i) - sum - xhat * products) * factor, accumulate);
  }
}

// Those of gamma and beta: sums over pixels.
template <class T>
struct ParameterGradients {
  static const u32 COUNT = 2;
  const T *x, *dy;
  const float *mean, *inverse;
  Channels s;
  float sums[2];  // dgamma, dbeta
  __device__ __forceinline__ void begin(u32) {}
  __device__ __forceinline__ void add(u32 i) {
    u32 pixel = s.inner == 1u ? i / s.channels : i / (s.channels * s.inner) * s.inner + i % s.inner;
    float d = load(dy, i);
    sums[0] += d * (load(x, i) - mean[pixel]) * inverse[pixel];
    sums[1] += d;
  }
};

// As batchnorm_backward_weights, whose total adds up these slices too.
template <class T>
__device__ __forceinline__ void layernorm_backward_weights(const T* x, const T* dy, const float* mean,
                                                           const float* inverse, float* partials, float* dgamma,
                                                           float* dbeta, const Channels& s) {
  ParameterGradients<T> terms = {x, dy, mean, inverse, s, {0.0f, 0.0f}};
  u32 channel;
  if (!add_up(s, terms, &channel)) return;
  bool whole = gridDim.y == 1u;
  float* gamma_to = whole ? dgamma : partials + blockIdx.y * s.channels;
  float* beta_to = whole ? dbeta : partials + (gridDim.y + blockIdx.y) * s.channels;
  gamma_to[channel] = terms.sums[0];
  beta_to[channel] = terms.sums[1];
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
