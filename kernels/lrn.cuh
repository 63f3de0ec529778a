// What both local response normalisations share:
//   scale = k + share * (sum of x^2 over a window);  y = x * scale^-beta
//   dx_i = dy_i * scale_i^-beta - factor * x_i * (sum over windows j holding i of dy_j * y_j / scale_j)
// Both sum a term over a window. A pass, Forward or Backward, has Raw, what it reads for 16 bytes; raw(i); terms(raw, array);
// finish(i, raw, sums), which writes; and term(i) and one(i, sum) for a single element. `scale` (f32) is kept for the way back.
#pragma once
#include "stream.cuh"

__device__ __forceinline__ float power(float scale, float exponent) { return exp2f(exponent * log2f(scale)); }

// Elements that a vector's neighbours on either side give to its windows.
const u32 HALO = 4;

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

// Adds to the sums of a vector the terms of windows along it: what they reach on either side is in the vectors beside, or is not there.
template <class T, class Pass>
__device__ __forceinline__ void add_windows(const Pass& pass, const typename Pass::Raw& before, const typename Pass::Raw& here,
                                            const typename Pass::Raw& after, bool begins, bool ends, u32 below, u32 above,
                                            float (&sums)[Width<T>::value]) {
  const u32 WIDTH = Width<T>::value;
  float left[WIDTH], middle[WIDTH], right[WIDTH], terms[WIDTH + 2u * HALO];
  pass.terms(before, left);
  pass.terms(here, middle);
  pass.terms(after, right);
#pragma unroll
  for (u32 k = 0; k < HALO; ++k) {
    terms[k] = begins ? 0.0f : left[WIDTH - HALO + k];
    terms[HALO + WIDTH + k] = ends ? 0.0f : right[k];
  }
  for (u32 k = 0; k < WIDTH; ++k) terms[HALO + k] = middle[k];
#pragma unroll
  for (u32 k = 0; k < WIDTH; ++k) {
#pragma unroll
    for (u32 d = 0; d <= 2u * HALO; ++d)
      if (d + below >= HALO && d <= HALO + above) sums[k] += terms[k + d];
  }
}
