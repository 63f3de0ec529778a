// Work by channel: what a channel's elements have in common, and sums over everything but the channel. The sums are made by many
// blocks, coalesced in either layout, and always added in the same order, so that they are deterministic. Each block adds up a slice
// of the tensor; where there are several slices, a second kernel adds up their sums, a matrix [slices, channels].
#pragma once
#include "stream.cuh"

// A tensor as it lies in memory: NHWC is [N*H*W, C, 1], NCHW [N, C, H*W], and the input of a fully connected layer [N, C, 1].
struct Channels {
  u32 outer;
  Divisor channels, inner;
  // Neighbours in memory are channels.
  __device__ __forceinline__ bool last() const { return inner.by == 1u; }
  __device__ __forceinline__ u32 of(u32 i) const { return channels.remainder(last() ? i : inner.quotient(i)); }
};

// An operation on all elements, f(elements, channel's numbers); `F` has COUNT, common(channel, numbers) and
// value(elements, numbers). Reads ARRAYS tensors, and with `accumulate` what is there.
template <class T, class F, u32 ARRAYS>
struct ByChannel {
  static const u32 WIDTH = Width<T>::value;
  struct Values {
    Words from[ARRAYS], y;
  };
  const T* from[ARRAYS];
  T* y;
  u32 accumulate;
  F f;
  Channels shape;

  __device__ __forceinline__ Values load(u32 i) const {
    Values v;
#pragma unroll
    for (u32 a = 0; a < ARRAYS; ++a) v.from[a] = words(from[a], i);
    if (accumulate) v.y = words(y, i);
    return v;
  }
  // `numbers(k)` are those of the kth element's channel.
  template <class Numbers>
  __device__ __forceinline__ void write(u32 i, const Values& v, const Numbers& numbers) const {
    float x[ARRAYS][WIDTH], result[WIDTH];
#pragma unroll
    for (u32 a = 0; a < ARRAYS; ++a) widen(v.from[a], y, x[a]);
#pragma unroll
    for (u32 k = 0; k < WIDTH; ++k) {
      float elements[ARRAYS], common[F::COUNT];
#pragma unroll
      for (u32 a = 0; a < ARRAYS; ++a) elements[a] = x[a][k];
      numbers(k, common);
      result[k] = f.value(elements, common);
    }
    if (accumulate) {
      float old[WIDTH];
      widen(v.y, y, old);
      for (u32 k = 0; k < WIDTH; ++k) result[k] += old[k];
    }
    put(y, i, narrow(result, y));
  }
  __device__ __forceinline__ void one(u32 i) const {
    float elements[ARRAYS], common[F::COUNT];
    for (u32 a = 0; a < ARRAYS; ++a) elements[a] = ::load(from[a], i);
    f.common(shape.of(i), common);
    store_or_add(y, i, f.value(elements, common), accumulate);
  }
};

// Of vectors whose channels are the same each time: their numbers stay in registers.
template <class T, class F, u32 ARRAYS>
struct OfColumns : ByChannel<T, F, ARRAYS> {
  typedef ByChannel<T, F, ARRAYS> Base;
  float common[F::COUNT][Base::WIDTH];
  __device__ __forceinline__ OfColumns(const Base& base) : Base(base) {
    u32 first = this->shape.channels.remainder(thread_index() * Base::WIDTH);
#pragma unroll
    for (u32 k = 0; k < Base::WIDTH; ++k) {
      float numbers[F::COUNT];
      this->f.common(first + k, numbers);
      for (u32 c = 0; c < F::COUNT; ++c) common[c][k] = numbers[c];
    }
  }
  struct Numbers {
    const OfColumns& of;
    __device__ __forceinline__ void operator()(u32 k, float (&to)[F::COUNT]) const {
      for (u32 c = 0; c < F::COUNT; ++c) to[c] = of.common[c][k];
    }
  };
  __device__ __forceinline__ void finish(u32 i, const typename Base::Values& v) const {
    Numbers numbers = {*this};
    this->write(i, v, numbers);
  }
};

// Of vectors that lie in the planes of two channels at most.
template <class T, class F, u32 ARRAYS>
struct OfPlanes : ByChannel<T, F, ARRAYS> {
  typedef ByChannel<T, F, ARRAYS> Base;
  __device__ __forceinline__ OfPlanes(const Base& base) : Base(base) {}
  struct Numbers {
    float first[F::COUNT], second[F::COUNT];
    u32 of_first;
    __device__ __forceinline__ void operator()(u32 k, float (&to)[F::COUNT]) const {
      for (u32 c = 0; c < F::COUNT; ++c) to[c] = k < of_first ? first[c] : second[c];
    }
  };
  __device__ __forceinline__ void finish(u32 i, const typename Base::Values& v) const {
    u32 plane = this->shape.inner.quotient(i), channel = this->shape.channels.remainder(plane);
    Numbers numbers;
    numbers.of_first = (plane + 1u) * this->shape.inner.by - i;
    this->f.common(channel, numbers.first);
    this->f.common(channel + 1u == this->shape.channels.by ? 0u : channel + 1u, numbers.second);
    this->write(i, v, numbers);
  }
};

template <u32 AHEAD, class T, class F, u32 ARRAYS>
__device__ __forceinline__ void by_channel(const ByChannel<T, F, ARRAYS>& op, u32 n, bool whole) {
  const u32 WIDTH = Width<T>::value;
  const Channels& s = op.shape;
  if (!s.last()) {
    stream<AHEAD>(OfPlanes<T, F, ARRAYS>(op), n, whole && s.inner.by >= WIDTH);
  } else {
    // The last few threads of a launch are left out, so that a thread's vectors are of the same channels each time.
    u32 columns = s.channels.by % WIDTH == 0u ? s.channels.by / WIDTH : 0u;
    if (whole && columns > 0u && thread_count() >= columns)
      stream<AHEAD>(OfColumns<T, F, ARRAYS>(op), n, true, thread_count() / columns * columns);
    else
      singly(op, 0u, n);
  }
}

// Sums of terms: `Terms` has ARRAYS, the tensors to read, and SUMS; common(channel), which reads what a channel's terms have in
// common; and term(elements, terms, pixel). A block is LANES x ROWS threads, gridDim.y the number of slices. `Result` has
// write(channel, sums).
const u32 LANES = 32, ROWS = 8;

template <class T>
__device__ __forceinline__ void read(const T* p, u32 i, float (&to)[1]) {
  to[0] = load(p, i);
}
template <class T>
__device__ __forceinline__ void read(const T* p, u32 i, float (&to)[Width<T>::value]) {
  widen(words(p, i), p, to);
}

// Adds the block's sums up, those of N channels per lane and `across` lanes side by side, in the order of lanes and rows, and writes
// them. `shared` has room for SUMS x ROWS x LANES x N.
template <u32 SUMS, u32 N, class Result>
__device__ __forceinline__ void add_block(float (&sums)[SUMS][N], u32 across, u32 channel, u32 channels, float* shared,
                                          const Result& result) {
  u32 wide = across * N;
  __syncthreads();  // what was there before has been read
  for (u32 s = 0; s < SUMS; ++s)
#pragma unroll
    for (u32 k = 0; k < N; ++k) {
      float sum = sums[s][k];
      for (u32 o = across; o < LANES; o <<= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
      if (threadIdx.x < across) shared[(s * ROWS + threadIdx.y) * wide + threadIdx.x * N + k] = sum;
    }
  __syncthreads();
  for (u32 t = threadIdx.y * LANES + threadIdx.x; t < wide && channel + t < channels; t += LANES * ROWS) {
    float total[SUMS];
    for (u32 s = 0; s < SUMS; ++s) {
      total[s] = shared[s * ROWS * wide + t];
      for (u32 row = 1; row < ROWS; ++row) total[s] += shared[(s * ROWS + row) * wide + t];
    }
    result.write(channel + t, total);
  }
}

// Of channels that are neighbours in memory: a lane has N of them, `across` lanes a row, and the block's other lanes other rows.
template <u32 N, class Terms, class Result>
__device__ __forceinline__ void add_columns(const Channels& s, const Terms& terms, float* shared, const Result& result) {
  u32 channels = s.channels.by, columns = (channels + N - 1u) / N, across = 1u;
  while (across < columns && across < LANES) across <<= 1;
  u32 row = (blockIdx.y * ROWS + threadIdx.y) * (LANES / across) + threadIdx.x / across;
  u32 step = gridDim.y * ROWS * (LANES / across);
  u32 count = row < s.outer ? (s.outer - row - 1u) / step + 1u : 0u;  // known beforehand: several loads are on their way
#pragma unroll 1
  for (u32 group = blockIdx.x; group * across < columns; group += gridDim.x) {
    float sums[Terms::SUMS][N] = {};
    u32 channel = (group * across + threadIdx.x % across) * N;
    if (channel < channels) {
      Terms own[N];
#pragma unroll
      for (u32 k = 0; k < N; ++k) {
        own[k] = terms;
        own[k].common(channel + k);
      }
      u32 i = row * channels + channel;
#pragma unroll 4
      for (u32 done = 0; done < count; ++done, i += step * channels) {
        float x[Terms::ARRAYS][N];
#pragma unroll
        for (u32 a = 0; a < Terms::ARRAYS; ++a) read(terms.from[a], i, x[a]);
#pragma unroll
        for (u32 k = 0; k < N; ++k) {
          float elements[Terms::ARRAYS], term[Terms::SUMS];
          for (u32 a = 0; a < Terms::ARRAYS; ++a) elements[a] = x[a][k];
          own[k].term(elements, term, row + done * step);
          for (u32 t = 0; t < Terms::SUMS; ++t) sums[t][k] += term[t];
        }
      }
    }
    add_block(sums, across, group * across * N, channels, shared, result);
  }
}

// Of channels that are planes: the block's lanes have neighbouring places of one channel. A plane may begin anywhere, so the N
// elements at a multiple of N that a lane reads may lie partly outside of it: those count as zero.
template <u32 N, class Terms, class Result>
__device__ __forceinline__ void add_planes(const Channels& s, const Terms& terms, float* shared, const Result& result) {
  u32 channels = s.channels.by, inner = s.inner.by, last = s.outer * channels * inner - N;
  u32 reach = (inner + N - 2u) / N + 1u, total = s.outer * reach;  // vectors that a plane may touch
  u32 first = (blockIdx.y * ROWS + threadIdx.y) * LANES + threadIdx.x, step = gridDim.y * ROWS * LANES;
  u32 count = first < total ? (total - first - 1u) / step + 1u : 0u;
  u32 images = step / reach, vectors = step % reach;
#pragma unroll 1
  for (u32 channel = blockIdx.x; channel < channels; channel += gridDim.x) {
    Terms own = terms;
    own.common(channel);
    float sums[Terms::SUMS][1] = {};
    u32 vector = first % reach, image = first / reach, start = (image * channels + channel) * inner;
#pragma unroll 4
    for (u32 done = 0; done < count; ++done) {
      u32 i = (start / N + vector) * N, from = i - start;
      float x[Terms::ARRAYS][N];
#pragma unroll
      for (u32 a = 0; a < Terms::ARRAYS; ++a) read(terms.from[a], i < last ? i : last, x[a]);
#pragma unroll
      for (u32 k = 0; k < N; ++k) {
        float elements[Terms::ARRAYS], term[Terms::SUMS];
        for (u32 a = 0; a < Terms::ARRAYS; ++a) elements[a] = from + k < inner ? x[a][k] : 0.0f;
        own.term(elements, term, image * inner + (from + k < inner ? from + k : 0u));
        for (u32 t = 0; t < Terms::SUMS; ++t) sums[t][0] += term[t];
      }
      vector += vectors;
      bool next = vector >= reach;
      vector -= next ? reach : 0u;
      image += images + (next ? 1u : 0u);
      start += (images + (next ? 1u : 0u)) * channels * inner;
    }
    add_block(sums, 1u, channel, channel + 1u, shared, result);
  }
}

template <class T, class Terms, class Result>
__device__ __forceinline__ void add_up(const Channels& s, const Terms& terms, bool whole, const Result& result) {
  const u32 WIDTH = Width<T>::value;
  __shared__ float shared[Terms::SUMS * ROWS * LANES * WIDTH];
  if (s.last()) {
    if (whole && s.channels.by % WIDTH == 0u)
      add_columns<WIDTH>(s, terms, shared, result);
    else
      add_columns<1u>(s, terms, shared, result);
  } else if (whole && s.outer * s.channels.by * s.inner.by % WIDTH == 0u) {
    add_planes<WIDTH>(s, terms, shared, result);
  } else {
    add_planes<1u>(s, terms, shared, result);
  }
}

// The elements themselves, of N arrays.
template <class T, u32 N>
struct Plain {
  static const u32 ARRAYS = N, SUMS = N;
  const T* from[N];
  __device__ __forceinline__ void common(u32) {}
  __device__ __forceinline__ void term(const float (&elements)[N], float (&terms)[N], u32) const {
    for (u32 k = 0; k < N; ++k) terms[k] = elements[k];
  }
};

// Adds up the slices' sums, of N results.
template <u32 N, class Result>
__device__ __forceinline__ void add_slices(const float* partials, u32 slices, u32 channels, const Result& result) {
  __shared__ float shared[N * ROWS * LANES];
  Plain<float, N> terms;
  for (u32 k = 0; k < N; ++k) terms.from[k] = partials + k * slices * channels;
  Channels s = {slices, {channels, 0u, 0u}, {1u, 0u, 0u}};
  add_columns<1u>(s, terms, shared, result);
}

// Results, or slices' sums where there are several: all of the first result's before the second's.
template <class T, u32 N>
struct Results {
  T* to[N];
  float* partials;
  u32 channels;
  __device__ __forceinline__ void write(u32 channel, const float (&sums)[N]) const {
    for (u32 k = 0; k < N; ++k)
      if (gridDim.y == 1u)
        store(to[k], channel, sums[k]);
      else
        partials[(k * gridDim.y + blockIdx.y) * channels + channel] = sums[k];
  }
};
