// Calls of the kernels read from a file, and their results beside those that the file expects (see emulated.py).

#include <cstdio>
#include <cstdlib>

#include "calls.h"

namespace {

class File {
 public:
  explicit File(const char* name) : file_(std::fopen(name, "rb")) {
    if (!file_) fail("cannot be opened");
  }
  ~File() { std::fclose(file_); }

  // A count and so many numbers.
  template <class X>
  std::vector<X> read() {
    int64_t count = 0;
    if (std::fread(&count, sizeof(count), 1, file_) != 1) fail("ends too early");
    std::vector<X> numbers(count);
    if (std::fread(numbers.data(), sizeof(X), count, file_) != static_cast<size_t>(count)) fail("ends too early");
    return numbers;
  }
  std::vector<int64_t> integers() { return read<int64_t>(); }
  std::vector<double> numbers() { return read<double>(); }

 private:
  [[noreturn]] static void fail(const char* what) {
    std::printf("the file of calls %s\n", what);
    std::exit(2);
  }

  std::FILE* file_;
};

bool close(const char* what, const std::vector<double>& found, const std::vector<double>& expected, double bound) {
  const double apart = found.size() == expected.size() ? difference(found, expected) : INFINITY;
  if (apart < bound) return true;
  std::printf("%s: off by %g, allowed are %g\n", what, apart, bound);
  return false;
}

// The outcome of `work<T>()` for the dtype.
template <class Work>
bool with_dtype(int64_t dtype, const Work& work) {
  switch (dtype) {
    case reformer::kFloat32: return work(float{});
    case reformer::kFloat64: return work(double{});
    default: return work(reformer::BFloat16{});
  }
}

bool attention(File& file) {
  const std::vector<int64_t> n = file.integers();
  const std::vector<double> x = file.numbers();
  Problem p;
  const int64_t dtype = n[0], threads = n[15];
  p.batch = n[1], p.heads = n[2], p.queries = n[3], p.keys = n[4], p.dim = n[5], p.orderings = n[6];
  p.token_gap = n[7], p.causal = n[8], p.attend_self = n[9], p.deduplicate = n[10], p.shared = n[11], p.unit = n[12];
  p.transform = n[13], p.coefficients = n[14];
  p.scale = x[0], p.shortest = x[1];
  for (auto* into : {&p.windows, &p.query_slots, &p.key_slots}) *into = file.integers();
  for (auto* into : {&p.query, &p.key, &p.value, &p.grad, &p.coefficient}) *into = file.numbers();
  const std::vector<double> output = file.numbers(), query = file.numbers(), key = file.numbers(),
                            value = file.numbers(), coefficient = file.numbers();
  return with_dtype(dtype, [&](auto zero) {
    const Run<decltype(zero)> run(p, static_cast<reformer::Dtype>(dtype), threads);
    std::vector<double> summed(p.heads * p.coefficients);
    for (size_t i = 0; i < run.grad_coefficient.size(); ++i) summed[i % summed.size()] += run.grad_coefficient[i];
    return run.done && close("output", run.output.values(), output, x[2]) &&
           close("gradient of queries", run.grad_query.values(), query, x[2]) &&
           close("gradient of keys", run.grad_key.values(), key, x[2]) &&
           close("gradient of values", run.grad_value.values(), value, x[2]) &&
           // A sum over all queries.
           close("gradient of coefficients", summed, coefficient, x[2] * static_cast<double>(p.batch * p.queries + 1));
  });
}

bool buckets(File& file) {
  const std::vector<int64_t> n = file.integers(), halves = file.integers();
  const int64_t dtype = n[0], batch = n[1], heads = n[2], length = n[3], dim = n[4], rounds = n[5], threads = n[6];
  const std::vector<double> vectors = file.numbers();
  std::vector<std::vector<float>> rotations(halves.size());
  std::vector<const float*> pointers;
  for (auto& rotation : rotations) {
    for (const double x : file.numbers()) rotation.push_back(static_cast<float>(x));
    pointers.push_back(rotation.data());
  }
  const std::vector<int64_t> expected = file.integers();
  return with_dtype(dtype, [&](auto zero) {
    Laid<decltype(zero)> laid(vectors, batch * heads, length, dim, 0);
    std::vector<int64_t> found(expected.size(), -1);
    reformer::HashCall call{batch, heads, length, dim, rounds, static_cast<int64_t>(halves.size()), dtype, threads,
                            laid.data.data(), heads * length * dim, length * dim, dim, pointers.data(), halves.data(),
                            found.data()};
    return !reformer_hash_buckets(&call) && found == expected;
  });
}

bool slots(File& file) {
  const std::vector<int64_t> n = file.integers(), query = file.integers(), key = file.integers();
  const std::vector<uint8_t> key_mask = file.read<uint8_t>(), query_mask = file.read<uint8_t>();
  const std::vector<int64_t> expected = file.integers();
  std::vector<int64_t> found(expected.size(), -2);
  const bool of_keys = n[8];
  reformer::SlotCall call{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], of_keys ? nullptr : query.data(), key.data(),
                          query_mask.data(), key_mask.data(), found.data()};
  return !reformer_bucket_slots(&call) && found == expected;
}

bool units(File& file) {
  const std::vector<int64_t> n = file.integers();
  const int64_t dtype = n[0], rows = n[1], length = n[2], dim = n[3], gap = n[4], threads = n[5];
  const std::vector<double> x = file.numbers(), vectors = file.numbers(), slopes = file.numbers();
  const std::vector<double> unit = file.numbers(), grad = file.numbers();
  return with_dtype(dtype, [&](auto zero) {
    using Rows = Laid<decltype(zero)>;
    Rows from(vectors, rows, length, dim, gap), slope(slopes, rows, length, dim, gap);
    Rows to(rows, length, dim, gap), back(rows, length, dim, gap);
    auto laid = [&](Rows& of) {
      const reformer::Array array = of.array(rows);
      return reformer::Vectors{array.data, array.batch, array.head, array.token};
    };
    reformer::UnitCall call{1, rows, length, dim, dtype, threads, x[0], laid(from), laid(to), {}};
    bool done = !reformer_unit_vectors(&call);
    call.units = laid(slope);
    call.grad_vectors = laid(back);
    done = done && !reformer_unit_vectors(&call);
    return done && close("unit vectors", to.values(), unit, x[1]) && close("their gradient", back.values(), grad, x[1]);
  });
}

}  // namespace

int main(int, char** arguments) {
  bool (*const kinds[])(File&) = {attention, buckets, slots, units};
  const char* const names[] = {"attention", "buckets", "slots", "unit vectors"};
  File file(arguments[1]);
  const std::vector<int64_t> calls = file.integers();
  int64_t failed = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (kinds[calls[i]](file)) continue;
    std::printf("call %d, of %s, failed\n", static_cast<int>(i), names[calls[i]]);
    ++failed;
  }
  std::printf("%d calls, %d failed\n", static_cast<int>(calls.size()), static_cast<int>(failed));
  return failed ? 1 : 0;
}
