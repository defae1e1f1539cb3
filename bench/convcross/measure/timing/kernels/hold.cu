// Holds a stream until the host has queued all that it wants timed (the model is nvbench's blocking
// kernel). Launched as one thread, before the work.
//
// `released` and `gave_up` lie in the host's memory. The host opens the hold by writing its ticket,
// which only grows, so that no hold can be opened by the one before. It gives up after `limit`
// nanoseconds and says so: else work that waits for the device would wait for ever.
extern "C" __global__ void hold(const volatile unsigned long long* released,
                                volatile unsigned long long* gave_up,
                                const unsigned long long ticket, const unsigned long long limit) {
  const unsigned long long begin = globaltimer();
  while (*released < ticket) {
    if (globaltimer() - begin > limit) {
      *gave_up = ticket;
      __threadfence_system();
      return;
    }
  }
}
