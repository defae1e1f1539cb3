// The resolution of %globaltimer: the least step between two readings that differ. Launched as one
// thread. The readings take more than 100 us, so that they see even a timer of 1 us move.
extern "C" __global__ void tick(unsigned long long* resolution) {
  unsigned long long least = ~0ull, last = globaltimer();
  for (int reading = 0; reading < 10000; reading++) {
    const unsigned long long now = globaltimer();
    if (now != last && now - last < least) least = now - last;
    last = now;
  }
  *resolution = least;
}
