// What each SM's cycle counter and the device's timer say now. Launched as blocks of one thread,
// more of them than there are SMs; the scheduler spreads them over all.
//
// Each SM has a row of its own: two stamps of the same SM can be subtracted. The numbers of the SMs
// may have gaps. Blocks that share an SM overwrite a row in one store of 16 bytes, so none is torn.
extern "C" __global__ void stamp(ulonglong2* rows, const unsigned count) {
  const unsigned sm = smid();
  if (sm >= count) return;
  ulonglong2 now;
  now.x = clock64();
  now.y = globaltimer();
  rows[sm] = now;
}
