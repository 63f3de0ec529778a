// Kernels that serve the measuring itself. Both run as one thread.
#include "common.cuh"

// Holds the stream until the host writes a non-zero value to its pinned flag, so that a whole step can be enqueued
// before its first kernel runs. For devices without stream memory operations.
KERNEL_FN hold(const volatile u32* flag) {
  while (*flag == 0u) {
  }
}

// The SM clock: counts cycles for `nanoseconds` of the device's global timer. result = {cycles, nanoseconds}.
KERNEL_FN clock_rate(u64* result, u64 nanoseconds) {
  u64 start, now, first, last;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  do {  // begin at an edge: the timer advances in steps of up to a microsecond
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    asm volatile("mov.u64 %0, %%clock64;" : "=l"(first));
  } while (now == start);
  start = now;
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    asm volatile("mov.u64 %0, %%clock64;" : "=l"(last));
  } while (now - start < nanoseconds);
  result[0] = last - first;
  result[1] = now - start;
}
