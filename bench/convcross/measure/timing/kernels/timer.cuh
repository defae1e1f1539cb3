// The counters of the device, put before the kernels that read them; the emulator brings its own.
//
// %globaltimer counts nanoseconds for the whole device in steps of 32 ns to 1 us; clock64() counts
// the cycles of one SM since a moment of its own.
#ifdef __CUDACC__
__device__ __forceinline__ unsigned long long globaltimer() {
  unsigned long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

__device__ __forceinline__ unsigned smid() {
  unsigned sm;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
  return sm;
}
#endif
