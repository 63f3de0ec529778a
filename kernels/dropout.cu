// Dropout with counter-based masks: every device draws the same bits (Philox4x32-10: Salmon et al., "Parallel
// Random Numbers: As Easy as 1, 2, 3", 2011).
//
// key = seed; counter = [position in the image in C,H,W order, image / 4, layer, step]; image % 4 picks the output
// word. u = (word >> 8) * 2^-24; an element is kept where u >= p, and multiplied by 1 / (1 - p). One thread serves
// the same positions of four images; `together` neighbouring positions share a number (a channel's, or an image's). For
// an NHWC tensor give its channels; 1 channel means C,H,W order in memory.
#include "stream.cuh"

struct Random {
  u32 w[4];
};

__device__ __forceinline__ Random philox(u32 c0, u32 c1, u32 c2, u32 c3, u64 key) {
  u32 k0 = (u32)key, k1 = (u32)(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    u32 high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    u32 high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  Random out = {{c0, c1, c2, c3}};
  return out;
}

// A mask's bytes, one per element, 1 where kept: as many as 16 bytes have elements.
template <u32 N>
struct __align__(N) Mask {
  u32 w[N / 4u];
  __device__ __forceinline__ bool keeps(u32 k) const { return w[k / 4u] >> 8u * (k % 4u) & 1u; }
};
template <u32 N>
__device__ __forceinline__ Mask<N>* bytes(const unsigned char* mask, u32 i) {
  return reinterpret_cast<Mask<N>*>(const_cast<unsigned char*>(mask) + i);
}

// The same positions of four images; i counts positions of the first of them, as if there were no other.
template <class T>
struct Forward {
  static const u32 WIDTH = Width<T>::value;
  struct Values {
    Words x[4];
  };
  const T* x;
  T* y;
  unsigned char* mask;
  u32 images;
  Divisor features, channels, together;
  float p;
  u64 seed;
  u32 layer, step;

  __device__ __forceinline__ bool keeps(u32 word) const { return (float)(word >> 8) * 5.9604644775390625e-8f >= p; }
  __device__ __forceinline__ Values load(u32 i) const {
    u32 quad = features.quotient(i), offset = i - quad * features.by;
    Values v;
#pragma unroll
    for (u32 lane = 0; lane < 4u; ++lane)  // the last image stands for those that are not there
      v.x[lane] = words(x, min(quad * 4u + lane, images - 1u) * features.by + offset);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    u32 quad = features.quotient(i), offset = i - quad * features.by;
    u32 pixel = channels.quotient(offset), channel = offset - pixel * channels.by;
    u32 spatial = channels.quotient(features.by);
    float scale = 1.0f / (1.0f - p), a[4][WIDTH];
    Mask<WIDTH> kept[4] = {};
#pragma unroll
    for (u32 lane = 0; lane < 4u; ++lane) widen(v.x[lane], x, a[lane]);
#pragma unroll
    for (u32 k = 0; k < WIDTH; ++k) {
      bool next = channel == channels.by;
      channel = next ? 0u : channel;
      pixel += next ? 1u : 0u;
      Random random = philox(together.quotient(channel * spatial + pixel), quad, layer, step, seed);
      ++channel;
#pragma unroll
      for (u32 lane = 0; lane < 4u; ++lane) {
        bool keep = keeps(random.w[lane]);
        a[lane][k] = keep ? a[lane][k] * scale : 0.0f;
        kept[lane].w[k / 4u] |= keep ? 1u << 8u * (k % 4u) : 0u;
      }
    }
#pragma unroll
    for (u32 lane = 0; lane < 4u; ++lane) {
      if (quad * 4u + lane >= images) break;
      u32 at = (quad * 4u + lane) * features.by + offset;
      put(y, at, narrow(a[lane], x));
      *bytes<WIDTH>(mask, at) = kept[lane];
    }
  }
  __device__ __forceinline__ void one(u32 i) const {
    u32 quad = features.quotient(i), offset = i - quad * features.by;
    u32 pixel = channels.quotient(offset), channel = offset - pixel * channels.by;
    float scale = 1.0f / (1.0f - p);
    Random random = philox(together.quotient(channel * channels.quotient(features.by) + pixel), quad, layer, step, seed);
#pragma unroll
    for (u32 lane = 0; lane < 4u; ++lane) {
      if (quad * 4u + lane >= images) break;
      u32 at = (quad * 4u + lane) * features.by + offset;
      bool keep = keeps(random.w[lane]);
      mask[at] = keep;
      store(y, at, keep ? ::load(x, at) * scale : 0.0f);
    }
  }
};

// mask holds one byte per element; `features` is the number of elements of one image.
template <class T>
__device__ __forceinline__ void dropout_forward(const T* x, T* y, unsigned char* mask, u32 images,
                                                const Divisor& features, const Divisor& channels,
                                                const Divisor& together, float p, u64 seed, u32 layer, u32 step) {
  Forward<T> op = {x, y, mask, images, features, channels, together, p, seed, layer, step};
  stream<1>(op, (images + 3u) / 4u * features.by, aligned(x, y, mask) && features.by % Forward<T>::WIDTH == 0u);
}

template <class T>
struct Backward {
  static const u32 WIDTH = Width<T>::value;
  struct Values {
    Words dy, dx;
    Mask<WIDTH> mask;
  };
  const T* dy;
  const unsigned char* mask;
  T* dx;
  float scale;
  u32 accumulate;
  __device__ __forceinline__ Values load(u32 i) const {
    Values v;
    v.dy = words(dy, i);
    v.mask = *bytes<WIDTH>(mask, i);
    if (accumulate) v.dx = words(dx, i);
    return v;
  }
  __device__ __forceinline__ void finish(u32 i, const Values& v) const {
    float a[WIDTH], old[WIDTH];
    widen(v.dy, dy, a);
#pragma unroll
    for (u32 k = 0; k < WIDTH; ++k) a[k] = v.mask.keeps(k) ? a[k] * scale : 0.0f;
    if (accumulate) {
      widen(v.dx, dy, old);
      for (u32 k = 0; k < WIDTH; ++k) a[k] += old[k];
    }
    put(dx, i, narrow(a, dy));
  }
  __device__ __forceinline__ void one(u32 i) const {
    store_or_add(dx, i, mask[i] ? ::load(dy, i) * scale : 0.0f, accumulate);
  }
};

template <class T>
__device__ __forceinline__ void dropout_backward(const T* dy, const unsigned char* mask, T* dx, float p,
                                                 u32 accumulate, u32 n) {
  Backward<T> op = {dy, mask, dx, 1.0f / (1.0f - p), accumulate};
  stream<2>(op, n, aligned(dy, mask, dx));
}

#define DROPOUT(SUFFIX, T)                                                                                          \
  KERNEL_FN dropout_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ mask,  \
                                     u32 images, const Divisor features, const Divisor channels,                    \
                                     const Divisor together, float p, u64 seed, u32 layer, u32 step) {              \
    dropout_forward(x, y, mask, images, features, channels, together, p, seed, layer, step);                        \
  }                                                                                                                 \
  KERNEL_FN dropout_backward_##SUFFIX(const T* __restrict__ dy, const unsigned char* __restrict__ mask,             \
                                      T* __restrict__ dx, float p, u32 accumulate, u32 n) {                         \
    dropout_backward(dy, mask, dx, p, accumulate, n);                                                               \
  }
FOR_EACH_TYPE(DROPOUT)
