// Calls of the kernels on tensors in as much memory as they need, for the programs beside this file.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "native/features.cpp"
#include "native/unit_vectors.cpp"
#include "orderings/cpu.cpp"
#include "window_attention/cpu.cpp"

struct Problem {
  int64_t batch, heads, queries, keys, dim, orderings, token_gap;
  bool causal, attend_self, deduplicate, shared, unit;  // `unit`: keys are queries divided by their length.
  std::vector<int64_t> windows, query_slots, key_slots;
  std::vector<double> query, key, value, grad;
  std::vector<char> odd_query, odd_key;  // Tokens that hold NaN, infinities, the largest or the smallest numbers.
  int64_t transform, coefficients;  // Of the scores, see `reformer::Transform`.
  std::vector<double> coefficient;
  double scale, shortest = 1e-12;

  int64_t rows() const { return batch * heads; }
};

// Numbers laid out with a gap after every token, in exactly as much memory as they need.
template <class T>
struct Laid {
  std::vector<T> data;
  int64_t rows, length, dim, step;

  Laid(int64_t rows, int64_t length, int64_t dim, int64_t gap)
      : data(length ? rows * length * (dim + gap) - gap : 0), rows(rows), length(length), dim(dim), step(dim + gap) {
    T nothing;
    reformer::narrow(std::numeric_limits<reformer::Compute<T>>::quiet_NaN(), nothing);
    std::fill(data.begin(), data.end(), nothing);
  }

  Laid(const std::vector<double>& from, int64_t rows, int64_t length, int64_t dim, int64_t gap)
      : Laid(rows, length, dim, gap) {
    for (int64_t i = 0; i < rows * length; ++i) {
      for (int64_t d = 0; d < dim; ++d) {
        reformer::narrow(static_cast<reformer::Compute<T>>(from[i * dim + d]), data[i * step + d]);
      }
    }
  }

  reformer::Array array(int64_t heads) { return {data.data(), heads * length * step, length * step, step}; }

  std::vector<double> values() const {
    std::vector<double> result;
    for (int64_t i = 0; i < rows * length; ++i) {
      for (int64_t d = 0; d < dim; ++d) result.push_back(reformer::widen(data[i * step + d]));
    }
    return result;
  }
};

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double now = std::abs(a[i] - b[i]) / (1 + std::abs(b[i]));
    largest = now <= largest ? largest : now;  // A NaN stays.
  }
  return largest;
}

// The tensors of one call, forward and backward, and its results.
template <class T>
struct Run {
  const Problem& p;
  Laid<T> query, key, value, grad, output, grad_query, grad_key, grad_value;
  std::vector<double> grad_coefficient;
  bool done;

  Laid<T> laid(const std::vector<double>& from, int64_t length) const {
    return Laid<T>(from, p.rows(), length, p.dim, p.token_gap);
  }
  Laid<T> empty(int64_t length) const { return Laid<T>(p.rows(), length, p.dim, p.token_gap); }

  Run(const Problem& p, reformer::Dtype dtype, int64_t threads)
      : p(p), query(laid(p.query, p.queries)), key(laid(p.key, p.keys)), value(laid(p.value, p.keys)),
        grad(laid(p.grad, p.queries)), output(empty(p.queries)), grad_query(empty(p.queries)), grad_key(empty(p.keys)),
        grad_value(empty(p.keys)), grad_coefficient(p.rows() * p.coefficients) {
    std::vector<reformer::Compute<T>> log_sum(p.rows() * p.queries);
    reformer::Call call{};
    call.batch = p.batch;
    call.heads = p.heads;
    call.queries = p.queries;
    call.keys = p.keys;
    call.dim = p.dim;
    call.orderings = p.orderings;
    call.windows = p.windows.data();
    call.causal = p.causal;
    call.attend_self = p.attend_self;
    call.deduplicate = p.deduplicate;
    call.shared = p.shared;
    call.dtype = dtype;
    call.threads = threads;
    call.scale = p.scale;
    call.shortest = p.unit ? p.shortest : 0;
    call.query = query.array(p.heads);
    call.key = (p.unit ? query : key).array(p.heads);
    call.value = value.array(p.heads);
    call.output = output.array(p.heads);
    call.grad_output = grad.array(p.heads);
    call.grad_query = grad_query.array(p.heads);
    if (p.unit) std::fill(grad_key.data.begin(), grad_key.data.end(), T{});  // Stays as it is.
    call.grad_key = p.unit ? reformer::Array{} : grad_key.array(p.heads);
    call.grad_value = grad_value.array(p.heads);
    auto slots = [&](const std::vector<int64_t>& data, int64_t size) {
      return reformer::SlotArray{data.data(), p.heads * p.orderings * size, p.orderings * size, size, 1};
    };
    call.query_slots = slots(p.query_slots, p.queries);
    call.key_slots = slots(p.key_slots, p.keys);
    call.log_sum = log_sum.data();
    call.transform = p.transform;
    call.coefficients = p.coefficients;
    call.coefficient = p.coefficient.data();
    call.grad_coefficient = grad_coefficient.data();
    done = !reformer_window_attention_forward(&call) && !reformer_window_attention_backward(&call);
  }
};
