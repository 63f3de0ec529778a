// Local response normalisation within each channel, as Caffe's WITHIN_CHANNEL:
//   scale = k + alpha / size^2 * (sum of x^2 over the size x size pixels around);  y = x * scale^-beta
//   dx_i = dy_i * scale_i^-beta - 2 * alpha * beta / size^2 * x_i * (sum over pixels j around i of dy_j * y_j / scale_j)
// `size` is odd. `scale` (f32) is kept for the backward pass.
#include "common.cuh"

struct WithinShape {
  u32 height, width;
  u32 inner;  // elements from a pixel to its neighbour: 1 in NCHW, the channels in NHWC
  u32 size;
  float alpha, beta, k;
};

__device__ __forceinline__ float power(float scale, float exponent) { return exp2f(exponent * log2f(scale)); }

// Pixels around element i that exist.
struct Around {
  u32 base;
  int top, bottom, left, right;
  __device__ __forceinline__ Around(u32 i, const WithinShape& s) {
    u32 pixel = i / s.inner, column = pixel % s.width, row = pixel / s.width % s.height;
    int half = (int)(s.size / 2u);
    base = i - (row * s.width + column) * s.inner;
    top = max((int)row - half, 0);
    bottom = min((int)row + half, (int)s.height - 1);
    left = max((int)column - half, 0);
    right = min((int)column + half, (int)s.width - 1);
  }
  __device__ __forceinline__ u32 at(int row, int column, const WithinShape& s) const {
    return base + ((u32)row * s.width + (u32)column) * s.inner;
  }
};

template <class T>
__device__ __forceinline__ void lrn_within_forward(const T* x, T* y, float* scale, const WithinShape& s, u32 n) {
  GRID_STRIDE(i, n) {
    Around around(i, s);
    float sum = 0.0f;
    for (int row = around.top; row <= around.bottom; ++row)
      for (int column = around.left; column <= around.right; ++column) {
        float v = load(x, around.at(row, column, s));
        sum += v * v;
      }
    sum = s.k + s.alpha / (float)(s.size * s.size) * sum;
    scale[i] = sum;
    store(y, i, load(x, i) * power(sum, -s.beta));
  }
}

template <class T>
__device__ __forceinline__ void lrn_within_backward(const T* x, const T* y, const float* scale, const T* dy, T* dx,
                                                    const WithinShape& s, u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) {
    Around around(i, s);
    float sum = 0.0f;
    for (int row = around.top; row <= around.bottom; ++row)
      for (int column = around.left; column <= around.right; ++column) {
        u32 j = around.at(row, column, s);
        sum += load(dy, j) * load(y, j) / scale[j];
      }
    float direct = load(dy, i) * power(scale[i], -s.beta);
    float factor = 2.0f * s.alpha * s.beta / (float)(s.size * s.size);
    store_or_add(dx, i, direct - factor * load(x, i) * sum, accumulate);
  }
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
