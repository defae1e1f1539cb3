// A kernel of known length, to hold a stopwatch against: y = w x for a 1 x 1 kernel w, then a wait
// until so many nanoseconds have passed on %globaltimer, which does not follow the SM clock. One
// step of that timer and the launch itself are some 3 us: under 1 % of a wait of a millisecond.
// Launched as one block.
extern "C" __global__ void spin(const float* x, const float* w, float* y, const int count,
                                const unsigned long long nanoseconds) {
  const unsigned long long begin = globaltimer();
  for (int i = threadIdx.x; i < count; i += blockDim.x) y[i] = w[0] * x[i];
  while (globaltimer() - begin < nanoseconds) {
  }
}
