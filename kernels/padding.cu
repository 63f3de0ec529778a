// Zeros around images, where opposite sides differ: cuDNN's convolutions have one number for both. The last rows and columns of
// an image may be missing from its copy.
//
// NCHW is [N*C, H, W, 1], NHWC [N, H, W, C].
#include "stream.cuh"

struct PadShape {
  Divisor height, width, inner;  // of the image without its zeros
  Divisor padded_height, padded_width;
  u32 top, left;
};

// Element i of an image of this height and width.
struct Spot {
  u32 image, row, column, within;
  __device__ __forceinline__ Spot(u32 i, const Divisor& height, const Divisor& width, const Divisor& inner) {
    u32 pixel = inner.quotient(i), line = width.quotient(pixel);
    within = i - pixel * inner.by;
    column = pixel - line * width.by;
    image = height.quotient(line);
    row = line - image * height.by;
  }
};
__device__ __forceinline__ u32 offset(const Spot& at, u32 height, u32 width, u32 inner) {
  return ((at.image * height + at.row) * width + at.column) * inner + at.within;
}

// y = x with zeros around it; 16 bytes lie within a pixel.
template <class T>
struct Pad {
  static const u32 WIDTH = Width<T>::value;
  typedef Words Values;
  const T* x;
  T* y;
  PadShape s;
  // Tells if there is an element of x for this one of y. A place before the image wraps around.
  __device__ __forceinline__ bool inside(u32 i, u32* from) const {
    Spot at(i, s.padded_height, s.padded_width, s.inner);
    at.row -= s.top;
    at.column -= s.left;
    *from = offset(at, s.height.by, s.width.by, s.inner.by);
    return at.row < s.height.by && at.column < s.width.by;
  }
  __device__ __forceinline__ Values load(u32 i) const {
    Values v = {{0u, 0u, 0u, 0u}};
    u32 from;
    if (inside(i, &from)) v = words(x, from);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const { put(y, i, v); }
  __device__ __forceinline__ void one(u32 i) const {
    u32 from;
    store(y, i, inside(i, &from) ? ::load(x, from) : 0.0f);
  }
};

// x = y without the zeros around it, and zeros where y has nothing.
template <class T>
struct Crop {
  static const u32 WIDTH = Width<T>::value;
  struct Values {
    Words y, x;
  };
  const T* y;
  T* x;
  PadShape s;
  u32 accumulate;
  // Tells if there is an element of y for this one of x.
  __device__ __forceinline__ bool inside(u32 i, u32* from) const {
    Spot at(i, s.height, s.width, s.inner);
    at.row += s.top;
    at.column += s.left;
    *from = offset(at, s.padded_height.by, s.padded_width.by, s.inner.by);
    return at.row < s.padded_height.by && at.column < s.padded_width.by;
  }
  __device__ __forceinline__ Values load(u32 i) const {
    Values v = {};
    u32 from;
    if (inside(i, &from)) v.y = words(y, from);
    if (accumulate) v.x = words(x, i);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    if (!accumulate) return put(x, i, v.y);
    float a[WIDTH], old[WIDTH];
    widen(v.y, y, a);
    widen(v.x, y, old);
    for (u32 k = 0; k < WIDTH; ++k) a[k] += old[k];
    put(x, i, narrow(a, y));
  }
  __device__ __forceinline__ void one(u32 i) const {
    u32 from;
    store_or_add(x, i, inside(i, &from) ? ::load(y, from) : 0.0f, accumulate);
  }
};

// n elements of y.
template <class T>
__device__ __forceinline__ void pad(const T* x, T* y, const PadShape& s, u32 n) {
  Pad<T> op = {x, y, s};
  stream<2>(op, n, aligned(x, y) && s.inner.by % Width<T>::value == 0u);
}

// n elements of x.
template <class T>
__device__ __forceinline__ void crop(const T* y, T* x, const PadShape& s, u32 accumulate, u32 n) {
  Crop<T> op = {y, x, s, accumulate};
  stream<2>(op, n, aligned(x, y) && s.inner.by % Width<T>::value == 0u);
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
