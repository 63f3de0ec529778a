// A factor for each channel, and an addend where there is one. Both are f32 whatever the storage type; the parameters' gradients
// are those of a batch norm whose statistics are zero and one.
#include "channels.cuh"

struct Affine {
  static const u32 COUNT = 2;
  const float *gamma, *beta;  // beta may be null
  __device__ __forceinline__ void common(u32 c, float (&to)[2]) const {
    to[0] = gamma[c];
    to[1] = beta ? beta[c] : 0.0f;
  }
  __device__ __forceinline__ float value(const float (&x)[1], const float (&c)[2]) const { return x[0] * c[0] + c[1]; }
};

template <class T>
__device__ __forceinline__ void scale_forward(const T* x, T* y, const float* gamma, const float* beta, const Channels& s,
                                              u32 n) {
  ByChannel<T, Affine, 1> op = {{x}, y, 0u, {gamma, beta}, s};
  by_channel<2>(op, n, aligned(x, y));
}

template <class T>
__device__ __forceinline__ void scale_backward_data(const T* dy, T* dx, const float* gamma, const Channels& s,
                                                    u32 accumulate, u32 n) {
  ByChannel<T, Affine, 1> op = {{dy}, dx, accumulate, {gamma, (const float*)0}, s};
  by_channel<2>(op, n, aligned(dy, dx));
}

#define SCALE(SUFFIX, T)                                                                                              \
  KERNEL_FN scale_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, const float* __restrict__ gamma,       \
                                   const float* __restrict__ beta, const Channels shape, u32 n) {                     \
    scale_forward(x, y, gamma, beta, shape, n);                                                                       \
  }                                                                                                                   \
  KERNEL_FN scale_backward_data_##SUFFIX(const T* __restrict__ dy, T* __restrict__ dx,                                \
                                         const float* __restrict__ gamma, const Channels shape, u32 accumulate,       \
                                         u32 n) {                                                                     \
    scale_backward_data(dy, dx, gamma, shape, accumulate, n);                                                         \
  }
FOR_EACH_TYPE(SCALE)
