// Shared by every kernel file: storage types, division, the grid-stride loop and block-wide reductions.
//
// Arithmetic is always f32: a value is widened when loaded, and rounded once, to nearest even, when stored.
// f16 and bf16 are plain 16-bit structs converted here, so that no CUDA header is needed and one PTX serves
// architectures that have no bf16 instructions. Element counts are below 2^31; the caller checks that.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

struct f16 {
  unsigned short bits;
};
struct bf16 {
  unsigned short bits;
};

__device__ __forceinline__ float load(const float* p, u32 i) { return p[i]; }
__device__ __forceinline__ float load(const f16* p, u32 i) {
  float v;
  asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(p[i].bits));
  return v;
}
__device__ __forceinline__ float load(const bf16* p, u32 i) { return __uint_as_float((u32)p[i].bits << 16); }

__device__ __forceinline__ void store(float* p, u32 i, float v) { p[i] = v; }
__device__ __forceinline__ void store(f16* p, u32 i, float v) {
  unsigned short h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(v));
  p[i].bits = h;
}
__device__ __forceinline__ void store(bf16* p, u32 i, float v) {
  u32 bits = __float_as_uint(v);
  u32 rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  p[i].bits = v != v ? 0x7fffu : rounded;
}

// Overwrites p[i], or adds to it where a gradient of a branching output is being collected.
template <class T>
__device__ __forceinline__ void store_or_add(T* p, u32 i, float v, u32 accumulate) {
  store(p, i, accumulate ? load(p, i) + v : v);
}

// Division by a number that the host knows, without a divide: n / by = (umulhi(n, multiplier) + n) >> shift for every n
// below 2^31 (Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994).
struct Divisor {
  u32 by, multiplier, shift;
  __device__ __forceinline__ u32 quotient(u32 n) const { return (__umulhi(n, multiplier) + n) >> shift; }
  __device__ __forceinline__ u32 remainder(u32 n) const { return n - quotient(n) * by; }
};

// Runs the following statement for every i below n, whatever the grid.
#define GRID_STRIDE(i, n) \
  for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)

// Expands KERNEL(suffix, type) for each storage type: add_f32, add_f16, add_bf16.
#define FOR_EACH_TYPE(KERNEL) KERNEL(f32, float) KERNEL(f16, f16) KERNEL(bf16, bf16)

#define KERNEL_FN extern "C" __global__ void

// The state of loss scaling, kept on the device so that no step waits for the host. See loss_scale.cu.
struct LossScale {
  float scale;         // what the loss gradient is multiplied by
  float inverse;       // 1 / the scale this step's gradients carry
  u32 found;           // a NaN or infinity was seen in this step's gradients
  u32 skip;            // weight updates leave everything as it is
  u32 good_steps;      // steps since the scale last changed
  u32 skipped;         // steps skipped so far
};

// Reduces v over the block with sum or max; every thread gets the result. `shared` holds 32 floats.
struct Sum {
  static __device__ __forceinline__ float neutral() { return 0.0f; }
  static __device__ __forceinline__ float of(float a, float b) { return a + b; }
};
struct Max {
  static __device__ __forceinline__ float neutral() { return __int_as_float(0xff800000); }
  static __device__ __forceinline__ float of(float a, float b) { return fmaxf(a, b); }
};
template <class Op>
__device__ __forceinline__ float block_reduce(float v, float* shared) {
  u32 lane = threadIdx.x & 31u, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  for (int o = 16; o > 0; o >>= 1) v = Op::of(v, __shfl_xor_sync(0xffffffffu, v, o));
  __syncthreads();  // the previous reduction's result has been read by all
  if (lane == 0) shared[warp] = v;
  __syncthreads();
  v = lane < warps ? shared[lane] : Op::neutral();
  for (int o = 16; o > 0; o >>= 1) v = Op::of(v, __shfl_xor_sync(0xffffffffu, v, o));
  return v;
}
