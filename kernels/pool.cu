// Max and average pooling for what cuDNN has no form: ceil windows, adaptive windows, a defined winner among equals.
//
// A thread computes one output (forward) or one input (backward), or in NHWC as many channels of it as 16 bytes have: gradients are
// gathered, never added with atomics, so the result is deterministic. A window is every step-th pixel of
// [o * stride - pad, + extent) clipped to the input; with extent = 0 the windows are adaptive:
// [floor(o * in / out), ceil((o + 1) * in / out)), as in PyTorch. Averages have a step of 1.
#include "stream.cuh"

// One axis. Sizes have fewer than 2^15 elements where windows are adaptive, so that their product can be divided.
struct Axis {
  Divisor in, out, stride;
  u32 extent, pad, after;  // padding before the image, and behind it
};
struct PoolShape {
  Divisor channels;
  Axis rows, columns;
  u32 counts_padding;  // in an average's divisor
  u32 nhwc;
  u32 row_step, column_step;  // pixels between neighbouring elements of a maximum's window
};

// A half-open range along one axis.
struct Range {
  int begin, end;
};
// The inputs of window o; `area` is its extent, with the padding counted if `counts`, as Caffe and PyTorch count it.
__device__ __forceinline__ Range window(int o, const Axis& a, u32 counts, int* area) {
  Range r;
  int in = a.in.by;
  if (a.extent == 0u) {
    r.begin = a.out.quotient(o * in);
    r.end = a.out.quotient((o + 1) * in + a.out.by - 1u);
    *area = r.end - r.begin;
  } else {
    int begin = o * a.stride.by - a.pad, end = min(begin + (int)a.extent, in + (int)a.after);
    r.begin = max(begin, 0);
    r.end = min(end, in);
    *area = counts ? end - begin : r.end - r.begin;
  }
  return r;
}
// The same of a fixed window with steps: it begins with its first element within the input.
__device__ __forceinline__ Range stepping_window(int o, const Axis& a, u32 step) {
  int begin = o * a.stride.by - a.pad;
  Range r = {begin, min(begin + (int)a.extent, (int)a.in.by)};
  while (r.begin < 0) r.begin += step;
  return r;
}
// The windows that reach over input i.
__device__ __forceinline__ Range windows_of(int i, const Axis& a) {
  Range r;
  int out = a.out.by;
  if (a.extent == 0u) {
    r.begin = a.in.quotient(i * out);
    r.end = a.in.quotient((i + 1) * out + a.in.by - 1u);
  } else {
    int first = i + a.pad - a.extent + 1;
    r.begin = first <= 0 ? 0 : a.stride.quotient(first + a.stride.by - 1u);
    r.end = min((int)a.stride.quotient(i + a.pad) + 1, out);
  }
  return r;
}

// An element of a tensor of outputs (or of inputs), and the plane of the other tensor that it belongs to: the places of the plane
// are at base + (row * width + column) * step.
struct Place {
  u32 row, column, base, step;
  __device__ __forceinline__ Place(u32 i, const PoolShape& s, const Divisor& height, const Divisor& width, u32 others) {
    u32 channel = 0u, pixel = i;
    step = 1u;
    if (s.nhwc) {
      pixel = s.channels.quotient(i);
      channel = i - pixel * s.channels.by;
      step = s.channels.by;
    }
    u32 line = width.quotient(pixel), plane = height.quotient(line);
    column = pixel - line * width.by;
    row = line - plane * height.by;
    base = plane * others * step + channel;
  }
  static __device__ __forceinline__ Place of_output(u32 i, const PoolShape& s) {
    return Place(i, s, s.rows.out, s.columns.out, s.rows.in.by * s.columns.in.by);
  }
  static __device__ __forceinline__ Place of_input(u32 i, const PoolShape& s) {
    return Place(i, s, s.rows.in, s.columns.in, s.rows.out.by * s.columns.out.by);
  }
};

template <class T>
__device__ __forceinline__ void read(const T* p, u32 i, float (&to)[1]) {
  to[0] = load(p, i);
}
template <class T>
__device__ __forceinline__ void read(const T* p, u32 i, float (&to)[Width<T>::value]) {
  widen(words(p, i), p, to);
}
template <class T>
__device__ __forceinline__ void write(T* p, u32 i, const float (&from)[1]) {
  store(p, i, from[0]);
}
template <class T>
__device__ __forceinline__ void write(T* p, u32 i, const float (&from)[Width<T>::value]) {
  put(p, i, narrow(from, p));
}
// 32-bit numbers beside N elements.
template <u32 N>
__device__ __forceinline__ void read_numbers(const u32* p, u32 i, u32 (&to)[N]) {
  if (N == 1u) {
    to[0] = p[i];
  } else {
#pragma unroll
    for (u32 q = 0; q + 4u <= N; q += 4u) {
      Words v = words(p, i + q);
      for (u32 k = 0; k < 4u; ++k) to[q + k] = v.w[k];
    }
  }
}
template <u32 N>
__device__ __forceinline__ void write_numbers(u32* p, u32 i, const u32 (&from)[N]) {
  if (N == 1u) {
    p[i] = from[0];
  } else {
#pragma unroll
    for (u32 q = 0; q + 4u <= N; q += 4u) {
      Words v = {{from[q], from[q + 1u], from[q + 2u], from[q + 3u]}};
      put(p, i + q, v);
    }
  }
}

// Pools have nothing to read before they know their windows: `Pool` has at<N>(i), which does N elements.
struct Nothing {};
template <class T, class Pool>
struct Each {
  static const u32 WIDTH = Width<T>::value;
  typedef Nothing Values;
  Pool pool;
  __device__ __forceinline__ Values load(u32) const { return Nothing(); }
  __device__ __forceinline__ void finish(u32 i, const Values&) const { pool.template at<WIDTH>(i); }
  __device__ __forceinline__ void one(u32 i) const { pool.template at<1u>(i); }
};
template <class T, class Pool>
__device__ __forceinline__ void over(const Pool& pool, u32 n, bool whole) {
  Each<T, Pool> op = {pool};
  stream<1>(op, n, whole && pool.s.nhwc && pool.s.channels.by % Width<T>::value == 0u);
}

// winner: the offset row * in_w + column of the first maximum in its plane, for the backward pass. NaN wins.
template <class T>
struct MaxForward {
  const T* x;
  T* y;
  u32* winner;
  PoolShape s;
  template <u32 N>
  __device__ __forceinline__ void at(u32 i) const {
    Place at = Place::of_output(i, s);
    Range rows = stepping_window(at.row, s.rows, s.row_step), cols = stepping_window(at.column, s.columns, s.column_step);
    float best[N], v[N];
    u32 which[N];
    for (u32 k = 0; k < N; ++k) {
      best[k] = Max::neutral();
      which[k] = rows.begin * s.columns.in.by + cols.begin;
    }
    for (int row = rows.begin; row < rows.end; row += s.row_step) {
      u32 place = row * s.columns.in.by + cols.begin;
#pragma unroll 2
      for (int left = cols.end - cols.begin; left > 0; left -= s.column_step, place += s.column_step) {
        read(x, at.base + place * at.step, v);
        for (u32 k = 0; k < N; ++k)
          if (v[k] > best[k] || v[k] != v[k]) {
            best[k] = v[k];
            which[k] = place;
          }
      }
    }
    write(y, i, best);
    write_numbers<N>(winner, i, which);
  }
};

template <class T>
__device__ __forceinline__ void maxpool_forward(const T* x, T* y, u32* winner, const PoolShape& s, u32 n) {
  MaxForward<T> pool = {x, y, winner, s};
  over<T>(pool, n, aligned(x, y, winner));
}

template <class T>
struct MaxBackward {
  const T* dy;
  const u32* winner;
  T* dx;
  PoolShape s;
  u32 accumulate;
  template <u32 N>
  __device__ __forceinline__ void at(u32 i) const {
    Place at = Place::of_input(i, s);
    Range rows = windows_of(at.row, s.rows), cols = windows_of(at.column, s.columns);
    u32 self = at.row * s.columns.in.by + at.column, which[N];
    float sum[N] = {}, v[N];
    if (accumulate) read(dx, i, sum);
    for (int row = rows.begin; row < rows.end; ++row) {
      u32 place = row * s.columns.out.by + cols.begin;
#pragma unroll 2
      for (int left = cols.end - cols.begin; left > 0; --left, ++place) {
        u32 o = at.base + place * at.step;
        read_numbers<N>(winner, o, which);
        read(dy, o, v);
        for (u32 k = 0; k < N; ++k) sum[k] += which[k] == self ? v[k] : 0.0f;
      }
    }
    write(dx, i, sum);
  }
};

template <class T>
__device__ __forceinline__ void maxpool_backward(const T* dy, const u32* winner, T* dx, const PoolShape& s,
                                                 u32 accumulate, u32 n) {
  MaxBackward<T> pool = {dy, winner, dx, s, accumulate};
  over<T>(pool, n, aligned(dy, winner, dx));
}

// dx = dy at the places of the maxima: the gradient of values that were put there, which MaxBackward does.
template <class T>
struct UnpoolBackward {
  const T* dy;
  const u32* winner;
  T* dx;
  PoolShape s;
  u32 accumulate;
  template <u32 N>
  __device__ __forceinline__ void at(u32 i) const {
    Place at = Place::of_output(i, s);
    u32 which[N];
    float v[N];
    read_numbers<N>(winner, i, which);
    for (u32 k = 0; k < N; ++k) v[k] = 0.0f;
    if (accumulate) read(dx, i, v);
    for (u32 k = 0; k < N; ++k) v[k] += load(dy, at.base + which[k] * at.step + k);
    write(dx, i, v);
  }
};

template <class T>
__device__ __forceinline__ void max_unpool_backward(const T* dy, const u32* winner, T* dx, const PoolShape& s,
                                                    u32 accumulate, u32 n) {
  UnpoolBackward<T> pool = {dy, winner, dx, s, accumulate};
  over<T>(pool, n, aligned(dy, winner, dx));
}

template <class T>
struct AverageForward {
  const T* x;
  T* y;
  PoolShape s;
  template <u32 N>
  __device__ __forceinline__ void at(u32 i) const {
    Place at = Place::of_output(i, s);
    int height, width;
    Range rows = window(at.row, s.rows, s.counts_padding, &height), cols = window(at.column, s.columns, s.counts_padding, &width);
    float sum[N] = {}, v[N];
    for (int row = rows.begin; row < rows.end; ++row) {
      u32 place = row * s.columns.in.by + cols.begin;
#pragma unroll 2
      for (int left = cols.end - cols.begin; left > 0; --left, ++place) {
        read(x, at.base + place * at.step, v);
        for (u32 k = 0; k < N; ++k) sum[k] += v[k];
      }
    }
    for (u32 k = 0; k < N; ++k) sum[k] = __fdividef(sum[k], (float)(height * width));
    write(y, i, sum);
  }
};

template <class T>
__device__ __forceinline__ void avgpool_forward(const T* x, T* y, const PoolShape& s, u32 n) {
  AverageForward<T> pool = {x, y, s};
  over<T>(pool, n, aligned(x, y));
}

template <class T>
struct AverageBackward {
  const T* dy;
  T* dx;
  PoolShape s;
  u32 accumulate;
  template <u32 N>
  __device__ __forceinline__ void at(u32 i) const {
    Place at = Place::of_input(i, s);
    Range rows = windows_of(at.row, s.rows), cols = windows_of(at.column, s.columns);
    float sum[N] = {}, v[N];
    if (accumulate) read(dx, i, sum);
    for (int row = rows.begin; row < rows.end; ++row) {
      u32 place = row * s.columns.out.by + cols.begin;
      int height, width;
      window(row, s.rows, s.counts_padding, &height);
#pragma unroll 2
      for (int col = cols.begin; col < cols.end; ++col, ++place) {
        window(col, s.columns, s.counts_padding, &width);
        float share = __fdividef(1.0f, (float)(height * width));
        read(dy, at.base + place * at.step, v);
        for (u32 k = 0; k < N; ++k) sum[k] += v[k] * share;
      }
    }
    write(dx, i, sum);
  }
};

template <class T>
__device__ __forceinline__ void avgpool_backward(const T* dy, T* dx, const PoolShape& s, u32 accumulate, u32 n) {
  AverageBackward<T> pool = {dy, dx, s, accumulate};
  over<T>(pool, n, aligned(dy, dx));
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
  KERNEL_FN max_unpool_backward_##SUFFIX(const T* __restrict__ dy, const u32* __restrict__ winner, T* __restrict__ dx, \
                                         const PoolShape shape, u32 accumulate, u32 n) {                             \
    max_unpool_backward(dy, winner, dx, shape, accumulate, n);                                                       \
  }                                                                                                                  \
  KERNEL_FN avgpool_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, const PoolShape shape, u32 n) {     \
    avgpool_forward(x, y, shape, n);                                                                                 \
  }                                                                                                                  \
  KERNEL_FN avgpool_backward_##SUFFIX(const T* __restrict__ dy, T* __restrict__ dx, const PoolShape shape,           \
                                      u32 accumulate, u32 n) {                                                       \
    avgpool_backward(dy, dx, shape, accumulate, n);                                                                  \
  }
FOR_EACH_TYPE(POOL)
