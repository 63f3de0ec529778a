// Momentum SGD in one pass, as in PyTorch: g += wd * w; v = momentum * v + g; w -= lr * v.
//
// Master weights `w` and velocity `v` are f32. The half-precision forms read a half-precision gradient and
// write the half-precision copy of the weights that the layers use. With a loss scale the gradient is unscaled
// first, and the whole update is skipped when the device found a NaN or infinity; null: no loss scale.
#include "stream.cuh"

// The constants of an update.
struct Rule {
  float unscale, lr, momentum, decay;
  __device__ __forceinline__ float velocity(float weight, float velocity, float g) const {
    return momentum * velocity + (g * unscale + decay * weight);
  }
};

// Updates f32 weights by gradients of type T; `copy` is null where there is none.
template <class T, bool COPIED>
struct Update {
  static const u32 WIDTH = Width<T>::value, FOURS = WIDTH / 4u;
  struct Values {
    Words w[FOURS], v[FOURS], g;
  };
  float *w, *v;
  T* copy;
  const T* g;
  Rule rule;
  __device__ __forceinline__ Values load(u32 i) const {
    Values values;
#pragma unroll
    for (u32 q = 0; q < FOURS; ++q) {
      values.w[q] = words(w, i + 4u * q);
      values.v[q] = words(v, i + 4u * q);
    }
    values.g = words(g, i);
    return values;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& values) const {
    float gradient[WIDTH], weight[WIDTH];
    widen(values.g, g, gradient);
#pragma unroll
    for (u32 q = 0; q < FOURS; ++q) {
      float before[4], velocity[4], after[4];
      widen(values.w[q], w, before);
      widen(values.v[q], v, velocity);
      for (u32 k = 0; k < 4u; ++k) {
        velocity[k] = rule.velocity(before[k], velocity[k], gradient[4u * q + k]);
        after[k] = weight[4u * q + k] = before[k] - rule.lr * velocity[k];
      }
      put(v, i + 4u * q, narrow(velocity, v));
      put(w, i + 4u * q, narrow(after, w));
    }
    if (COPIED) put(copy, i, narrow(weight, g));
  }
  __device__ __forceinline__ void one(u32 i) const {
    float velocity = rule.velocity(w[i], v[i], ::load(g, i)), weight = w[i] - rule.lr * velocity;
    v[i] = velocity;
    w[i] = weight;
    if (COPIED) store(copy, i, weight);
  }
};

template <bool COPIED, class T>
__device__ __forceinline__ void sgd(float* w, float* v, T* copy, const T* g, const LossScale* loss_scale, float lr,
                                    float momentum, float decay, u32 n) {
  if (loss_scale && loss_scale->skip) return;
  Update<T, COPIED> op = {w, v, copy, g, {loss_scale ? loss_scale->inverse : 1.0f, lr, momentum, decay}};
  stream<1>(op, n, aligned(w, v, g) && aligned(copy));
}

KERNEL_FN sgd_f32(float* __restrict__ w, float* __restrict__ v, const float* __restrict__ g,
                  const LossScale* __restrict__ loss_scale, float lr, float momentum, float decay, u32 n) {
  sgd<false>(w, v, (float*)0, g, loss_scale, lr, momentum, decay, n);
}

#define SGD_MIXED(SUFFIX, T)                                                                                        \
  KERNEL_FN sgd_##SUFFIX(float* __restrict__ w, float* __restrict__ v, T* __restrict__ copy, const T* __restrict__ g, \
                         const LossScale* __restrict__ loss_scale, float lr, float momentum, float decay, u32 n) {  \
    sgd<true>(w, v, copy, g, loss_scale, lr, momentum, decay, n);                                                   \
  }
SGD_MIXED(f16, f16)
SGD_MIXED(bf16, bf16)
