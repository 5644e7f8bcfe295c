// Interface of every function of the library: the numbers of dtypes, and of a call's outcomes.
#pragma once

#include <cstdint>
#include <new>

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace reformer {

// The numbers of `DTYPES` and `call` in native/__init__.py.
enum Dtype : int64_t { kFloat32 = 0, kFloat64 = 1, kBFloat16 = 2 };
enum Status : int { kDone = 0, kNoMemory = 1, kFailed = 2, kUnknownDtype = 3, kOutOfRange = 4 };

// The outcome of `work`; an exception that leaves a C function ends the process.
template <class Work>
int guarded(const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  } catch (...) {
    return kFailed;
  }
}

}  // namespace reformer
