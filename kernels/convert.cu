// Conversions between storage types, rounding to nearest even.
#include "common.cuh"

#define CONVERT(NAME, FROM, TO)                                                \
  KERNEL_FN NAME(const FROM* __restrict__ from, TO* __restrict__ to, u32 n) {  \
    GRID_STRIDE(i, n) store(to, i, load(from, i));                             \
  }
CONVERT(convert_f32_f16, float, f16)
CONVERT(convert_f32_bf16, float, bf16)
CONVERT(convert_f16_f32, f16, float)
CONVERT(convert_bf16_f32, bf16, float)
