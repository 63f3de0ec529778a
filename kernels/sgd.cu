// Momentum SGD in one pass, as in PyTorch: g += wd * w; v = momentum * v + g; w -= lr * v.
//
// Master weights `w` and velocity `v` are f32. The half-precision forms read a half-precision gradient and
// write the half-precision copy of the weights that the layers use. With a loss scale the gradient is unscaled
// first, and the whole update is skipped when the device found a NaN or infinity; null: no loss scale.
#include "common.cuh"

__device__ __forceinline__ float sgd_step(float* w, float* v, float g, float lr, float momentum, float decay, u32 i) {
  float weight = w[i];
  float velocity = momentum * v[i] + (g + decay * weight);
  weight -= lr * velocity;
  v[i] = velocity;
  w[i] = weight;
  return weight;
}

KERNEL_FN sgd_f32(float* __restrict__ w, float* __restrict__ v, const float* __restrict__ g,
                  const LossScale* __restrict__ loss_scale, float lr, float momentum, float decay, u32 n) {
  if (loss_scale && loss_scale->skip) return;
  float unscale = loss_scale ? loss_scale->inverse : 1.0f;
  GRID_STRIDE(i, n) sgd_step(w, v, g[i] * unscale, lr, momentum, decay, i);
}

template <class T>
__device__ __forceinline__ void sgd_mixed(float* w, float* v, T* copy, const T* g, const LossScale* loss_scale,
                                          float lr, float momentum, float decay, u32 n) {
  if (loss_scale && loss_scale->skip) return;
  float unscale = loss_scale ? loss_scale->inverse : 1.0f;
  GRID_STRIDE(i, n) store(copy, i, sgd_step(w, v, load(g, i) * unscale, lr, momentum, decay, i));
}

#define SGD_MIXED(SUFFIX, T)                                                                                        \
  KERNEL_FN sgd_##SUFFIX(float* __restrict__ w, float* __restrict__ v, T* __restrict__ copy, const T* __restrict__ g, \
                         const LossScale* __restrict__ loss_scale, float lr, float momentum, float decay, u32 n) {  \
    sgd_mixed(w, v, copy, g, loss_scale, lr, momentum, decay, n);                                                   \
  }
SGD_MIXED(f16, f16)
SGD_MIXED(bf16, bf16)
