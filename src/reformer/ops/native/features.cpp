// Check of a compiled variant: whether this processor can run it.

#include "interface.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

// The places of the variants in `VARIANTS` of native/__init__.py.
enum Level : int { kGeneric, kAvx2, kAvx512, kAvx512Bf16, kAmx, kNeon, kNeonBf16 };

#if defined(__x86_64__) || defined(__i386__)

bool avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool avx512() {
  return avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

bool avx512_bf16() { return avx512() && __builtin_cpu_supports("avx512bf16"); }

bool amx() {
#if defined(__x86_64__) && defined(__linux__) && !defined(__clang__) && __GNUC__ >= 11
  // Without this request Linux kills a process that uses tile registers.
  constexpr long kAskForState = 0x1023, kTileData = 18;
  return avx512_bf16() && __builtin_cpu_supports("amx-bf16") && syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
#else
  return false;
#endif
}

#elif defined(__aarch64__)

bool neon_bf16() {
#if defined(__linux__)
  constexpr unsigned long kBf16 = 1ul << 14;
  return getauxval(AT_HWCAP2) & kBf16;
#elif defined(__APPLE__)
  int has = 0;
  size_t size = sizeof(has);
  return sysctlbyname("hw.optional.arm.FEAT_BF16", &has, &size, nullptr, 0) == 0 && has;
#else
  return false;
#endif
}

#endif

}  // namespace

EXPORT int reformer_processor_runs(int level) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
  switch (level) {
    case kGeneric: return 1;
    case kAvx2: return avx2();
    case kAvx512: return avx512();
    case kAvx512Bf16: return avx512_bf16();
    case kAmx: return amx();
    default: return 0;
  }
#elif defined(__aarch64__)
  // Every such processor has NEON.
  return level == kGeneric || level == kNeon || (level == kNeonBf16 && neon_bf16());
#else
  return level == kGeneric;
#endif
}
