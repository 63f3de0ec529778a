// Local response normalisation across channels, as in Caffe and PyTorch:
//   scale = k + alpha / size * (sum of x^2 over the window);  y = x * scale^-beta
//   dx_i = dy_i * scale_i^-beta - 2 * alpha * beta / size * x_i * (sum over windows j holding i of dy_j * y_j / scale_j)
// The window of channel c is [c - size / 2, c + (size - 1) / 2]. `scale` (f32) is kept for the backward pass.
#include "common.cuh"

struct LrnShape {
  u32 channels, spatial, nhwc, size;
  float alpha, beta, k;
};

// Where element i's image and pixel begin, and how far apart its channels lie.
struct Column {
  u32 base, stride, channel;
  __device__ __forceinline__ Column(u32 i, const LrnShape& s) {
    stride = s.nhwc ? 1u : s.spatial;
    channel = i / stride % s.channels;
    base = i - channel * stride;
  }
};

__device__ __forceinline__ float power(float scale, float exponent) { return exp2f(exponent * log2f(scale)); }

template <class T>
__device__ __forceinline__ void lrn_forward(const T* x, T* y, float* scale, const LrnShape& s, u32 n) {
  GRID_STRIDE(i, n) {
    Column at(i, s);
    int first = max((int)at.channel - (int)(s.size / 2u), 0);
    int last = min(at.channel + (s.size - 1u) / 2u, s.channels - 1u);
    float sum = 0.0f;
    for (int c = first; c <= last; ++c) {
      float v = load(x, at.base + c * at.stride);
      sum += v * v;
    }
    sum = s.k + s.alpha / (float)s.size * sum;
    scale[i] = sum;
    store(y, i, load(x, i) * power(sum, -s.beta));
  }
}

template <class T>
__device__ __forceinline__ void lrn_backward(const T* x, const T* y, const float* scale, const T* dy, T* dx,
                                             const LrnShape& s, u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) {
    Column at(i, s);
    int first = max((int)at.channel - (int)((s.size - 1u) / 2u), 0);
    int last = min(at.channel + s.size / 2u, s.channels - 1u);
    float sum = 0.0f;
    for (int c = first; c <= last; ++c) {
      u32 j = at.base + c * at.stride;
      sum += load(dy, j) * load(y, j) / scale[j];
    }
    float direct = load(dy, i) * power(scale[i], -s.beta);
    store_or_add(dx, i, direct - 2.0f * s.alpha * s.beta / (float)s.size * load(x, i) * sum, accumulate);
  }
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
