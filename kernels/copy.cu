// Moving and adding tensors: sums of branches, gradients of branching outputs, and the parts of a concatenation.
#include "common.cuh"

// y = a + b
template <class T>
__device__ __forceinline__ void add(const T* a, const T* b, T* y, u32 n) {
  GRID_STRIDE(i, n) store(y, i, load(a, i) + load(b, i));
}

// sum += x
template <class T>
__device__ __forceinline__ void accumulate(const T* x, T* sum, u32 n) {
  GRID_STRIDE(i, n) store(sum, i, load(sum, i) + load(x, i));
}

// Copies (or adds) `rows` rows of `width` elements between tensors whose rows lie from_pitch and to_pitch elements
// apart. A part of a channel concatenation is one row per image in NCHW, one row per pixel in NHWC.
template <class T>
__device__ __forceinline__ void copy_rows(const T* from, T* to, u32 rows, u32 width, u32 from_pitch, u32 to_pitch,
                                          u32 accumulate) {
  GRID_STRIDE(i, rows * width) {
    u32 row = i / width, column = i % width;
    store_or_add(to, row * to_pitch + column, load(from, row * from_pitch + column), accumulate);
  }
}

#define COPY(SUFFIX, T)                                                                                             \
  KERNEL_FN add_##SUFFIX(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y, u32 n) { add(a, b, y, n); } \
  KERNEL_FN accumulate_##SUFFIX(const T* __restrict__ x, T* __restrict__ sum, u32 n) { accumulate(x, sum, n); }     \
  KERNEL_FN copy_rows_##SUFFIX(const T* __restrict__ from, T* __restrict__ to, u32 rows, u32 width, u32 from_pitch, \
                               u32 to_pitch, u32 accumulate) {                                                      \
    copy_rows(from, to, rows, width, from_pitch, to_pitch, accumulate);                                             \
  }
FOR_EACH_TYPE(COPY)
