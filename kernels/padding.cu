// Zeros around images, where opposite sides differ: cuDNN's convolutions have one number for both.
//
// NCHW is [N*C, H, W, 1], NHWC [N, H, W, C].
#include "common.cuh"

struct PadShape {
  u32 height, width, inner;  // of the image without its zeros
  u32 padded_height, padded_width, top, left;
};

// y = x with zeros around it; n elements of y.
template <class T>
__device__ __forceinline__ void pad(const T* x, T* y, const PadShape& s, u32 n) {
  GRID_STRIDE(i, n) {
    u32 pixel = i / s.inner, column = pixel % s.padded_width - s.left, line = pixel / s.padded_width;
    u32 row = line % s.padded_height - s.top, image = line / s.padded_height;
    // A place before the image has wrapped around.
    bool inside = row < s.height && column < s.width;
    u32 from = ((image * s.height + row) * s.width + column) * s.inner + i % s.inner;
    store(y, i, inside ? load(x, from) : 0.0f);
  }
}

// x = y without the zeros around it; n elements of x.
template <class T>
__device__ __forceinline__ void crop(const T* y, T* x, const PadShape& s, u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) {
    u32 pixel = i / s.inner, column = pixel % s.width + s.left, line = pixel / s.width;
    u32 row = line % s.height + s.top, image = line / s.height;
    u32 from = ((image * s.padded_height + row) * s.padded_width + column) * s.inner + i % s.inner;
    store_or_add(x, i, load(y, from), accumulate);
  }
}

#define PADDING(SUFFIX, T)                                                                                        \
  KERNEL_FN pad_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, const PadShape shape, u32 n) {               \
    pad(x, y, shape, n);                                                                                          \
  }                                                                                                               \
  KERNEL_FN crop_##SUFFIX(const T* __restrict__ y, T* __restrict__ x, const PadShape shape, u32 accumulate,       \
                          u32 n) {                                                                                \
    crop(y, x, shape, accumulate, n);                                                                             \
  }
FOR_EACH_TYPE(PADDING)
