// CUDA C++ on the CPU: a fibre a thread, one block at a time, __syncthreads() as a switch.
//
// It is for right and wrong, not for speed. Each thread runs alone to its next barrier, in order of
// number or in reverse, so that a missing barrier lets it read what others have not written yet. A
// warp runs alone until all its threads are at a barrier of the block or have left.
// Dynamic shared memory is full of NaN when a block begins, and the words behind it must still be
// when the block ends. What it does not show: anything about time, bank conflicts, registers, and
// races within the reach of one barrier that happen to be harmless in both orders.
//
// Build: g++ -std=c++17 -include emulator.h, the kernel's source, then EMULATE(its name).
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define DYNAMIC_SHARED(name) float* name = reinterpret_cast<float*>(emulator::shared.data())

struct alignas(8) float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct dim3 {
  unsigned x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

template <class To, class From>
To same_bits(From from) {
  To to;
  static_assert(sizeof to == sizeof from, "the bits of one are those of the other");
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<uint64_t>(a) * b >> 32;
}
inline float __uint_as_float(unsigned bits) { return same_bits<float>(bits); }
inline unsigned __float_as_uint(float value) { return same_bits<unsigned>(value); }

#define HALF_CONVERSIONS  // float16 as its bits
inline float half_to_float(unsigned short bits) {
  const unsigned sign = (bits & 0x8000u) << 16, rest = (bits & 0x7fffu) << 13;
  if ((bits & 0x7c00) == 0x7c00) return same_bits<float>(sign | rest | 0x7f800000u);
  return same_bits<float>(sign | rest) * 0x1p112f;
}
inline unsigned short float_to_half(float value) {
  const unsigned sign = same_bits<unsigned>(value) >> 16 & 0x8000u;
  const float size = std::fabs(value);
  if (!(size < 65520)) return sign | (size == size ? 0x7c00 : 0x7e00);
  int exponent;
  std::frexp(size, &exponent);
  const int spacing = std::max(exponent, -13) - 11;  // of halves of this size, a power of two
  const float nearest = std::ldexp(std::nearbyint(std::ldexp(size, -spacing)), spacing);
  return sign | same_bits<unsigned>(nearest * 0x1p-112f) >> 13;
}

namespace emulator {

struct alignas(16) Words {
  uint32_t word[4];
};
constexpr Words POISON = {{0x7fc0dead, 0x7fc0dead, 0x7fc0dead, 0x7fc0dead}};  // four NaNs
constexpr size_t GUARD = 1024, STACK = 1 << 14;  // bytes behind shared memory, bytes of a fibre

constexpr unsigned WARP = 32;

enum State { READY, AT_WARP_BARRIER, AT_BARRIER, FINISHED };

static std::vector<Words> shared;
static std::vector<ucontext_t> fibres;
static std::vector<State> states;
static ucontext_t scheduler;
static unsigned current;
static std::function<void()> body;

static void leave(State state) {
  states[current] = state;
  swapcontext(&fibres[current], &scheduler);
}

static void fibre() {
  body();
  leave(FINISHED);
}

// Threads first to last - 1, until none of them can go on.
static void run_warp(unsigned first, unsigned last, bool reverse) {
  for (bool live = true; live;) {
    for (unsigned k = first; k < last; k++) {
      current = reverse ? first + last - 1 - k : k;
      if (states[current] != READY) continue;
      threadIdx = {current % blockDim.x, current / blockDim.x % blockDim.y,
                   current / (blockDim.x * blockDim.y)};
      swapcontext(&scheduler, &fibres[current]);
    }
    live = false;
    for (unsigned k = first; k < last; k++)
      if (states[k] == AT_WARP_BARRIER) states[k] = READY, live = true;
  }
}

static void run_block(std::vector<char>& stacks, bool reverse) {
  const unsigned threads = states.size(), warps = (threads + WARP - 1) / WARP;
  for (unsigned i = 0; i < threads; i++) {
    states[i] = READY;
    getcontext(&fibres[i]);
    fibres[i].uc_stack.ss_sp = &stacks[i * STACK];
    fibres[i].uc_stack.ss_size = STACK;
    makecontext(&fibres[i], fibre, 0);
  }
  for (bool live = true; live;) {
    for (unsigned k = 0; k < warps; k++) {
      const unsigned first = (reverse ? warps - 1 - k : k) * WARP;
      run_warp(first, std::min(first + WARP, threads), reverse);
    }
    live = false;
    for (State& state : states)
      if (state == AT_BARRIER) state = READY, live = true;
  }
}

template <class... Parameters, size_t... I>
void call(void (*kernel)(Parameters...), void** pointers, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_const_t<Parameters>*>(pointers[I])...);
}

// As cuLaunchKernel: pointers to the parameters. Returns 1 if a block wrote past its shared memory.
template <class... Parameters>
int launch(void (*kernel)(Parameters...), const unsigned* grid, const unsigned* block,
           unsigned shared_bytes, bool reverse, void** pointers) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  states.resize(block[0] * block[1] * block[2]);
  fibres.resize(states.size());
  std::vector<char> stacks(states.size() * STACK);
  body = [=] { call(kernel, pointers, std::index_sequence_for<Parameters...>{}); };
  const size_t used = (shared_bytes + 15) / 16, all = used + GUARD / 16;
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) {
        blockIdx = {x, y, z};
        shared.assign(all, POISON);
        run_block(stacks, reverse);
        for (size_t i = used; i < all; i++)
          if (std::memcmp(&shared[i], &POISON, sizeof POISON) != 0) return 1;
      }
  return 0;
}

}  // namespace emulator

inline void __syncthreads() { emulator::leave(emulator::AT_BARRIER); }
inline void __syncwarp() { emulator::leave(emulator::AT_WARP_BARRIER); }

#define EMULATE(kernel)                                                                      \
  extern "C" int emulate(const unsigned* grid, const unsigned* block, unsigned shared_bytes, \
                         int reverse, void** pointers) {                                     \
    return emulator::launch(kernel, grid, block, shared_bytes, reverse, pointers);           \
  }
