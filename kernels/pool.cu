// Max and average pooling for what cuDNN has no form: ceil windows, adaptive windows, a defined winner among equals.
//
// One thread per output (forward) or per input (backward): gradients are gathered, never added with atomics, so the
// result is deterministic. A window is [o * stride - pad, + kernel) clipped to the input; with kernel = 0 the
// windows are adaptive: [floor(o * in / out), ceil((o + 1) * in / out)), as in PyTorch.
#include "common.cuh"

struct PoolShape {
  u32 channels, in_h, in_w, out_h, out_w;
  u32 kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, after_h, after_w;
  u32 counts_padding;  // in an average's divisor
  u32 nhwc;
};

// Element i of a tensor [images, channels, height, width] in either layout.
struct Place {
  u32 image, channel, row, column;
  __device__ __forceinline__ Place(u32 i, u32 channels, u32 height, u32 width, u32 nhwc) {
    channel = nhwc ? i % channels : i / (height * width) % channels;
    u32 pixel = nhwc ? i / channels : i;
    column = pixel % width;
    row = pixel / width % height;
    image = i / (channels * height * width);
  }
};
__device__ __forceinline__ u32 offset(u32 image, u32 channel, u32 row, u32 column, u32 channels, u32 height, u32 width,
                                      u32 nhwc) {
  return nhwc ? ((image * height + row) * width + column) * channels + channel
              : ((image * channels + channel) * height + row) * width + column;
}

// A half-open range along one axis.
struct Range {
  int begin, end;
};
// The inputs of window o; `area` is its extent, with the padding counted if `counts`, as Caffe and PyTorch count it.
__device__ __forceinline__ Range window(int o, int in, int out, int kernel, int stride, int pad, int after, u32 counts,
                                        int* area) {
  Range r;
  if (kernel == 0) {
    r.begin = o * in / out;
    r.end = ((o + 1) * in + out - 1) / out;
    *area = r.end - r.begin;
  } else {
    int begin = o * stride - pad, end = min(begin + kernel, in + after);
    r.begin = max(begin, 0);
    r.end = min(end, in);
    *area = counts ? end - begin : r.end - r.begin;
  }
  return r;
}
__device__ __forceinline__ Range window_rows(int o, const PoolShape& s, int* height) {
  return window(o, s.in_h, s.out_h, s.kernel_h, s.stride_h, s.pad_h, s.after_h, s.counts_padding, height);
}
__device__ __forceinline__ Range window_columns(int o, const PoolShape& s, int* width) {
  return window(o, s.in_w, s.out_w, s.kernel_w, s.stride_w, s.pad_w, s.after_w, s.counts_padding, width);
}
// The windows that input i belongs to.
__device__ __forceinline__ Range windows_of(int i, int in, int out, int kernel, int stride, int pad) {
  Range r;
  if (kernel == 0) {
    r.begin = i * out / in;
    r.end = ((i + 1) * out + in - 1) / in;
  } else {
    int first = i + pad - kernel + 1;
    r.begin = first <= 0 ? 0 : (first + stride - 1) / stride;
    r.end = min((i + pad) / stride + 1, out);
  }
  return r;
}

// winner: the offset row * in_w + column of the first maximum in its plane, for the backward pass. NaN wins.
template <class T>
__device__ __forceinline__ void maxpool_forward(const T* x, T* y, u32* winner, const PoolShape& s, u32 n) {
  GRID_STRIDE(i, n) {
    Place at(i, s.channels, s.out_h, s.out_w, s.nhwc);
    int area;
    Range rows = window_rows(at.row, s, &area);
    Range cols = window_columns(at.column, s, &area);
    float best = Max::neutral();
    u32 which = rows.begin * s.in_w + cols.begin;
    for (int row = rows.begin; row < rows.end; ++row)
      for (int col = cols.begin; col < cols.end; ++col) {
        float v = load(x, offset(at.image, at.channel, row, col, s.channels, s.in_h, s.in_w, s.nhwc));
        if (v > best || v != v) {
          best = v;
          which = row * s.in_w + col;
        }
      }
    store(y, i, best);
    winner[i] = which;
  }
}

template <class T>
__device__ __forceinline__ void maxpool_backward(const T* dy, const u32* winner, T* dx, const PoolShape& s,
                                                 u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) {
    Place at(i, s.channels, s.in_h, s.in_w, s.nhwc);
    Range rows = windows_of(at.row, s.in_h, s.out_h, s.kernel_h, s.stride_h, s.pad_h);
    Range cols = windows_of(at.column, s.in_w, s.out_w, s.kernel_w, s.stride_w, s.pad_w);
    u32 self = at.row * s.in_w + at.column;
    float sum = 0.0f;
    for (int row = rows.begin; row < rows.end; ++row)
      for (int col = cols.begin; col < cols.end; ++col) {
        u32 o = offset(at.image, at.channel, row, col, s.channels, s.out_h, s.out_w, s.nhwc);
        if (winner[o] == self) sum += load(dy, o);
      }
    store_or_add(dx, i, sum, accumulate);
  }
}

template <class T>
__device__ __forceinline__ void avgpool_forward(const T* x, T* y, const PoolShape& s, u32 n) {
  GRID_STRIDE(i, n) {
    Place at(i, s.channels, s.out_h, s.out_w, s.nhwc);
    int height, width;
    Range rows = window_rows(at.row, s, &height);
    Range cols = window_columns(at.column, s, &width);
    float sum = 0.0f;
    for (int row = rows.begin; row < rows.end; ++row)
      for (int col = cols.begin; col < cols.end; ++col)
        sum += load(x, offset(at.image, at.channel, row, col, s.channels, s.in_h, s.in_w, s.nhwc));
    store(y, i, sum / (float)(height * width));
  }
}

template <class T>
__device__ __forceinline__ void avgpool_backward(const T* dy, T* dx, const PoolShape& s, u32 accumulate, u32 n) {
  GRID_STRIDE(i, n) {
    Place at(i, s.channels, s.in_h, s.in_w, s.nhwc);
    Range rows = windows_of(at.row, s.in_h, s.out_h, s.kernel_h, s.stride_h, s.pad_h);
    Range cols = windows_of(at.column, s.in_w, s.out_w, s.kernel_w, s.stride_w, s.pad_w);
    float sum = 0.0f;
    for (int row = rows.begin; row < rows.end; ++row)
      for (int col = cols.begin; col < cols.end; ++col) {
        int height, width;
        window_rows(row, s, &height);
        window_columns(col, s, &width);
        u32 o = offset(at.image, at.channel, row, col, s.channels, s.out_h, s.out_w, s.nhwc);
        sum += load(dy, o) / (float)(height * width);
      }
    store_or_add(dx, i, sum, accumulate);
  }
}

#define POOL(SUFFIX, T)                                                                                              \
  KERNEL_FN maxpool_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, u32* __restrict__ winner,           \
                                     const PoolShape shape, u32 n) {                                                 \
    maxpool_forward(x, y, winner, shape, n);                                                                         \
  }                                                                                                                  \
  KERNEL_FN maxpool_backward_##SUFFIX(const T* __restrict__ dy, const u32* __restrict__ winner, T* __restrict__ dx,  \
                                      const PoolShape shape, u32 accumulate, u32 n) {                                \
    maxpool_backward(dy, winner, dx, shape, accumulate, n);                                                          \
  }                                                                                                                  \
  KERNEL_FN avgpool_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, const PoolShape shape, u32 n) {     \
    avgpool_forward(x, y, shape, n);                                                                                 \
  }                                                                                                                  \
  KERNEL_FN avgpool_backward_##SUFFIX(const T* __restrict__ dy, T* __restrict__ dx, const PoolShape shape,           \
                                      u32 accumulate, u32 n) {                                                       \
    avgpool_backward(dy, dx, shape, accumulate, n);                                                                  \
  }
FOR_EACH_TYPE(POOL)
