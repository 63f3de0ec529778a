// Activation functions of each element, and their gradients: those that cuDNN lacks, or whose gradient by cuDNN would
// need input and output both.
//
// A gradient is computed from `at`: the output where that is enough, the input of silu, hardswish and gelu.
#include "stream.cuh"

__device__ __forceinline__ float logistic(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }
__device__ __forceinline__ float ramp(float x) { return fminf(fmaxf(x * (1.0f / 6.0f) + 0.5f, 0.0f), 1.0f); }
__device__ __forceinline__ float normal(float x) { return 0.5f * erfcf(x * -0.70710678f); }
// fminf and fmaxf would drop a NaN.
__device__ __forceinline__ float keep_nan(float x, float y) { return x != x ? x : y; }

struct Relu6 {
  static __device__ __forceinline__ float value(float x, float) { return keep_nan(x, fminf(fmaxf(x, 0.0f), 6.0f)); }
  static __device__ __forceinline__ float slope(float y, float) { return y > 0.0f && y < 6.0f ? 1.0f : 0.0f; }
};
struct Hardsigmoid {
  static __device__ __forceinline__ float value(float x, float) { return keep_nan(x, ramp(x)); }
  static __device__ __forceinline__ float slope(float y, float) { return y > 0.0f && y < 1.0f ? 1.0f / 6.0f : 0.0f; }
};
struct LeakyRelu {
  static __device__ __forceinline__ float value(float x, float slope) { return x < 0.0f ? slope * x : x; }
  static __device__ __forceinline__ float slope(float y, float slope) { return y < 0.0f ? slope : 1.0f; }
};
struct Elu {
  static __device__ __forceinline__ float value(float x, float alpha) { return x < 0.0f ? alpha * expm1f(x) : x; }
  static __device__ __forceinline__ float slope(float y, float alpha) { return y < 0.0f ? y + alpha : 1.0f; }
};
struct Silu {
  static __device__ __forceinline__ float value(float x, float) { return x * logistic(x); }
  static __device__ __forceinline__ float slope(float x, float) {
    float s = logistic(x);
    return s * (1.0f + x * (1.0f - s));
  }
};
struct Hardswish {
  static __device__ __forceinline__ float value(float x, float) { return keep_nan(x, x * ramp(x)); }
  static __device__ __forceinline__ float slope(float x, float) {
    return x <= -3.0f ? 0.0f : x >= 3.0f ? 1.0f : x * (1.0f / 3.0f) + 0.5f;
  }
};
struct Gelu {
  static __device__ __forceinline__ float value(float x, float) { return x * normal(x); }
  static __device__ __forceinline__ float slope(float x, float) {
    return normal(x) + x * 0.39894228f * expf(-0.5f * x * x);
  }
};

template <class F>
struct Value {
  float parameter;
  __device__ __forceinline__ float operator()(float x) const { return F::value(x, parameter); }
};
template <class F>
struct Slope {
  float parameter;
  __device__ __forceinline__ float operator()(float at, float dy) const { return dy * F::slope(at, parameter); }
};

template <class F, class T>
__device__ __forceinline__ void forward(const T* x, T* y, float parameter, u32 n) {
  Unary<T, Value<F> > op = {x, y, 0u, {parameter}};
  stream<1>(op, n, aligned(x, y));
}

template <class F, class T>
__device__ __forceinline__ void backward(const T* at, const T* dy, T* dx, float parameter, u32 accumulate, u32 n) {
  Binary<T, Slope<F> > op = {at, dy, dx, accumulate, {parameter}};
  stream<1>(op, n, aligned(at, dy, dx));
}

#define FUNCTION(NAME, F, SUFFIX, T)                                                                              \
  KERNEL_FN NAME##_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, float parameter, u32 n) {         \
    forward<F>(x, y, parameter, n);                                                                               \
  }                                                                                                               \
  KERNEL_FN NAME##_backward_##SUFFIX(const T* __restrict__ at, const T* __restrict__ dy, T* __restrict__ dx,      \
                                     float parameter, u32 accumulate, u32 n) {                                    \
    backward<F>(at, dy, dx, parameter, accumulate, n);                                                            \
  }
#define ACTIVATIONS(SUFFIX, T)               \
  FUNCTION(relu6, Relu6, SUFFIX, T)          \
  FUNCTION(hardsigmoid, Hardsigmoid, SUFFIX, T) \
  FUNCTION(leaky_relu, LeakyRelu, SUFFIX, T) \
  FUNCTION(elu, Elu, SUFFIX, T)              \
  FUNCTION(silu, Silu, SUFFIX, T)            \
  FUNCTION(hardswish, Hardswish, SUFFIX, T)  \
  FUNCTION(gelu, Gelu, SUFFIX, T)
FOR_EACH_TYPE(ACTIVATIONS)
