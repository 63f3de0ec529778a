// y = x, below zero times a slope of each channel, or of all with one channel in `shape`. Slopes and their gradients are f32 whatever
// the storage type.
#include "channels.cuh"

// values, times the slope where x is below zero: the output of x itself, the gradient of dy.
struct Bend {
  static const u32 COUNT = 1;
  const float* slopes;
  __device__ __forceinline__ void common(u32 c, float (&to)[1]) const { to[0] = slopes[c]; }
  __device__ __forceinline__ float value(const float (&of)[2], const float (&slope)[1]) const {
    return of[0] < 0.0f ? of[1] * slope[0] : of[1];
  }
};

template <class T>
__device__ __forceinline__ void prelu(const T* x, const T* values, T* to, const float* slopes, const Channels& s,
                                      u32 accumulate, u32 n) {
  ByChannel<T, Bend, 2> op = {{x, values}, to, accumulate, {slopes}, s};
  by_channel<2>(op, n, aligned(x, values, to));
}

// Of x and dy.
template <class T>
struct SlopeGradients {
  static const u32 ARRAYS = 2, SUMS = 1;
  const T* from[2];
  __device__ __forceinline__ void common(u32) {}
  __device__ __forceinline__ void term(const float (&of)[2], float (&terms)[1], u32) const {
    terms[0] = of[0] < 0.0f ? of[0] * of[1] : 0.0f;
  }
};

// The gradients themselves where there is one slice, else the slices' sums, which bias_gradient_total_f32 adds up.
template <class T>
__device__ __forceinline__ void prelu_backward_weights(const T* x, const T* dy, float* partials, float* dslopes,
                                                       const Channels& s) {
  SlopeGradients<T> terms = {{x, dy}};
  Results<float, 1> result = {{dslopes}, partials, s.channels.by};
  add_up<T>(s, terms, aligned(x, dy), result);
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
