// NCHW to NHWC and back: each image is a matrix [rows, cols] that becomes [cols, rows].
// To NHWC rows = C, cols = H*W; to NCHW the other way round. Blocks of 32 x 8 threads over tiles of 32 x 32:
// grid = (ceil(cols / 32), ceil(rows / 32), images).
#include "common.cuh"

template <class T>
__device__ __forceinline__ void transpose(const T* x, T* y, u32 rows, u32 cols) {
  __shared__ T tile[32][33];  // 33: a column of the tile then lies in 32 different banks
  u32 image = blockIdx.z * rows * cols;
  u32 col = blockIdx.x * 32u + threadIdx.x;
  for (u32 k = threadIdx.y; k < 32u; k += 8u) {
    u32 row = blockIdx.y * 32u + k;
    if (row < rows && col < cols) tile[k][threadIdx.x] = x[image + row * cols + col];
  }
  __syncthreads();
  u32 row = blockIdx.y * 32u + threadIdx.x;
  for (u32 k = threadIdx.y; k < 32u; k += 8u) {
    u32 col = blockIdx.x * 32u + k;
    if (row < rows && col < cols) y[image + col * rows + row] = tile[threadIdx.x][k];
  }
}

#define TRANSPOSE(SUFFIX, T)                                                                           \
  KERNEL_FN transpose_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, u32 rows, u32 cols) {       \
    transpose(x, y, rows, cols);                                                                       \
  }
FOR_EACH_TYPE(TRANSPOSE)
