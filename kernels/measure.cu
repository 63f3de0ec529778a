// Kernels that serve the measuring itself. Their blocks have one thread.
#include "common.cuh"

// Holds the stream until the host writes a non-zero value to its pinned flag, so that a whole step can be enqueued
// before its first kernel runs. For devices without stream memory operations.
KERNEL_FN hold(const volatile u32* flag) {
  while (*flag == 0u) {
  }
}

// The clocks of each multiprocessor at this moment: stamps[sm] = {cycles, nanoseconds of the device's global timer}, for the first `count`.
// Launched as a thread per multiprocessor at the start and at the end of a step: cycles over time in between is the clock that the step had.
KERNEL_FN clock_stamp(u64* stamps, u32 count) {
  u32 sm;
  u64 cycles, nanoseconds;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
  asm volatile("mov.u64 %0, %%clock64;" : "=l"(cycles));
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
  if (sm < count) {
    stamps[2u * sm] = cycles;
    stamps[2u * sm + 1u] = nanoseconds;
  }
}
