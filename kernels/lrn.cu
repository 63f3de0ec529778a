// Local response normalisation across channels, as in Caffe and PyTorch:
//   scale = k + alpha / size * (sum of x^2 over the window);  y = x * scale^-beta
//   dx_i = dy_i * scale_i^-beta - 2 * alpha * beta / size * x_i * (sum over windows j holding i of dy_j * y_j / scale_j)
// The window of channel c is [c - size / 2, c + (size - 1) / 2]. `scale` (f32) is kept for the backward pass.
#include "lrn.cuh"

struct LrnShape {
  Divisor channels, spatial;
  u32 nhwc, size;
  float alpha, beta, k;
  __device__ __forceinline__ u32 channel(u32 i) const { return channels.remainder(nhwc ? i : spatial.quotient(i)); }
  __device__ __forceinline__ u32 stride() const { return nhwc ? 1u : spatial.by; }
};

// The channels of a window around one, clipped to those that there are.
struct Window {
  int first, last;
  __device__ __forceinline__ Window(u32 channel, u32 below, u32 above, const LrnShape& s) {
    first = max((int)channel - (int)below, 0);
    last = min(channel + above, s.channels.by - 1u);
  }
};

// Sums over windows of channels, for a pass.
template <class T, class Pass>
struct Windows {
  static const u32 WIDTH = Width<T>::value;
  Pass pass;
  LrnShape s;
  u32 below, above;
  __device__ __forceinline__ void one(u32 i) const {
    u32 channel = s.channel(i), stride = s.stride(), base = i - channel * stride;
    Window window(channel, below, above, s);
    float sum = 0.0f;
    for (int c = window.first; c <= window.last; ++c) sum += pass.term(base + c * stride);
    pass.one(i, sum);
  }
};

// Vectors of channels: what the windows reach on either side is in the vectors beside.
template <class T, class Pass>
struct InChannels : Windows<T, Pass> {
  typedef Windows<T, Pass> Base;
  static const u32 WIDTH = Base::WIDTH;
  struct Values {
    typename Pass::Raw before, here, after;
  };
  __device__ __forceinline__ InChannels(const Base& base) : Base(base) {}
  __device__ __forceinline__ Values load(u32 i) const {
    u32 channel = this->s.channels.remainder(i);
    Values v;
    v.here = this->pass.raw(i);
    v.before = this->pass.raw(channel == 0u ? i : i - WIDTH);
    v.after = this->pass.raw(channel + WIDTH == this->s.channels.by ? i : i + WIDTH);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    u32 channel = this->s.channels.remainder(i);
    bool begins = channel == 0u, ends = channel + WIDTH == this->s.channels.by;
    float sums[WIDTH] = {};
    add_windows<T>(this->pass, v.before, v.here, v.after, begins, ends, this->below, this->above, sums);
    this->pass.finish(i, v.here, sums);
  }
};

// Vectors of places in a plane: a window is in as many planes.
template <class T, class Pass>
struct InPlanes : Windows<T, Pass> {
  typedef Windows<T, Pass> Base;
  static const u32 WIDTH = Base::WIDTH;
  typedef typename Pass::Raw Values;
  __device__ __forceinline__ InPlanes(const Base& base) : Base(base) {}
  __device__ __forceinline__ Values load(u32 i) const { return this->pass.raw(i); }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    u32 channel = this->s.channel(i), base = i - channel * this->s.spatial.by;
    Window window(channel, this->below, this->above, this->s);
    float sums[WIDTH] = {}, terms[WIDTH];
#pragma unroll 2
    for (int c = window.first; c <= window.last; ++c) {
      this->pass.terms(this->pass.raw(base + c * this->s.spatial.by), terms);
      for (u32 k = 0; k < WIDTH; ++k) sums[k] += terms[k];
    }
    this->pass.finish(i, v, sums);
  }
};

template <class T, class Pass>
__device__ __forceinline__ void over_windows(const Pass& pass, const LrnShape& s, u32 below, u32 above, u32 n, bool whole) {
  Windows<T, Pass> op = {pass, s, below, above};
  if (s.nhwc)
    stream<1>(InChannels<T, Pass>(op), n, whole && s.size <= 2u * HALO + 1u && s.channels.by % Width<T>::value == 0u);
  else
    stream<1>(InPlanes<T, Pass>(op), n, whole && s.spatial.by % Width<T>::value == 0u);
}

template <class T>
__device__ __forceinline__ void lrn_forward(const T* x, T* y, float* scale, const LrnShape& s, u32 n) {
  Forward<T> pass = {x, y, scale, s.alpha / (float)s.size, s.beta, s.k};
  over_windows<T>(pass, s, s.size / 2u, (s.size - 1u) / 2u, n, aligned(x, y, scale));
}

template <class T>
__device__ __forceinline__ void lrn_backward(const T* x, const T* y, const float* scale, const T* dy, T* dx,
                                             const LrnShape& s, u32 accumulate, u32 n) {
  Backward<T> pass = {x, y, dy, scale, dx, 2.0f * s.alpha * s.beta / (float)s.size, s.beta, accumulate};
  over_windows<T>(pass, s, (s.size - 1u) / 2u, s.size / 2u, n, aligned(x, y, scale) && aligned(dy, dx));
}

#define LRN(SUFFIX, T)                                                                                              \
  KERNEL_FN lrn_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, float* __restrict__ scale,             \
                                 const LrnShape shape, u32 n) {                                                     \
    lrn_forward(x, y, scale, shape, n);                                                                             \
  }                                                                                                                 \
  KERNEL_FN lrn_backward_##SUFFIX(const T* __restrict__ x, const T* __restrict__ y, const float* __restrict__ scale, \
                                  const T* __restrict__ dy, T* __restrict__ dx, const LrnShape shape,               \
                                  u32 accumulate, u32 n) {                                                          \
    lrn_backward(x, y, scale, dy, dx, shape, accumulate, n);                                                        \
  }
FOR_EACH_TYPE(LRN)
