// Local response normalisation across channels, as in Caffe and PyTorch:
//   scale = k + alpha / size * (sum of x^2 over the window);  y = x * scale^-beta
//   dx_i = dy_i * scale_i^-beta - 2 * alpha * beta / size * x_i * (sum over windows j holding i of dy_j * y_j / scale_j)
// The window of channel c is [c - size / 2, c + (size - 1) / 2]. `scale` (f32) is kept for the backward pass.
#include "stream.cuh"

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

__device__ __forceinline__ float power(float scale, float exponent) { return exp2f(exponent * log2f(scale)); }

// Channels that a vector's neighbours on either side give to its windows.
const u32 HALO = 4;

// Forward and backward sum a term over a window: `Pass` has Raw, what it reads for 16 bytes; raw(i); terms(raw, array); finish(i, raw,
// sums), which writes; and term(i) and one(i, sum) for a single element.
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
    float before[WIDTH], here[WIDTH], after[WIDTH], sums[WIDTH], terms[WIDTH + 2u * HALO];
    this->pass.terms(v.before, before);
    this->pass.terms(v.here, here);
    this->pass.terms(v.after, after);
    bool begins = channel == 0u, ends = channel + WIDTH == this->s.channels.by;
#pragma unroll
    for (u32 k = 0; k < HALO; ++k) {
      terms[k] = begins ? 0.0f : before[WIDTH - HALO + k];
      terms[HALO + WIDTH + k] = ends ? 0.0f : after[k];
    }
    for (u32 k = 0; k < WIDTH; ++k) terms[HALO + k] = here[k];
#pragma unroll
    for (u32 k = 0; k < WIDTH; ++k) {
      sums[k] = 0.0f;
#pragma unroll
      for (u32 d = 0; d <= 2u * HALO; ++d)
        if (d + this->below >= HALO && d <= HALO + this->above) sums[k] += terms[k + d];
    }
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

// 32-bit numbers beside a vector of T.
template <class T>
struct Floats {
  static const u32 FOURS = Width<T>::value / 4u;
  Words w[FOURS];
  __device__ __forceinline__ float operator[](u32 k) const { return __uint_as_float(w[k / 4u].w[k % 4u]); }
};

template <class T>
struct Forward {
  static const u32 WIDTH = Width<T>::value;
  typedef Words Raw;
  const T* x;
  T* y;
  float* scale;
  float share, beta, k;
  __device__ __forceinline__ Raw raw(u32 i) const { return words(x, i); }
  __device__ __forceinline__ void terms(const Raw& v, float (&to)[WIDTH]) const {
    widen(v, x, to);
    for (u32 j = 0; j < WIDTH; ++j) to[j] *= to[j];
  }
  __device__ __forceinline__ void finish(u32 i, const Raw& v, float (&sums)[WIDTH]) const {
    float a[WIDTH];
    widen(v, x, a);
#pragma unroll
    for (u32 q = 0; q < Floats<T>::FOURS; ++q) {
      Words kept;
      for (u32 j = 0; j < 4u; ++j) {
        float sum = k + share * sums[4u * q + j];
        kept.w[j] = __float_as_uint(sum);
        a[4u * q + j] *= power(sum, -beta);
      }
      put(scale, i + 4u * q, kept);
    }
    put(y, i, narrow(a, x));
  }
  __device__ __forceinline__ float term(u32 i) const {
    float v = load(x, i);
    return v * v;
  }
  __device__ __forceinline__ void one(u32 i, float sum) const {
    scale[i] = sum = k + share * sum;
    store(y, i, load(x, i) * power(sum, -beta));
  }
};

template <class T>
struct Backward {
  static const u32 WIDTH = Width<T>::value;
  struct Raw {
    Words y, dy;
    Floats<T> scale;
  };
  const T *x, *y, *dy;
  const float* scale;
  T* dx;
  float factor, beta;
  u32 accumulate;
  __device__ __forceinline__ Raw raw(u32 i) const {
    Raw v;
    v.y = words(y, i);
    v.dy = words(dy, i);
#pragma unroll
    for (u32 q = 0; q < Floats<T>::FOURS; ++q) v.scale.w[q] = words(scale, i + 4u * q);
    return v;
  }
  __device__ __forceinline__ void terms(const Raw& v, float (&to)[WIDTH]) const {
    float a[WIDTH];
    widen(v.dy, x, to);
    widen(v.y, x, a);
    for (u32 k = 0; k < WIDTH; ++k) to[k] = __fdividef(to[k] * a[k], v.scale[k]);
  }
  __device__ __forceinline__ void finish(u32 i, const Raw& v, const float (&sums)[WIDTH]) const {
    float a[WIDTH], d[WIDTH];
    widen(words(x, i), x, a);
    widen(v.dy, x, d);
    for (u32 k = 0; k < WIDTH; ++k) a[k] = d[k] * power(v.scale[k], -beta) - factor * a[k] * sums[k];
    if (accumulate) {
      widen(words(dx, i), x, d);
      for (u32 k = 0; k < WIDTH; ++k) a[k] += d[k];
    }
    put(dx, i, narrow(a, x));
  }
  __device__ __forceinline__ float term(u32 i) const { return __fdividef(load(dy, i) * load(y, i), scale[i]); }
  __device__ __forceinline__ void one(u32 i, float sum) const {
    float direct = load(dy, i) * power(scale[i], -beta);
    store_or_add(dx, i, direct - factor * load(x, i) * sum, accumulate);
  }
};

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
