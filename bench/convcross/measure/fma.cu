// Nothing but multiply-adds: the most that a GPU's CUDA cores do, in float32 or float64.
//
//   each value of a thread:  v <- slope * v + offset, STEPS times over
//
// FLOP of a launch: 2 * CHAINS * STEPS for each thread. The loop around them costs two or three
// instructions for each UNROLL * CHAINS = 256 multiply-adds, 1 %.
//
// Why chains. A multiply-add waits some 4 cycles for the one before it in its chain; 8 chains a
// thread, of which 64 warps share a processor, leave no cycle empty. They begin at different values,
// or the compiler would compute one of them and copy it. slope and offset come with the launch, for
// the same reason. Nothing is read, and one value a thread is written, so that memory is no bound.
//
// With slope = offset = 1 a thread's result counts what it has done: CHAINS * STEPS, and the values
// that its chains began at, 0 + 1 + ... + CHAINS - 1. The test relies on it.
//
// Compiled through convkernels.cuda.kernel, as all CUDA sources here; see ceilings.py for the launch.

namespace convcross {

template <typename Real>
struct Line {
  Real slope, offset;
};

template <typename Real, int CHAINS, int STEPS>
__device__ __forceinline__ void multiply_add(Real* sums, const Line<Real> line) {
  constexpr int UNROLL = 32;
  static_assert(STEPS % UNROLL == 0, "whole turns of the loop");
  Real values[CHAINS];
#pragma unroll
  for (int c = 0; c < CHAINS; c++) values[c] = c;
#pragma unroll 1
  for (int turn = 0; turn < STEPS / UNROLL; turn++) {
#pragma unroll
    for (int step = 0; step < UNROLL; step++) {
#pragma unroll
      for (int c = 0; c < CHAINS; c++) values[c] = fma(line.slope, values[c], line.offset);
    }
  }
  Real sum = 0;
#pragma unroll
  for (int c = 0; c < CHAINS; c++) sum += values[c];
  sums[(long long)blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

}  // namespace convcross
