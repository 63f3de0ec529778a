// ReLU: y = max(x, 0); dx = dy where y > 0.
#include "common.cuh"

template <class T>
__device__ __forceinline__ void relu_forward(const T* x, T* y, u32 n) {
  GRID_STRIDE(i, n) {
    float v = load(x, i);
    store(y, i, v > 0.0f || v != v ? v : 0.0f);  // a NaN stays visible
  }
}

template <class T>
__device__ __forceinline__ void relu_backward(const T* y, const T* dy, T* dx, u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) store_or_add(dx, i, load(y, i) > 0.0f ? load(dy, i) : 0.0f, accumulate);
}

#define RELU(SUFFIX, T)                                                                                              \
  KERNEL_FN relu_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, u32 n) { relu_forward(x, y, n); }      \
  KERNEL_FN relu_backward_##SUFFIX(const T* __restrict__ y, const T* __restrict__ dy, T* __restrict__ dx,            \
                                   u32 accumulate, u32 n) {                                                          \
    relu_backward(y, dy, dx, accumulate, n);                                                                         \
  }
FOR_EACH_TYPE(RELU)
