// The defining sum on CUDA cores, register-blocked, float32, zero boundary, any kernel size.
//
//   y[b, k, i, j] = sum over c, r, s of w[k, c, r, s] * x[b, g(k)*C + c, i - top + r, j - left + s]
//
// What bounds it. An output costs n^2 multiply-adds and at least 8 bytes of memory traffic. An H200
// does 132 SMs * 128 lanes * 1.98 GHz = 33.5e12 multiply-adds and moves 4.3e12 bytes a second, so
// arithmetic is the bound from n = 8 on: at N = 4096, n = 15 its floor is 4096^2 * 225 / 33.5e12 =
// 113 us, and the memory's is 31 us. Fetching both operands of each multiply-add from shared memory
// would take 8 times as long: it serves 32 words a cycle to an SM, whose 128 lanes ask for 256.
// Registers have to carry the reuse.
//
// Why this tile. A thread makes RY x RX neighbouring outputs. One input row segment of RX + KW - 1
// words, once in registers, meets up to RY kernel rows: RY * RX * KW multiply-adds for (RX + KW -
// 1) / 4 vector reads. Weights are the same for all lanes: a vector read of four weights is one
// broadcast and serves 4 * RX multiply-adds. At 15 x 15 with 8 x 8 outputs a row segment costs 960
// multiply-adds, 32 weight reads and 6 segment reads: 96 % of the instructions are useful. In the
// machine code for sm_90, between the barriers, it is 93 to 96 % for n = 7 to 63. In cycles of the
// SM those 960 are 240 a warp, and the reads 32 + 6 * 8 = 80 (a segment read takes 4 cycles, and
// twice that where RX = 8: lanes 8 words apart share banks in pairs), so shared memory keeps up.
//
// Why the weights go through shared memory. A filter passed by value lies in the constant bank, and
// a multiply-add takes its weight from there for nothing, but only at an address known to the
// compiler: the loop over kernel rows must then be unrolled, RY * RX * n^2 instructions of 16
// bytes, 984 KB at n = 31 where an SM's instruction cache holds 128. It also asks the host for the
// values of each new filter, and has no room for those of a CNN. A broadcast costs 3 to 4 % of the
// issue.
//
// Why this exchange. Global memory is read and written by whole warps along rows, 128 bytes an
// instruction wherever the row begins, so that no mode, padding or width is a special case. The
// outputs therefore pass through shared memory: written by their threads, RX words apart, they
// would touch every memory sector RX times.

// The emulator on the CPU (emulator.h) brings its own.
#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) float name[]
#endif

namespace convkernels {

struct Shape {
  int height, width;          // of the image
  int out_height, out_width;  // of the output
  int top, left;              // zeros before the image's first row and column
  int in_channels;            // of a group: the weights' second axis
  int out_channels;           // of all groups
  int group_outputs;          // output channels of a group
  int tiles_y, tiles_x;       // blocks that cover an output plane
  int flip;                   // 1: convolution, 0: correlation
};

__host__ __device__ constexpr int round_up(int value, int step) {
  return (value + step - 1) / step * step;
}

__device__ __forceinline__ void read4(float* to, const float* from) {
  const float4 four = *reinterpret_cast<const float4*>(from);
  to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}

// RX x RY outputs a thread, BX x BY threads a block; RX a multiple of 4, BX * BY one of 32.
template <int KH, int KW, int RX, int RY, int BX, int BY>
struct Direct {
  static constexpr int THREADS = BX * BY, WARPS = THREADS / 32;
  static constexpr int TILE_W = BX * RX, TILE_H = BY * RY;        // outputs of a block
  static constexpr int SPAN_W = round_up(TILE_W + KW - 1, 4);     // inputs of a block
  static constexpr int SPAN_H = TILE_H + KH - 1;
  static constexpr int PITCH = round_up(KW, 4);                   // of a weight row
  static constexpr int SEGMENT = round_up(RX + KW - 1, 4);        // inputs of a thread's row
  static constexpr int ROWS = RY + KH - 1;
  // Unrolled, a loop over input rows needs no tests of which outputs a row belongs to. Small
  // kernels are unrolled whole, others where only some outputs take part, the largest nowhere: an
  // SM's instruction cache has 128 KB, or 8192 instructions, and multiply-adds are not all of them.
  static constexpr int BODY = RX * RY * KW;  // multiply-adds of an input row
  static constexpr int CODE = 6144;          // and of all that is unrolled
  static constexpr int INNER = BODY * KH <= 2048 ? KH : 1;
  static constexpr int EDGES = BODY * RY <= CODE ? RY : 1;
  static constexpr bool ONE_LOOP = EDGES == 1 && 3 * BODY > CODE;
  static_assert(RX % 4 == 0 && THREADS % 32 == 0, "vector reads, whole warps");
  static_assert(TILE_W % 32 == 0, "a warp writes a row in whole steps");

  // The block's part of one input channel, with zeros outside the image: a warp takes a row.
  static __device__ __forceinline__ void stage_image(const float* __restrict__ x, float* tile,
                                                     const Shape& shape, int first_row,
                                                     int first_column) {
    const int thread = threadIdx.y * BX + threadIdx.x, lane = thread % 32;
    for (int r = thread / 32; r < SPAN_H; r += WARPS) {
      const int row = first_row + r;
      const bool inside = row >= 0 && row < shape.height;
      const float* from = x + (long long)row * shape.width + first_column + lane;
#pragma unroll
      for (int start = 0; start < SPAN_W; start += 32) {
        const int column = first_column + lane + start;
        const bool image = inside && column >= 0 && column < shape.width;
        if (lane + start < SPAN_W) tile[r * SPAN_W + lane + start] = image ? from[start] : 0.f;
      }
    }
  }

  // One filter plane, flipped for a convolution, its rows padded for vector reads.
  static __device__ __forceinline__ void stage_weights(const float* __restrict__ w, float* weights,
                                                       int flip) {
    for (int i = threadIdx.y * BX + threadIdx.x; i < KH * PITCH; i += THREADS) {
      const int r = i / PITCH, s = i % PITCH, at = r * KW + s;
      weights[i] = s < KW ? w[flip ? KH * KW - 1 - at : at] : 0.f;
    }
  }

  // sums[a][b] += one kernel row applied to a row segment.
  static __device__ __forceinline__ void add_row(float* sums, const float* segment,
                                                 const float* weights) {
    float row[PITCH];
#pragma unroll
    for (int s = 0; s < PITCH; s += 4) read4(row + s, weights + s);
#pragma unroll
    for (int s = 0; s < KW; s++)
#pragma unroll
      for (int b = 0; b < RX; b++) sums[b] = fmaf(segment[b + s], row[s], sums[b]);
  }

  // Input row i meets output row a of the thread through kernel row i - a, where there is one.
  static __device__ __forceinline__ void add_input_row(float (&sums)[RY][RX], const float* corner,
                                                       const float* weights, int i) {
    float segment[SEGMENT];
#pragma unroll
    for (int s = 0; s < SEGMENT; s += 4) read4(segment + s, corner + i * SPAN_W + s);
#pragma unroll
    for (int a = 0; a < RY; a++)
      if (i - a >= 0 && i - a < KH) add_row(sums[a], segment, weights + (i - a) * PITCH);
  }

  // What one input channel adds to a thread's outputs.
  static __device__ __forceinline__ void add_channel(float (&sums)[RY][RX], const float* tile,
                                                     const float* weights) {
    const float* corner = tile + threadIdx.y * RY * SPAN_W + threadIdx.x * RX;
    constexpr int ALL = RY - 1, LEAVE = KH > ALL ? KH : ALL;
    if constexpr (ONE_LOOP) {
#pragma unroll 1
      for (int i = 0; i < ROWS; i++) add_input_row(sums, corner, weights, i);
    } else {
#pragma unroll EDGES
      for (int i = 0; i < ALL; i++) add_input_row(sums, corner, weights, i);  // outputs join in
#pragma unroll INNER
      for (int i = ALL; i < KH; i++) add_input_row(sums, corner, weights, i);  // all take part
#pragma unroll EDGES
      for (int i = LEAVE; i < ROWS; i++) add_input_row(sums, corner, weights, i);  // they drop out
    }
  }

  static __device__ __forceinline__ void run(const float* __restrict__ x,
                                             const float* __restrict__ w, float* __restrict__ y,
                                             const Shape& shape) {
    DYNAMIC_SHARED(shared);
    float* tile = shared;
    float* weights = shared + SPAN_H * SPAN_W;

    // Blocks next to each other in a plane are neighbours in time too and share halos in the L2.
    const int tiles = shape.tiles_x * shape.tiles_y;
    const int plane = blockIdx.x / tiles, block = blockIdx.x % tiles;
    const int out_channel = plane % shape.out_channels, item = plane / shape.out_channels;
    const int group = out_channel / shape.group_outputs;
    const int groups = shape.out_channels / shape.group_outputs;
    const int first_row = block / shape.tiles_x * TILE_H;
    const int first_column = block % shape.tiles_x * TILE_W;

    const long long image = (long long)shape.height * shape.width;
    x += ((long long)item * groups + group) * shape.in_channels * image;
    w += (long long)out_channel * shape.in_channels * KH * KW;
    y += (long long)plane * shape.out_height * shape.out_width;

    float sums[RY][RX] = {};
    for (int channel = 0; channel < shape.in_channels; channel++) {
      stage_image(x + channel * image, tile, shape, first_row - shape.top,
                  first_column - shape.left);
      stage_weights(w + channel * (KH * KW), weights, shape.flip);
      __syncthreads();
      add_channel(sums, tile, weights);
      __syncthreads();  // the tile is free: for the next channel, or for the outputs
    }

#pragma unroll
    for (int a = 0; a < RY; a++)
#pragma unroll
      for (int b = 0; b < RX; b += 4)
        *reinterpret_cast<float4*>(tile + (threadIdx.y * RY + a) * TILE_W + threadIdx.x * RX + b) =
            make_float4(sums[a][b], sums[a][b + 1], sums[a][b + 2], sums[a][b + 3]);
    __syncthreads();
    const int thread = threadIdx.y * BX + threadIdx.x, lane = thread % 32;
    for (int r = thread / 32; r < TILE_H && first_row + r < shape.out_height; r += WARPS) {
      float* to = y + (long long)(first_row + r) * shape.out_width + first_column + lane;
#pragma unroll
      for (int start = 0; start < TILE_W; start += 32)
        if (first_column + lane + start < shape.out_width)
          to[start] = tile[r * TILE_W + lane + start];
    }
  }
};

}  // namespace convkernels
