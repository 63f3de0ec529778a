// Local response normalisation within each channel, as Caffe's WITHIN_CHANNEL: over size x size pixels around each, with
// share = alpha / size^2 and factor = 2 * alpha * beta / size^2. `size` is odd.
#include "lrn.cuh"

struct WithinShape {
  Divisor height, width;
  Divisor inner;  // elements from a pixel to its neighbour: 1 in NCHW, the channels in NHWC
  u32 size;
  float alpha, beta, k;
};

// The pixels around the one that holds an element, clipped to those that there are.
struct Around {
  u32 column, base, inner, width;
  int top, bottom, left, right;
  __device__ __forceinline__ Around(u32 i, const WithinShape& s) {
    u32 pixel = s.inner.quotient(i), line = s.width.quotient(pixel), row = s.height.remainder(line);
    int half = (int)(s.size / 2u);
    inner = s.inner.by;
    width = s.width.by;
    column = pixel - line * width;
    base = i - (row * width + column) * inner;
    top = max((int)row - half, 0);
    bottom = min(row + half, s.height.by - 1u);
    left = max((int)column - half, 0);
    right = min(column + half, width - 1u);
  }
  // The element of the same channel in another pixel.
  __device__ __forceinline__ u32 at(int row, int column) const {
    return base + ((u32)row * width + (u32)column) * inner;
  }
};

// Sums over windows, for a pass.
template <class T, class Pass>
struct Windows {
  static const u32 WIDTH = Width<T>::value;
  typedef typename Pass::Raw Values;
  Pass pass;
  WithinShape s;
  __device__ __forceinline__ Values load(u32 i) const { return pass.raw(i); }
  __device__ __forceinline__ void one(u32 i) const {
    Around around(i, s);
    float sum = 0.0f;
    for (int row = around.top; row <= around.bottom; ++row)
      for (int column = around.left; column <= around.right; ++column) sum += pass.term(around.at(row, column));
    pass.one(i, sum);
  }
};

// Vectors of channels: those of each pixel of the window are added.
template <class T, class Pass>
struct InChannels : Windows<T, Pass> {
  typedef Windows<T, Pass> Base;
  static const u32 WIDTH = Base::WIDTH;
  __device__ __forceinline__ InChannels(const Base& base) : Base(base) {}
  __device__ __forceinline__ void finish(u32 i, const typename Base::Values& v) const {
    Around around(i, this->s);
    float sums[WIDTH] = {}, terms[WIDTH];
#pragma unroll 1
    for (int row = around.top; row <= around.bottom; ++row)
#pragma unroll 1
      for (int column = around.left; column <= around.right; ++column) {
        this->pass.terms(this->pass.raw(around.at(row, column)), terms);
        for (u32 k = 0; k < WIDTH; ++k) sums[k] += terms[k];
      }
    this->pass.finish(i, v, sums);
  }
};

// Vectors of pixels in a row: those of each row of the window are added.
template <class T, class Pass>
struct InRows : Windows<T, Pass> {
  typedef Windows<T, Pass> Base;
  static const u32 WIDTH = Base::WIDTH;
  __device__ __forceinline__ InRows(const Base& base) : Base(base) {}
  __device__ __forceinline__ void finish(u32 i, const typename Base::Values& v) const {
    Around around(i, this->s);
    bool begins = around.column == 0u, ends = around.column + WIDTH == around.width;
    u32 half = this->s.size / 2u;
    float sums[WIDTH] = {};
#pragma unroll 1
    for (int row = around.top; row <= around.bottom; ++row) {
      u32 here = around.at(row, (int)around.column);
      add_windows<T>(this->pass, this->pass.raw(begins ? here : here - WIDTH), this->pass.raw(here),
                     this->pass.raw(ends ? here : here + WIDTH), begins, ends, half, half, sums);
    }
    this->pass.finish(i, v, sums);
  }
};

template <class T, class Pass>
__device__ __forceinline__ void over_windows(const Pass& pass, const WithinShape& s, u32 n, bool whole) {
  Windows<T, Pass> op = {pass, s};
  bool in_rows = s.inner.by == 1u && s.width.by % Width<T>::value == 0u && s.size <= 2u * HALO + 1u;
  if (in_rows)
    stream<1>(InRows<T, Pass>(op), n, whole);
  else
    stream<1>(InChannels<T, Pass>(op), n, whole && s.inner.by % Width<T>::value == 0u);
}

__device__ __forceinline__ float share(const WithinShape& s) { return s.alpha / (float)(s.size * s.size); }

template <class T>
__device__ __forceinline__ void lrn_within_forward(const T* x, T* y, float* scale, const WithinShape& s, u32 n) {
  Forward<T> pass = {x, y, scale, share(s), s.beta, s.k};
  over_windows<T>(pass, s, n, aligned(x, y, scale));
}

template <class T>
__device__ __forceinline__ void lrn_within_backward(const T* x, const T* y, const float* scale, const T* dy, T* dx,
                                                    const WithinShape& s, u32 accumulate, u32 n) {
  Backward<T> pass = {x, y, dy, scale, dx, 2.0f * share(s) * s.beta, s.beta, accumulate};
  over_windows<T>(pass, s, n, aligned(x, y, scale) && aligned(dy, dx));
}

#define LRN_WITHIN(SUFFIX, T)                                                                                       \
  KERNEL_FN lrn_within_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, float* __restrict__ scale,      \
                                        const WithinShape shape, u32 n) {                                           \
    lrn_within_forward(x, y, scale, shape, n);                                                                      \
  }                                                                                                                 \
  KERNEL_FN lrn_within_backward_##SUFFIX(const T* __restrict__ x, const T* __restrict__ y,                          \
                                         const float* __restrict__ scale, const T* __restrict__ dy,                 \
                                         T* __restrict__ dx, const WithinShape shape, u32 accumulate, u32 n) {      \
    lrn_within_backward(x, y, scale, dy, dx, shape, accumulate, n);                                                 \
  }
FOR_EACH_TYPE(LRN_WITHIN)
