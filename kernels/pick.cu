// Slices and shuffles of channels: output channel k is channel from + k % groups * width + k / groups of the input.
#include "stream.cuh"

// A tensor as it lies in memory: NHWC is [N*H*W, C, 1], NCHW [N, C, H*W].
struct PickShape {
  u32 from;
  Divisor channels, total;  // of what is picked, and of what it is picked from
  Divisor inner;            // elements of a channel side by side
  Divisor groups, width;    // the input's groups, and the channels of one
  // Tells if 16 bytes of both tensors lie side by side.
  __device__ __forceinline__ bool together(u32 elements) const {
    if (inner.by % elements == 0u) return true;
    return inner.by == 1u && groups.by == 1u && from % elements == 0u && channels.by % elements == 0u &&
           total.by % elements == 0u;
  }
};

// The channel of an element, and the element of another tensor at the same place of another channel.
struct Spot {
  u32 outer, channel, within;
  __device__ __forceinline__ Spot(u32 i, const Divisor& channels, const Divisor& inner) {
    u32 row = inner.quotient(i);
    within = i - row * inner.by;
    outer = channels.quotient(row);
    channel = row - outer * channels.by;
  }
  __device__ __forceinline__ u32 in(const Divisor& channels, u32 other, const Divisor& inner) const {
    return (outer * channels.by + other) * inner.by + within;
  }
};

// The element that goes to place i of the output.
struct Forward {
  static __device__ __forceinline__ bool source(const PickShape& s, u32 i, u32* from) {
    Spot at(i, s.channels, s.inner);
    u32 group = s.groups.quotient(at.channel);
    *from = at.in(s.total, s.from + (at.channel - group * s.groups.by) * s.width.by + group, s.inner);
    return true;
  }
};
// The element whose gradient goes to place i of the input. What was not picked has none; a channel before `from` wraps around.
struct Backward {
  static __device__ __forceinline__ bool source(const PickShape& s, u32 i, u32* from) {
    Spot at(i, s.total, s.inner);
    u32 taken = at.channel - s.from;
    if (taken >= s.channels.by) return false;
    u32 group = s.width.quotient(taken);
    *from = at.in(s.channels, (taken - group * s.width.by) * s.groups.by + group, s.inner);
    return true;
  }
};

// Writes 16 bytes at once, which come together or, without TOGETHER, one by one.
template <class T, class Way, bool TOGETHER>
struct Pick {
  static const u32 WIDTH = Width<T>::value;
  struct Values {
    Words from, to;
  };
  const T* from;
  T* to;
  PickShape s;
  u32 accumulate;
  __device__ __forceinline__ float element(u32 i) const {
    u32 at;
    return Way::source(s, i, &at) ? ::load(from, at) : 0.0f;
  }
  __device__ __forceinline__ Values load(u32 i) const {
    Values v = {};
    u32 at;
    if (!TOGETHER) {
      float a[WIDTH];
#pragma unroll
      for (u32 k = 0; k < WIDTH; ++k) a[k] = element(i + k);
      v.from = narrow(a, from);
    } else if (Way::source(s, i, &at)) {
      v.from = words(from, at);
    }
    if (accumulate) v.to = words(to, i);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    if (!accumulate) return put(to, i, v.from);
    float a[WIDTH], old[WIDTH];
    widen(v.from, from, a);
    widen(v.to, from, old);
    for (u32 k = 0; k < WIDTH; ++k) a[k] += old[k];
    put(to, i, narrow(a, from));
  }
  __device__ __forceinline__ void one(u32 i) const { store_or_add(to, i, element(i), accumulate); }
};

template <class Way, class T>
__device__ __forceinline__ void pick(const T* from, T* to, const PickShape& s, u32 accumulate, u32 n) {
  Pick<T, Way, true> together = {from, to, s, accumulate};
  Pick<T, Way, false> one_by_one = {from, to, s, accumulate};
  if (aligned(from, to) && s.together(Width<T>::value))
    stream<2>(together, n, true);
  else
    stream<1>(one_by_one, n, aligned(to));
}

#define PICK(SUFFIX, T)                                                                                             \
  KERNEL_FN pick_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, const PickShape shape, u32 n) {       \
    pick<Forward>(x, y, shape, 0u, n);                                                                              \
  }                                                                                                                 \
  KERNEL_FN pick_backward_##SUFFIX(const T* __restrict__ dy, T* __restrict__ dx, const PickShape shape,             \
                                   u32 accumulate, u32 n) {                                                         \
    pick<Backward>(dy, dx, shape, accumulate, n);                                                                   \
  }
FOR_EACH_TYPE(PICK)
