// Dynamic loss scaling for f16, decided on the device (Micikevicius et al., "Mixed Precision Training", 2018).
//
// After the backward pass: loss_scale_check over every gradient, then loss_scale_decide once. It sets `skip` and
// `inverse` for this step's weight updates and the scale of the next step: times `backoff` after a bad step,
// times `growth` after `interval` good ones, never above `limit`.
#include "common.cuh"

template <class T>
__device__ __forceinline__ void loss_scale_check(const T* g, LossScale* state, u32 n) {
  bool bad = false;
  GRID_STRIDE(i, n) bad |= !(fabsf(load(g, i)) <= 3.402823466e38f);
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
