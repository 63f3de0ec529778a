// y = x, below zero times a slope of each channel, or of all with one channel in `shape`. Slopes and their gradients are f32 whatever
// the storage type.
#include "channels.cuh"

// to = values, times the slope where x is below zero: the output of x itself, the gradient of dy.
template <class T>
__device__ __forceinline__ void prelu(const T* x, const T* values, T* to, const float* slopes, const Channels& s,
                                      u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) {
    float v = load(values, i);
    store_or_add(to, i, load(x, i) < 0.0f ? v * slopes[channel_of(s, i)] : v, accumulate);
  }
}

template <class T>
struct SlopeGradients {
  static const u32 COUNT = 1;
  const T *x, *dy;
  float sums[1];
  __device__ __forceinline__ void begin(u32) {}
  __device__ __forceinline__ void add(u32 i) {
    float v = load(x, i);
    sums[0] += v < 0.0f ? v * load(dy, i) : 0.0f;
  }
};

// The gradients themselves where there is one slice, else the slices' sums, which bias_gradient_total_f32 adds up.
template <class T>
__device__ __forceinline__ void prelu_backward_weights(const T* x, const T* dy, float* partials, float* dslopes,
                                                       const Channels& s) {
  SlopeGradients<T> terms = {x, dy, {0.0f}};
  u32 channel;
  if (!add_up(s, terms, &channel)) return;
  float* to = gridDim.y == 1u ? dslopes : partials + blockIdx.y * s.channels;
  to[channel] = terms.sums[0];
}

#define PRELU(SUFFIX, T)                                                                                            \
  KERNEL_FN prelu_##SUFFIX(const T* __restrict__ x, const T* __restrict__ values, T* __restrict__ to,               \
                           const float* __restrict__ slopes, const Channels shape, u32 accumulate, u32 n) {         \
    prelu(x, values, to, slopes, shape, accumulate, n);                                                             \
  }                                                                                                                 \
  KERNEL_FN prelu_backward_weights_##SUFFIX(const T* __restrict__ x, const T* __restrict__ dy,                      \
                                            float* __restrict__ partials, float* __restrict__ dslopes,              \
                                            const Channels shape) {                                                 \
    prelu_backward_weights(x, dy, partials, dslopes, shape);                                                        \
  }
FOR_EACH_TYPE(PRELU)
