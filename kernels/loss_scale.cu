// Dynamic loss scaling for f16, decided on the device (Micikevicius et al., "Mixed Precision Training", 2018).
//
// After the backward pass: loss_scale_check over every gradient, then loss_scale_decide once. It sets `skip` and
// `inverse` for this step's weight updates and the scale of the next step: times `backoff` after a bad step,
// times `growth` after `interval` good ones, never above `limit`.
#include "stream.cuh"

// A number that is not finite has all bits of its exponent.
__device__ __forceinline__ bool is_bad(u32 word, const float*) { return (word & 0x7f800000u) == 0x7f800000u; }
__device__ __forceinline__ bool is_bad(u32 word, const f16*) {
  return (word & 0x7c00u) == 0x7c00u || (word & 0x7c000000u) == 0x7c000000u;
}
__device__ __forceinline__ bool is_bad(u32 word, const bf16*) {
  return (word & 0x7f80u) == 0x7f80u || (word & 0x7f800000u) == 0x7f800000u;
}

template <class T>
struct Check {
  static const u32 WIDTH = Width<T>::value;
  typedef Words Values;
  const T* g;
  bool* bad;
  __device__ __forceinline__ Values load(u32 i) const { return words(g, i); }
  __device__ __forceinline__ void finish(u32, const Values& v) const {
    for (u32 k = 0; k < 4u; ++k) *bad |= is_bad(v.w[k], g);
  }
  __device__ __forceinline__ void one(u32 i) const { *bad |= !(fabsf(::load(g, i)) <= 3.402823466e38f); }
};

template <class T>
__device__ __forceinline__ void loss_scale_check(const T* g, LossScale* state, u32 n) {
  bool bad = false;
  Check<T> op = {g, &bad};
  stream<4>(op, n, aligned(g));
  if (bad) atomicOr(&state->found, 1u);
}

#define LOSS_SCALE_CHECK(SUFFIX, T)                                                               \
  KERNEL_FN loss_scale_check_##SUFFIX(const T* __restrict__ g, LossScale* __restrict__ state, u32 n) { \
    loss_scale_check(g, state, n);                                                                \
  }
FOR_EACH_TYPE(LOSS_SCALE_CHECK)

KERNEL_FN loss_scale_decide(LossScale* state, float growth, float backoff, float limit, u32 interval) {
  float scale = state->scale;
  u32 found = state->found;
  u32 good_steps = found ? 0u : state->good_steps + 1u;
  state->inverse = 1.0f / scale;
  state->skip = found;
  state->found = 0u;
  if (found) {
    scale *= backoff;
    state->skipped += 1u;
  } else if (good_steps == interval) {
    scale = fminf(scale * growth, limit);
    good_steps = 0u;
  }
  state->scale = scale;
  state->good_steps = good_steps;
}
