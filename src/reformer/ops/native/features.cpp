// Check of a compiled variant: whether this processor can run it.

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

// Without this request Linux kills a process that uses tile registers.
static bool tiles_allowed() {
  constexpr long kAskForState = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
}
#else
static bool tiles_allowed() { return false; }
#endif

extern "C" __attribute__((visibility("default"))) int reformer_processor_runs(int level) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  switch (level) {
    case 0: return 1;
    case 1: return avx2;
    case 2: return avx512;
    case 3: return avx512 && __builtin_cpu_supports("avx512bf16");
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
    case 4:
      return avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("amx-bf16") && tiles_allowed();
#endif
    default: return 0;
  }
#else
  return level == 0;
#endif
}
