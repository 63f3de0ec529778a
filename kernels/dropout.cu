// Dropout with counter-based masks: every device draws the same bits (Philox4x32-10: Salmon et al., "Parallel
// Random Numbers: As Easy as 1, 2, 3", 2011).
//
// key = seed; counter = [position in the image in C,H,W order, image / 4, layer, step]; image % 4 picks the output
// word. u = (word >> 8) * 2^-24; an element is kept where u >= p, and multiplied by 1 / (1 - p). One thread serves
// the same position of four images; `together` neighbouring positions share a number (a channel's, or an image's). For an NHWC tensor give its channels; 1 channel means C,H,W order in memory.
#include "common.cuh"

struct Words {
  u32 w[4];
};

__device__ __forceinline__ Words philox(u32 c0, u32 c1, u32 c2, u32 c3, u64 key) {
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
  Words out = {{c0, c1, c2, c3}};
  return out;
}

// mask holds one byte per element, 1 where kept; `features` is the number of elements of one image.
template <class T>
__device__ __forceinline__ void dropout_forward(const T* x, T* y, unsigned char* mask, u32 images, u32 features,
                                                u32 channels, u32 together, float p, u64 seed, u32 layer, u32 step) {
  float scale = 1.0f / (1.0f - p);
  u32 spatial = features / channels;
  u32 quads = (images + 3u) / 4u;
  GRID_STRIDE(i, quads * features) {
    u32 quad = i / features, offset = i % features;
    u32 position = (offset % channels * spatial + offset / channels) / together;
    Words random = philox(position, quad, layer, step, seed);
#pragma unroll
    for (u32 lane = 0; lane < 4u; ++lane) {
      u32 image = quad * 4u + lane;
      if (image >= images) break;
      u32 at = image * features + offset;
      bool kept = (float)(random.w[lane] >> 8) * 5.9604644775390625e-8f >= p;
      mask[at] = kept;
      store(y, at, kept ? load(x, at) * scale : 0.0f);
    }
  }
}

template <class T>
__device__ __forceinline__ void dropout_backward(const T* dy, const unsigned char* mask, T* dx, float p,
                                                 u32 accumulate, u32 n) {
  float scale = 1.0f / (1.0f - p);
  GRID_STRIDE(i, n) store_or_add(dx, i, mask[i] ? load(dy, i) * scale : 0.0f, accumulate);
}

#define DROPOUT(SUFFIX, T)                                                                                          \
  KERNEL_FN dropout_forward_##SUFFIX(const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ mask,  \
                                     u32 images, u32 features, u32 channels, u32 together, float p, u64 seed,       \
                                     u32 layer, u32 step) {                                                                    \
    dropout_forward(x, y, mask, images, features, channels, together, p, seed, layer, step);                                  \
  }                                                                                                                 \
  KERNEL_FN dropout_backward_##SUFFIX(const T* __restrict__ dy, const unsigned char* __restrict__ mask,             \
                                      T* __restrict__ dx, float p, u32 accumulate, u32 n) {                         \
    dropout_backward(dy, mask, dx, p, accumulate, n);                                                               \
  }
FOR_EACH_TYPE(DROPOUT)
