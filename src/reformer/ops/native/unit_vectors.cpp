// Vectors divided by their length, and the gradient of that, each in one pass over memory.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "interface.h"
#include "threads.h"
#include "vector.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace reformer {
namespace {

// Mirrored by `UnitCall` in native/__init__.py. Steps are in elements; the last dimension is contiguous.
struct Vectors {
  void* data;
  int64_t batch, head, token;
};

struct UnitCall {
  int64_t batch, heads, length, dim, dtype, threads;
  double shortest;
  Vectors vectors, units;         // The input; the output, or its gradient in the backward pass.
  Vectors grad_vectors;           // Backward only.
};

template <class In>
using Wide = std::conditional_t<std::is_same_v<In, double>, double, float>;

template <class In>
Wide<In> product_of(const In* a, const In* b, int64_t dim) {
  using T = Wide<In>;
  Vector<T> sums{};
  int64_t d = 0;
  for (; d + kLanes<T> <= dim; d += kLanes<T>) {
    sums += widened<T>(a + d) * widened<T>(b + d);
  }
  T sum = sum_of<T>(sums);
  for (; d < dim; ++d) sum += static_cast<T>(widen(a[d])) * static_cast<T>(widen(b[d]));
  return sum;
}

template <class In>
void unit(const UnitCall& call, bool backward) {
  using T = Wide<In>;
  constexpr int64_t kJob = 512;
  const int64_t parts = (call.length + kJob - 1) / kJob;
  const T shortest = static_cast<T>(call.shortest);
  parallel(call.batch * call.heads * parts, call.threads, [&](int64_t job, int64_t) {
    const int64_t row = job / parts, batch = row / call.heads, head = row % call.heads;
    const int64_t end = std::min(call.length, (job % parts + 1) * kJob);
    auto at = [&](const Vectors& array, int64_t token) {
      return static_cast<In*>(array.data) + batch * array.batch + head * array.head + token * array.token;
    };
    for (int64_t i = job % parts * kJob; i < end; ++i) {
      const In* x = at(call.vectors, i);
      In* y = at(call.units, i);
      const T length = std::sqrt(product_of(x, x, call.dim));
      const T inverse = 1 / (length < shortest ? shortest : length);
      if (!backward) {
        for (int64_t d = 0; d < call.dim; ++d) narrow(static_cast<T>(widen(x[d])) * inverse, y[d]);
        continue;
      }
      // A vector shorter than `shortest` is divided by this constant, whatever its direction.
      const T along = length < shortest ? 0 : product_of(x, y, call.dim) * inverse * inverse;
      In* to = at(call.grad_vectors, i);
      for (int64_t d = 0; d < call.dim; ++d) {
        narrow((static_cast<T>(widen(y[d])) - static_cast<T>(widen(x[d])) * along) * inverse, to[d]);
      }
    }
  });
}

}  // namespace
}  // namespace reformer

EXPORT int64_t reformer_unit_call_size() { return sizeof(reformer::UnitCall); }

EXPORT int reformer_unit_vectors(const reformer::UnitCall* call) {
  using namespace reformer;
  return guarded([&] {
    const bool backward = call->grad_vectors.data != nullptr;
    switch (call->dtype) {
      case kFloat32: unit<float>(*call, backward); return kDone;
      case kFloat64: unit<double>(*call, backward); return kDone;
      case kBFloat16: unit<BFloat16>(*call, backward); return kDone;
      default: return kUnknownDtype;
    }
  });
}

// Asks for large pages where memory is about to be written for the first time: results are scattered over it, and
// small pages would cost more than the arithmetic. Only a hint, so what the system answers does not matter.
EXPORT void reformer_prefer_large_pages(void* data, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t kPage = uintptr_t{1} << 21;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(bytes)) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data;
  (void)bytes;
#endif
}
