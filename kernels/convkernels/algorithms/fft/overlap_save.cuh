// Overlap-save in one kernel: two real tiles of 64 x 64 a block, arithmetic in float32, any padding.
//
//   y[i + r, j + s] = IDFT( DFT(tile) * conj(DFT(w)) )[r, s],   0 <= r <= 64 - kh, 0 <= s <= 64 - kw,
//
// where the tile is 64 x 64 pixels of the padded image from (i, j) on, and w is the correlation's
// filter (a convolution's flipped). What wraps round the tile falls on outputs that are not kept.
//
// What bounds it, by arithmetic alone. Pixels cross memory once and all else stays on chip: 8 bytes
// an output, 28 us at N = 4096 and 4.8 TB/s. A block makes 2 (65 - n)^2 outputs by 256 complex
// transforms of 64 points. Its 16 warps issue some 950 instructions each, four a cycle: 3800 cycles.
// Each of its 4096 complex numbers passes six times through shared memory, written and read, 16 a
// cycle: 3072 cycles. At n = 7, on 132 SMs at 1.98 GHz, that is 36 and 29 us.
//
// Why two tiles. A complex transform of a + i b is linear, and the filter is real: the real part of
// the result is a's, the imaginary part b's, with nothing to disentangle. Partners in a pair are
// neighbours in raster order, through all images of a batch.
//
// Why this transform. Eight threads have a line of 64 points, eight points each: 8 x 8, with one
// exchange between the two radix-8 steps. Points and roots fit in 64 registers, so that two blocks,
// 32 warps, hide each other's barriers. (Three would fit with the roots in shared memory: 28 more
// reads of it to the 96 accesses of a thread.) The eight threads lie in one warp: within a line a
// warp's barrier is enough, and the block waits four times in all, twice a transposition.
//
// Of a thread's instructions 576 are arithmetic, 96 accesses of shared and 44 of global memory; the
// rest finds the places. Tiles are found by products: divisions would take 110 instructions more,
// one after the other, before the first pixel is asked for.
//
// Why this layout. A line has 72 places of 8 bytes, and shared memory 16 banks of 8: neighbouring
// lines lie 8 banks apart. The exchange writes rows of 9 places and reads columns; the transposition
// writes lines and reads columns, and point (row, column) lies at column ^ (row & 6) of its line. So
// each half of a warp, two lines, meets all 16 banks at once, in every access.
//
// The filter's spectrum is made by a kernel of its own with the same transform: one block a plane
// of the filter, nothing crosses to the host, and a CUDA graph can hold it. It is kept in the order
// in which threads need it, divided by 64^2, and of a filter whose largest weight is brought near 1
// by a power of two, which the outputs are multiplied by: spectra of weights near the ends of
// float32 would underflow or overflow.

// The emulator on the CPU (emulator.h) brings its own.
#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) float name[]
#endif

namespace convkernels {

// Whole numbers below 2^31 divided by one that the host knows, by a product instead of some twenty
// instructions (Granlund & Montgomery 1994, Division by Invariant Integers using Multiplication).
struct Division {
  unsigned divisor, multiplier, shift;
  __device__ __forceinline__ unsigned quotient(unsigned number) const {
    return (__umulhi(number, multiplier) + number) >> shift;
  }
};

struct Shape {
  int height, width;            // of the image
  int out_height, out_width;    // of the output
  int top, left;                // zeros, or what wraps round, before the image
  int kernel_height, kernel_width;
  int kept_height, kept_width;  // outputs of a tile
  int tiles;                    // of all images, for one filter
  int in_channels;              // of a group: the weights' second axis
  int out_channels, groups;     // of all groups; how many they are
  int flip;                     // 1: convolution, 0: correlation
  Division group_outputs;       // output channels of a group
  Division pairs;               // of tiles, for one filter
  Division plane_tiles, tiles_x;  // tiles that cover an output plane, and a row of it
};

constexpr int SIDE = 64, LANES = 8, POINTS = 8, PITCH = 72, THREADS = SIDE * LANES;

// ---- storage: read as float32, written rounded to nearest ----------------------------------------

#ifndef HALF_CONVERSIONS  // the emulator on the CPU brings its own
__device__ __forceinline__ float half_to_float(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ __forceinline__ unsigned short float_to_half(float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
#endif

struct Float32 {
  typedef float Stored;
  static __device__ __forceinline__ float read(float value) { return value; }
  static __device__ __forceinline__ float write(float value) { return value; }
};

struct Float16 {
  typedef unsigned short Stored;
  static __device__ __forceinline__ float read(unsigned short bits) { return half_to_float(bits); }
  static __device__ __forceinline__ unsigned short write(float value) {
    return float_to_half(value);
  }
};

struct BFloat16 {
  typedef unsigned short Stored;
  static __device__ __forceinline__ float read(unsigned short bits) {
    return __uint_as_float((unsigned)bits << 16);
  }
  static __device__ __forceinline__ unsigned short write(float value) {
#if __CUDA_ARCH__ >= 800
    unsigned short rounded;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded) : "f"(value));
    return rounded;
#else
    const unsigned bits = __float_as_uint(value);
    if (value != value) return 0x7fc0;  // rounding up would carry a NaN over into a number
    return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);  // to nearest, ties to even
#endif
  }
};

// ---- complex numbers, and the transform of eight of them -----------------------------------------

__device__ __forceinline__ float2 operator+(float2 a, float2 b) {
  return make_float2(a.x + b.x, a.y + b.y);
}
__device__ __forceinline__ float2 operator-(float2 a, float2 b) {
  return make_float2(a.x - b.x, a.y - b.y);
}
__device__ __forceinline__ float2 product(float2 a, float2 b) {
  return make_float2(fmaf(a.x, b.x, -a.y * b.y), fmaf(a.x, b.y, a.y * b.x));
}
__device__ __forceinline__ float2 multiply_add(float2 a, float2 b, float2 c) {
  return make_float2(fmaf(-a.y, b.y, fmaf(a.x, b.x, c.x)), fmaf(a.y, b.x, fmaf(a.x, b.y, c.y)));
}
__device__ __forceinline__ float2 multiply_add(float factor, float2 b, float2 c) {
  return make_float2(fmaf(factor, b.x, c.x), fmaf(factor, b.y, c.y));
}

// SIGN is that of the exponent: -1 in the forward transform, 1 in the inverse.

// a * e^(SIGN pi i / 2)
template <int SIGN>
__device__ __forceinline__ float2 quarter_turn(float2 a) {
  return SIGN < 0 ? make_float2(a.y, -a.x) : make_float2(-a.y, a.x);
}

// a * e^(SIGN pi i / 4) * sqrt 2
template <int SIGN>
__device__ __forceinline__ float2 eighth_turn(float2 a) {
  return a + quarter_turn<SIGN>(a);
}

// v[k] = sum over n of v[n] * e^(SIGN 2 pi i n k / 8): two transforms of four, of sums and of
// differences. The root of 1/2 that an eighth of a turn has for a factor is left to the additions
// that follow, where a multiply-add takes it for nothing: 52 instructions.
template <int SIGN>
__device__ __forceinline__ void transform8(float2 (&v)[POINTS]) {
  const float half_root = 0.70710678118654752f;
  const float2 sum0 = v[0] + v[4], sum1 = v[1] + v[5], sum2 = v[2] + v[6], sum3 = v[3] + v[7];
  const float2 odd0 = v[0] - v[4], odd1 = eighth_turn<SIGN>(v[1] - v[5]);
  const float2 odd2 = quarter_turn<SIGN>(v[2] - v[6]);
  const float2 odd3 = quarter_turn<SIGN>(eighth_turn<SIGN>(v[3] - v[7]));

  const float2 even02 = sum0 + sum2, even13 = sum1 + sum3;
  const float2 apart02 = sum0 - sum2, apart13 = quarter_turn<SIGN>(sum1 - sum3);
  v[0] = even02 + even13, v[4] = even02 - even13;
  v[2] = apart02 + apart13, v[6] = apart02 - apart13;

  const float2 odd02 = odd0 + odd2, odd13 = odd1 + odd3;
  const float2 off02 = odd0 - odd2, off13 = quarter_turn<SIGN>(odd1 - odd3);
  v[1] = multiply_add(half_root, odd13, odd02), v[5] = multiply_add(-half_root, odd13, odd02);
  v[3] = multiply_add(half_root, off13, off02), v[7] = multiply_add(-half_root, off13, off02);
}

// ---- a block's transform: 64 lines of 64 points, eight threads a line ----------------------------

// Where things lie in a block's shared memory, in numbers of 8 bytes.
struct Places {
  static __device__ __forceinline__ int exchange_write(int line, int lane, int k) {
    return line * PITCH + k * 9 + lane;
  }
  static __device__ __forceinline__ int exchange_read(int line, int lane, int k) {
    return line * PITCH + lane * 9 + k;
  }
  static __device__ __forceinline__ int line_write(int line, int lane, int k) {
    return line * PITCH + (lane ^ (line & 6)) + LANES * k;
  }
  static __device__ __forceinline__ int column_read(int line, int lane, int k) {
    return (lane + LANES * k) * PITCH + (line ^ (lane & 6));
  }
};

// A thread's part: v[k] is point lane + 8 k of its line, before and after.
struct Transform {
  float2* tile;          // PITCH numbers a line, of the block
  int line, lane;
  float2 roots[POINTS];  // e^(-2 pi i lane k / 64)

  __device__ __forceinline__ explicit Transform(float* shared)
      : tile(reinterpret_cast<float2*>(shared)), line(threadIdx.y), lane(threadIdx.x) {
#pragma unroll
    for (int k = 1; k < POINTS; k++) roots[k] = ROOTS[lane * k];
  }

  // Of the line: over the points eight apart that the thread has, then over those it is given.
  template <int SIGN>
  __device__ __forceinline__ void along(float2 (&v)[POINTS]) const {
    transform8<SIGN>(v);
#pragma unroll
    for (int k = 0; k < POINTS; k++) {
      const float2 root = SIGN < 0 ? roots[k] : make_float2(roots[k].x, -roots[k].y);
      tile[Places::exchange_write(line, lane, k)] = k ? product(v[k], root) : v[0];
    }
    __syncwarp();
#pragma unroll
    for (int k = 0; k < POINTS; k++) v[k] = tile[Places::exchange_read(line, lane, k)];
    __syncwarp();  // the line's places are free again
    transform8<SIGN>(v);
  }

  // Lines become columns.
  __device__ __forceinline__ void transpose(float2 (&v)[POINTS]) const {
#pragma unroll
    for (int k = 0; k < POINTS; k++) tile[Places::line_write(line, lane, k)] = v[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < POINTS; k++) v[k] = tile[Places::column_read(line, lane, k)];
    __syncthreads();
  }

  __device__ __forceinline__ void forward(float2 (&v)[POINTS]) const {
    along<-1>(v);
    transpose(v);
    along<-1>(v);
  }
};

__device__ __forceinline__ float power_of_two(int exponent) {  // -126 to 127
  return __uint_as_float((unsigned)(127 + exponent) << 23);
}

// ---- load: a filter's spectra, one block for each of its planes ----------------------------------

template <class Type>
struct Spectrum {
  typedef typename Type::Stored Stored;

  // The exponent of the power of two next above the largest weight, within what float32 can undo;
  // all planes of a filter have the same, for their products are summed.
  static __device__ __forceinline__ int exponent(const Stored* filter, int count, float* shared) {
    const int thread = threadIdx.y * LANES + threadIdx.x;
    float largest = 0.f;
    for (int i = thread; i < count; i += THREADS)
      largest = fmaxf(largest, fabsf(Type::read(filter[i])));
    shared[thread] = largest;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
      if (thread < half) shared[thread] = fmaxf(shared[thread], shared[thread + half]);
      __syncthreads();
    }
    const int found = (int)(__float_as_uint(shared[0]) >> 23) - 126;
    __syncthreads();  // the memory is free for the transform
    return found < -126 ? -126 : found > 126 ? 126 : found;
  }

  static __device__ __forceinline__ void run(const Stored* __restrict__ w,
                                             float4* __restrict__ spectra,
                                             float* __restrict__ scales, const Shape& shape) {
    DYNAMIC_SHARED(shared);
    const Transform transform(shared);
    const int line = transform.line, lane = transform.lane;
    const int filter = blockIdx.x / shape.in_channels, channel = blockIdx.x % shape.in_channels;
    const int taps = shape.kernel_height * shape.kernel_width;
    w += (long long)filter * shape.in_channels * taps;
    const int power = exponent(w, shape.in_channels * taps, shared);
    if (channel == 0 && line == 0 && lane == 0) scales[filter] = power_of_two(power);

    w += (long long)channel * taps;
    const float factor = power_of_two(-power);
    float2 v[POINTS];
#pragma unroll
    for (int k = 0; k < POINTS; k++) {
      const int column = lane + LANES * k, at = line * shape.kernel_width + column;
      const bool inside = line < shape.kernel_height && column < shape.kernel_width;
      const float weight = inside ? Type::read(w[shape.flip ? taps - 1 - at : at]) : 0.f;
      v[k] = make_float2(weight * factor, 0.f);
    }
    transform.forward(v);
    const float share = 1.f / (SIDE * SIDE);
    float4* to = spectra + (long long)blockIdx.x * (SIDE * SIDE / 2) + line * LANES + lane;
#pragma unroll
    for (int k = 0; k < POINTS; k += 2)  // conjugate, for a correlation
      to[k / 2 * THREADS] = make_float4(share * v[k].x, -share * v[k].y, share * v[k + 1].x,
                                        -share * v[k + 1].y);
  }
};

// ---- run: two tiles of one filter's output, one block ---------------------------------------------

// SUMMED: over the input channels of a group, of which there is one otherwise.
template <class Type, bool CIRCULAR, bool SUMMED>
struct OverlapSave {
  typedef typename Type::Stored Stored;

  struct Tile {
    int item, row, column;  // the image of the batch, and the tile's first output
  };

  static __device__ __forceinline__ Tile tile_at(unsigned index, const Shape& shape) {
    const unsigned item = shape.plane_tiles.quotient(index);
    const unsigned place = index - item * shape.plane_tiles.divisor;
    const unsigned row = shape.tiles_x.quotient(place);
    const unsigned column = place - row * shape.tiles_x.divisor;
    return {(int)item, (int)row * shape.kept_height, (int)column * shape.kept_width};
  }

  // Of the image itself where it is its own neighbour. Padding is never wider than the image.
  static __device__ __forceinline__ int wrapped(int index, int size) {
    if (!CIRCULAR) return index;
    return index < 0 ? index + size : index >= size ? index - size : index;
  }

  // Bit k, of eight: 0 <= first + 8 k < size.
  static __device__ __forceinline__ unsigned within(int first, int size) {
    const int before = first < 0 ? (7 - first) >> 3 : 0, below = (size - first + 7) >> 3;
    const unsigned from = 0xffu << (before < 8 ? before : 8);
    return below > 0 ? from & ((1u << (below < 8 ? below : 8)) - 1) : 0;
  }

  // The thread's pixels of its line of a tile, with zeros outside the image.
  static __device__ __forceinline__ void gather(float (&pixels)[POINTS], const Stored* plane,
                                                const Tile& tile, int line, int lane,
                                                const Shape& shape) {
    const int row = wrapped(tile.row - shape.top + line, shape.height);
    const int first = tile.column - shape.left + lane, width = shape.width;
    unsigned inside = within(first, width);
    if (CIRCULAR) inside |= within(first + width, width) | within(first - width, width);
    if (row < 0 || row >= shape.height) inside = 0;
    const Stored* from = plane + (long long)row * width + first;
#pragma unroll
    for (int k = 0; k < POINTS; k++) {
      const int step = CIRCULAR ? wrapped(first + LANES * k, width) - first : LANES * k;
      pixels[k] = inside >> k & 1 ? Type::read(from[step]) : 0.f;
    }
  }

  static __device__ __forceinline__ void run(const Stored* __restrict__ x,
                                             const float4* __restrict__ spectra,
                                             const float* __restrict__ scales,
                                             Stored* __restrict__ y, const Shape& shape) {
    DYNAMIC_SHARED(shared);
    const Transform transform(shared);
    const int line = transform.line, lane = transform.lane;
    const unsigned block = blockIdx.x, filter = shape.pairs.quotient(block);
    const unsigned first = 2 * (block - filter * shape.pairs.divisor);
    const unsigned group = shape.group_outputs.quotient(filter);
    // Of an odd number of tiles the last is its own partner, and is written twice.
    const Tile a = tile_at(first, shape);
    const Tile b = tile_at(first + 1 < shape.tiles ? first + 1 : first, shape);

    const long long image = (long long)shape.height * shape.width;
    const Stored* from_a = x + (a.item * shape.groups + group) * shape.in_channels * image;
    const Stored* from_b = x + (b.item * shape.groups + group) * shape.in_channels * image;
    spectra += (long long)filter * shape.in_channels * (SIDE * SIDE / 2) + line * LANES + lane;

    float2 sums[POINTS] = {};
    for (int channel = 0; channel < (SUMMED ? shape.in_channels : 1); channel++) {
      int row = line, column = lane;
      // As if they were other ones in each turn: addresses that are the same in all of them would
      // be kept in registers, of which there are too few, and take a dozen instructions anew.
      if (SUMMED) asm volatile("" : "+r"(row), "+r"(column));
      float real[POINTS], imaginary[POINTS];
      gather(real, from_a, a, row, column, shape);
      gather(imaginary, from_b, b, row, column, shape);
      float2 v[POINTS];
#pragma unroll
      for (int k = 0; k < POINTS; k++) v[k] = make_float2(real[k], imaginary[k]);
      transform.forward(v);
#pragma unroll
      for (int k = 0; k < POINTS; k += 2) {
        const float4 two = spectra[k / 2 * THREADS];
        sums[k] = multiply_add(v[k], make_float2(two.x, two.y), sums[k]);
        sums[k + 1] = multiply_add(v[k + 1], make_float2(two.z, two.w), sums[k + 1]);
      }
      from_a += image, from_b += image, spectra += SIDE * SIDE / 2;
    }

    transform.along<1>(sums);
    transform.transpose(sums);
    if (line >= shape.kept_height) return;  // whole warps but for one: no barrier of the block follows
    transform.along<1>(sums);

    const float scale = scales[filter];
    const long long plane = (long long)shape.out_height * shape.out_width;
    Stored* to_a = y + (a.item * shape.out_channels + filter) * plane;
    Stored* to_b = y + (b.item * shape.out_channels + filter) * plane;
    scatter<0>(to_a, a, sums, scale, transform, shape);
    scatter<1>(to_b, b, sums, scale, transform, shape);
  }

  // What is kept of the thread's part of a tile: of one tile the real parts, of the other the rest.
  template <int PART>
  static __device__ __forceinline__ void scatter(Stored* plane, const Tile& tile,
                                                 const float2 (&values)[POINTS], float scale,
                                                 const Transform& transform, const Shape& shape) {
    const int row = tile.row + transform.line, left = shape.out_width - tile.column;
    const int columns = row >= shape.out_height ? 0 : left < shape.kept_width ? left : shape.kept_width;
    Stored* to = plane + (long long)row * shape.out_width + tile.column + transform.lane;
#pragma unroll
    for (int k = 0; k < POINTS; k++)
      if (transform.lane + LANES * k < columns)
        to[LANES * k] = Type::write(scale * (PART ? values[k].y : values[k].x));
  }
};

}  // namespace convkernels
