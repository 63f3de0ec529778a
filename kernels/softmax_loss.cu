// Softmax cross-entropy: one block of 256 threads per image.
//
// Forward: probabilities [images, classes] and each image's loss, both f32; the mean over the images is the loss.
// Backward: d logits = (probability - [class = label]) * weight / images, times the loss scale where there is one.
#include "common.cuh"

template <class T>
__device__ __forceinline__ void softmax_loss_forward(const T* logits, const int* labels, float* probabilities,
                                                     float* losses, u32 classes) {
  __shared__ float shared[32];
  u32 row = blockIdx.x, base = row * classes;
  float top = Max::neutral();
  for (u32 c = threadIdx.x; c < classes; c += blockDim.x) top = fmaxf(top, load(logits, base + c));
  top = block_reduce<Max>(top, shared);
  float sum = 0.0f;
  for (u32 c = threadIdx.x; c < classes; c += blockDim.x) sum += expf(load(logits, base + c) - top);
  sum = block_reduce<Sum>(sum, shared);
  for (u32 c = threadIdx.x; c < classes; c += blockDim.x)
    probabilities[base + c] = expf(load(logits, base + c) - top) / sum;
  if (threadIdx.x == 0) losses[row] = logf(sum) + top - load(logits, base + (u32)labels[row]);
}

template <class T>
__device__ __forceinline__ void softmax_loss_backward(const float* probabilities, const int* labels, T* dlogits,
                                                      const LossScale* loss_scale, float weight, u32 classes,
                                                      u32 accumulate) {
  float factor = weight * (loss_scale ? loss_scale->scale : 1.0f) / (float)gridDim.x;
  u32 row = blockIdx.x, base = row * classes, label = (u32)labels[row];
  for (u32 c = threadIdx.x; c < classes; c += blockDim.x)
    store_or_add(dlogits, base + c, (probabilities[base + c] - (c == label ? 1.0f : 0.0f)) * factor, accumulate);
}

#define SOFTMAX_LOSS(SUFFIX, T)                                                                                     \
  KERNEL_FN softmax_loss_forward_##SUFFIX(const T* __restrict__ logits, const int* __restrict__ labels,             \
                                          float* __restrict__ probabilities, float* __restrict__ losses,            \
                                          u32 classes) {                                                            \
    softmax_loss_forward(logits, labels, probabilities, losses, classes);                                           \
  }                                                                                                                 \
  KERNEL_FN softmax_loss_backward_##SUFFIX(const float* __restrict__ probabilities, const int* __restrict__ labels, \
                                           T* __restrict__ dlogits, const LossScale* __restrict__ loss_scale,       \
                                           float weight, u32 classes, u32 accumulate) {                             \
    softmax_loss_backward(probabilities, labels, dlogits, loss_scale, weight, classes, accumulate);                 \
  }
FOR_EACH_TYPE(SOFTMAX_LOSS)
