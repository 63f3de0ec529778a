// A factor for each channel, and an addend where there is one. Both are f32 whatever the storage type; the parameters' gradients
// are those of a batch norm whose statistics are zero and one.
#include "channels.cuh"

// beta may be null.
template <class T>
__device__ __forceinline__ void scale_forward(const T* x, T* y, const float* gamma, const float* beta, const Channels& s,
                                              u32 n) {
  GRID_STRIDE(i, n) {
    u32 c = channel_of(s, i);
    store(y, i, load(x, i) * gamma[c] + (beta ? beta[c] : 0.0f));
  }
}

template <class T>
__device__ __forceinline__ void scale_backward_data(const T* dy, T* dx, const float* gamma, const Channels& s,
                                                    u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) store_or_add(dx, i, load(dy, i) * gamma[channel_of(s, i)], accumulate);
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
