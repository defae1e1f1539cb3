// A kernel of known length, to hold a stopwatch against: y = w x for a 1 x 1 kernel w, then a wait
// until so many nanoseconds have passed on %globaltimer, which does not follow the SM clock. The
// timer advances in steps of up to about 1 us, and a launch takes some 2 us of its own: under 1 %
// of a wait of a millisecond. One block.
extern "C" __global__ void spin(const float* x, const float* w, float* y, int count,
                                unsigned long long nanoseconds)
{
    unsigned long long begin, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
    for (int i = threadIdx.x; i < count; i += blockDim.x) y[i] = w[0] * x[i];
    do {
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    } while (now - begin < nanoseconds);
}
