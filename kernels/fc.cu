// The bias of a fully connected layer: y [rows, cols] += bias [cols], and its gradient, the column sums of dy.
#include "common.cuh"

template <class T>
__device__ __forceinline__ void fc_bias_add(T* y, const T* bias, u32 cols, u32 n) {
  GRID_STRIDE(i, n) store(y, i, load(y, i) + load(bias, i % cols));
}

// Blocks of 32 x 8 threads, one column per thread in x. Sums in a fixed order: the result is deterministic.
template <class T>
__device__ __forceinline__ void fc_bias_gradient(const T* dy, T* dbias, u32 rows, u32 cols) {
  __shared__ float partial[8][32];
  u32 col = blockIdx.x * 32u + threadIdx.x;
  float sum = 0.0f;
  if (col < cols)
    for (u32 row = threadIdx.y; row < rows; row += 8u) sum += load(dy, row * cols + col);
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || col >= cols) return;
  for (u32 part = 1; part < 8u; ++part) sum += partial[part][threadIdx.x];
  store(dbias, col, sum);
}

#define FC_BIAS(SUFFIX, T)                                                                                \
  KERNEL_FN fc_bias_add_##SUFFIX(T* __restrict__ y, const T* __restrict__ bias, u32 cols, u32 n) {        \
    fc_bias_add(y, bias, cols, n);                                                                        \
  }                                                                                                       \
  KERNEL_FN fc_bias_gradient_##SUFFIX(const T* __restrict__ dy, T* __restrict__ dbias, u32 rows, u32 cols) { \
    fc_bias_gradient(dy, dbias, rows, cols);                                                              \
  }
FOR_EACH_TYPE(FC_BIAS)
