// Random calls of the kernels beside a plain loop, to be compiled with sanitizers (see sanitize.py).

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <tuple>
#include <vector>

#include "calls.h"

namespace {

std::mt19937 generator;

int64_t number(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }

template <class T>
T one_of(std::initializer_list<T> choices) {
  return choices.begin()[number(0, static_cast<int64_t>(choices.size()) - 1)];
}

std::vector<double> normal(int64_t size) {
  std::vector<double> values(size);
  std::normal_distribution<double> distribution;
  for (double& x : values) x = distribution(generator);
  return values;
}

// Slots as hash rounds make them, some tokens absent; or any order with gaps.
void draw_slots(int64_t* slots, int64_t size, bool keys) {
  if (keys && number(0, 4) == 0) {
    for (int64_t i = 0, slot = 0; i < size; ++i, slot += number(1, 9)) slots[i] = slot;
    std::shuffle(slots, slots + size, generator);
    return;
  }
  const int64_t buckets = number(1, 6), absent = number(0, 3);
  std::map<int64_t, int64_t> counts;
  for (int64_t i = 0; i < size; ++i) {
    const int64_t bucket = number(0, buckets - 1);
    const bool gone = absent > 0 && number(0, 3) < absent;
    const int64_t rank = keys ? (gone ? 0 : counts[bucket]++) : number(0, std::max<int64_t>(size / buckets, 1));
    slots[i] = gone ? -1 : (bucket << 40) + rank;
  }
}

// Of each token whether it is absent in every ordering.
std::vector<char> absent(const Problem& p, const std::vector<int64_t>& slots, int64_t size) {
  std::vector<char> result(p.rows() * size, 1);
  for (int64_t row = 0; row < p.rows(); ++row) {
    for (int64_t i = 0; i < p.orderings * size; ++i) {
      if (slots[row * p.orderings * size + i] >= 0) result[row * size + i % size] = 0;
    }
  }
  return result;
}

// NaN in the vectors of absent tokens, which nothing may read.
void empty_absent(Problem& p) {
  const std::vector<char> no_query = absent(p, p.query_slots, p.queries), no_key = absent(p, p.key_slots, p.keys);
  const double nothing = std::numeric_limits<double>::quiet_NaN();
  for (int64_t i = 0; i < p.rows() * p.queries; ++i) {
    for (int64_t d = 0; no_query[i] && d < p.dim; ++d) p.query[i * p.dim + d] = p.grad[i * p.dim + d] = nothing;
  }
  for (int64_t i = 0; i < p.rows() * p.keys; ++i) {
    for (int64_t d = 0; no_key[i] && d < p.dim; ++d) p.key[i * p.dim + d] = p.value[i * p.dim + d] = nothing;
  }
}

// Some present tokens hold other numbers.
Problem with_odd_numbers(Problem p) {
  const double nothing = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const double numbers[] = {nothing, infinity, -infinity, 3.3e38, -3.3e38, 1e19, 1e-40};
  auto put = [&](std::vector<double>& vectors, std::vector<char>& odd) {
    const int64_t one_in = one_of<int64_t>({1, 3, 50});
    for (size_t i = 0; i < odd.size(); ++i) {
      if (number(1, one_in) > 1) continue;
      odd[i] = 1;
      const int64_t first = number(0, p.dim - 1), last = number(0, 1) ? first : p.dim - 1;
      for (int64_t d = first; d <= last; ++d) vectors[i * p.dim + d] = numbers[number(0, 6)];
    }
  };
  if (number(0, 1)) put(p.query, p.odd_query);
  if (number(0, 1)) put(p.unit ? p.query : p.key, p.unit ? p.odd_query : p.odd_key);
  if (number(0, 1)) put(p.value, p.odd_key);
  if (p.unit) {
    for (size_t i = 0; i < p.odd_key.size(); ++i) p.odd_key[i] |= p.odd_query[i];
  }
  empty_absent(p);
  return p;
}

Problem draw() {
  Problem p;
  p.dim = one_of<int64_t>({1, 5, 16, 33, 64, 80});
  p.keys = one_of<int64_t>({number(0, 2), number(1, 20), number(1, 200), number(1, 700), number(4200, 4500)});
  // The definition takes the square of the keys for each row.
  p.batch = p.keys > 1000 ? 1 : number(1, 2);
  p.heads = p.keys > 1000 ? 1 : number(1, 3);
  p.shared = number(0, 1);
  p.unit = p.shared && number(0, 1);
  p.queries = p.shared ? p.keys : number(0, p.keys);
  p.orderings = number(1, p.keys > 1000 ? 2 : 5);
  p.causal = number(0, 1);
  p.attend_self = number(0, 1);
  p.deduplicate = number(0, 1);
  p.token_gap = number(0, 3);
  for (int64_t r = 0; r < p.orderings; ++r) p.windows.push_back(one_of<int64_t>({1, 3, 17, 64, 300, int64_t{1} << 61}));
  if (p.keys > 1000) for (int64_t& w : p.windows) w = std::min<int64_t>(w, 64);
  p.key_slots.resize(p.rows() * p.orderings * p.keys);
  p.query_slots.resize(p.rows() * p.orderings * p.queries);
  for (int64_t i = 0; i < p.rows() * p.orderings; ++i) {
    draw_slots(p.key_slots.data() + i * p.keys, p.keys, true);
    if (!p.shared) draw_slots(p.query_slots.data() + i * p.queries, p.queries, false);
  }
  if (p.shared) p.query_slots = p.key_slots;
  p.query = normal(p.rows() * p.queries * p.dim);
  p.key = normal(p.rows() * p.keys * p.dim);
  p.value = normal(p.rows() * p.keys * p.dim);
  p.grad = normal(p.rows() * p.queries * p.dim);
  p.odd_query.assign(p.rows() * p.queries, 0);
  p.odd_key.assign(p.rows() * p.keys, 0);
  p.scale = 1 / std::sqrt(static_cast<double>(p.dim));
  empty_absent(p);
  p.transform = number(reformer::kNoTransform, reformer::kSinh);
  p.coefficients = p.transform == reformer::kPolynomial ? number(1, 4) : p.transform == reformer::kSinh;
  // So small that the steepest score costs few digits; some zero.
  for (int64_t i = 0; i < p.heads * p.coefficients; ++i) {
    p.coefficient.push_back(number(-3, 3) * 0.05 * std::pow(0.1, i % p.coefficients));
  }
  return p;
}

struct Results {
  std::vector<double> output, grad_query, grad_key, grad_value;
  std::vector<double> grad_coefficient, terms;  // `terms`: what was added up, without signs.
};

// The definition is not what is checked: under a sanitizer it would take most of the time.
#define UNCHECKED __attribute__((no_sanitize("address", "undefined", "thread")))

// A transformed score, its slope and its derivative by each coefficient.
struct Transformed {
  double value, slope = 1, by_coefficient[reformer::kMostCoefficients] = {};
};

Transformed transformed(const Problem& p, int64_t head, double s) {
  const double* c = p.coefficient.data() + head * p.coefficients;
  Transformed t{s};
  if (p.transform == reformer::kPolynomial) {
    for (int64_t m = 0; m < p.coefficients; ++m) {
      t.value += c[m] * std::pow(s, m + 1);
      t.slope += c[m] * static_cast<double>(m + 1) * std::pow(s, m);
      t.by_coefficient[m] = std::pow(s, m + 1);
    }
  } else if (p.transform == reformer::kSinh) {
    const double x = *c * s;
    t.slope = std::cosh(x);
    if (x != 0) {
      t.value = std::sinh(x) / *c;
      // The difference loses its digits where x is small: there the first terms of its series.
      const double bend = std::abs(x) > 0.1 ? (std::cosh(x) - std::sinh(x) / x) / x
                                            : x * (1.0 / 3 + x * x * (1.0 / 30 + x * x * (1.0 / 840 + x * x / 45360)));
      t.by_coefficient[0] = s * s * bend;
    }
  }
  return t;
}

Results define(const Problem& p, double scale);

double length_of(const double* x, int64_t dim) {
  double sum = 0;
  for (int64_t d = 0; d < dim; ++d) sum += x[d] * x[d];
  return std::sqrt(sum);
}

// Keys made of the queries, and their gradients handed back to these.
Results define_unit(Problem p, double scale) {
  p.unit = false;
  for (int64_t i = 0; i < p.rows() * p.keys; ++i) {
    const double* x = &p.query[i * p.dim];
    const double length = length_of(x, p.dim);
    for (int64_t d = 0; d < p.dim; ++d) p.key[i * p.dim + d] = x[d] / length;
  }
  Results r = define(p, scale);
  for (int64_t i = 0; i < p.rows() * p.keys; ++i) {
    if (std::isnan(p.query[i * p.dim])) continue;  // Absent.
    const double *unit = &p.key[i * p.dim], length = length_of(&p.query[i * p.dim], p.dim);
    double* grad = &r.grad_key[i * p.dim];
    double along = 0;
    for (int64_t d = 0; d < p.dim; ++d) along += grad[d] * unit[d];
    for (int64_t d = 0; d < p.dim; ++d) {
      r.grad_query[i * p.dim + d] += (grad[d] - along * unit[d]) / length;
      grad[d] = 0;
    }
  }
  return r;
}

// How often a query of one row counts each key.
UNCHECKED void count_keys(const Problem& p, int64_t row, int64_t i, int* count) {
  int64_t self_key = -1;
  std::fill_n(count, p.keys, 0);
  for (int64_t o = 0; o < p.orderings; ++o) {
    const int64_t s = p.query_slots[(row * p.orderings + o) * p.queries + i], window = p.windows[o];
    const int64_t* slots = p.key_slots.data() + (row * p.orderings + o) * p.keys;
    for (int64_t j = 0; s >= 0 && j < p.keys; ++j) {
      const int64_t t = slots[j];
      if (t < 0) continue;
      if (!p.attend_self && s == t) self_key = j;
      count[j] += p.causal ? s >= t && s - t < window : (s > t ? s - t : t - s) < window;
    }
  }
  if (self_key < 0) return;
  count[self_key] = 0;
  for (int64_t j = 0; j < p.keys; ++j) {
    if (count[j]) return;
  }
  count[self_key] = 1;
}

// The queries that hold or see an odd number.
UNCHECKED std::vector<char> touched_queries(const Problem& p) {
  std::vector<char> touched = p.odd_query;
  std::vector<int> counted(p.keys);
  for (int64_t at = 0; at < p.rows() * p.queries; ++at) {
    const int64_t row = at / p.queries;
    count_keys(p, row, at % p.queries, counted.data());
    const int* count = counted.data();
    const char* odd = p.odd_key.data() + row * p.keys;
    for (int64_t j = 0; j < p.keys; ++j) touched[at] |= count[j] && odd[j];
  }
  return touched;
}

// The definition, pair by pair.
UNCHECKED Results define(const Problem& p, double scale) {
  if (p.unit) return define_unit(p, scale);
  Results r;
  r.output.assign(p.query.size(), 0);
  r.grad_query.assign(p.query.size(), 0);
  r.grad_key.assign(p.key.size(), 0);
  r.grad_value.assign(p.key.size(), 0);
  r.grad_coefficient.assign(p.rows() * p.coefficients, 0);
  r.terms = r.grad_coefficient;
  std::vector<double> weights(p.keys), grad_weights(p.keys);
  std::vector<Transformed> scores(p.keys);
  std::vector<int> counts(p.keys);
  double *weight = weights.data(), *grad_weight = grad_weights.data();
  Transformed* score = scores.data();
  int* count = counts.data();
  const int64_t dim = p.dim, keys = p.keys;
  for (int64_t row = 0; row < p.rows(); ++row) {
    const double *key = p.key.data() + row * keys * dim, *value = p.value.data() + row * keys * dim;
    double *grad_key = r.grad_key.data() + row * keys * dim, *grad_value = r.grad_value.data() + row * keys * dim;
    for (int64_t i = 0; i < p.queries; ++i) {
      const int64_t at = (row * p.queries + i) * dim;
      const double *q = p.query.data() + at, *g = p.grad.data() + at;
      double *output = r.output.data() + at, *grad_query = r.grad_query.data() + at;
      double largest = -std::numeric_limits<double>::infinity(), total = 0, delta = 0;
      count_keys(p, row, i, count);
      for (int64_t j = 0; j < keys; ++j) {
        if (!count[j]) continue;
        weight[j] = 0;
        for (int64_t d = 0; d < dim; ++d) weight[j] += scale * q[d] * key[j * dim + d];
        score[j] = transformed(p, row % p.heads, weight[j]);
        weight[j] = score[j].value;
        largest = std::max(largest, weight[j]);
      }
      for (int64_t j = 0; j < keys; ++j) {
        if (!count[j]) continue;
        weight[j] = std::exp(weight[j] - largest) * (p.deduplicate ? 1 : count[j]);
        total += weight[j];
      }
      for (int64_t j = 0; j < keys; ++j) {
        if (!count[j]) continue;
        weight[j] /= total;
        grad_weight[j] = 0;
        for (int64_t d = 0; d < dim; ++d) {
          output[d] += weight[j] * value[j * dim + d];
          grad_value[j * dim + d] += weight[j] * g[d];
          grad_weight[j] += value[j * dim + d] * g[d];
        }
        delta += weight[j] * grad_weight[j];
      }
      for (int64_t j = 0; j < keys; ++j) {
        if (!count[j]) continue;
        const double of_score = weight[j] * (grad_weight[j] - delta), slope = scale * of_score * score[j].slope;
        for (int64_t m = 0; m < p.coefficients; ++m) {
          const double by = score[j].by_coefficient[m];
          r.grad_coefficient[row * p.coefficients + m] += of_score * by;
          r.terms[row * p.coefficients + m] += weight[j] * (std::abs(grad_weight[j]) + std::abs(delta)) * std::abs(by);
        }
        for (int64_t d = 0; d < dim; ++d) {
          grad_query[d] += slope * key[j * dim + d];
          grad_key[j * dim + d] += slope * q[d];
        }
      }
    }
  }
  return r;
}

// Whether odd numbers reach the queries that see them and no others, and absent tokens get gradients of zero.
template <class T>
bool check_odd(const Problem& clean, const Problem& odd, const std::vector<char>& touched, reformer::Dtype dtype) {
  const int64_t threads = number(1, 4);
  const Run<T> expected(clean, dtype, threads), found(odd, dtype, threads);
  if (!expected.done || !found.done) return false;
  const std::vector<double> a = found.output.values(), b = expected.output.values();
  for (size_t i = 0; i < a.size(); ++i) {
    if (touched[i / odd.dim] || a[i] == b[i]) continue;
    std::printf("dtype %d: query %ld was %g and is %g beside odd numbers; %ld orderings, dim %ld, unit %d, "
                "transform %ld\n",
                static_cast<int>(dtype), static_cast<int64_t>(i) / odd.dim, b[i], a[i], odd.orderings, odd.dim,
                odd.unit, odd.transform);
    return false;
  }
  auto nothing = [&](const std::vector<char>& gone, const Laid<T>& grad) {
    const std::vector<double> values = grad.values();
    for (size_t i = 0; i < values.size(); ++i) {
      if (gone[i / odd.dim] && values[i] != 0) return false;
    }
    return true;
  };
  const std::vector<char> no_key = absent(odd, odd.key_slots, odd.keys);
  return nothing(absent(odd, odd.query_slots, odd.queries), found.grad_query) && nothing(no_key, found.grad_key) &&
         nothing(no_key, found.grad_value);
}

template <class T>
bool check(const Problem& p, reformer::Dtype dtype, double bound) {
  const int64_t threads = number(1, 4);
  const Run<T> run(p, dtype, threads);
  if (!run.done) return false;
  Problem rounded = p;
  rounded.query = run.query.values();
  rounded.key = run.key.values();
  rounded.value = run.value.values();
  rounded.grad = run.grad.values();
  const Results expected = define(rounded, rounded.scale);
  std::vector<double> coefficient_error;
  for (size_t i = 0; i < run.grad_coefficient.size(); ++i) {
    coefficient_error.push_back((run.grad_coefficient[i] - expected.grad_coefficient[i]) / (1 + expected.terms[i]));
  }
  const double worst[] = {
      difference(run.output.values(), expected.output), difference(run.grad_query.values(), expected.grad_query),
      difference(run.grad_key.values(), expected.grad_key), difference(run.grad_value.values(), expected.grad_value),
      difference(coefficient_error, std::vector<double>(coefficient_error.size()))};
  for (double x : worst) {
    if (!(x < bound)) {
      std::printf("dtype %d: output %g, gradients %g %g %g, of coefficients %g; %ld queries, %ld keys, dim %ld, "
                  "%ld threads, unit %d, transform %ld\n",
                  static_cast<int>(dtype), worst[0], worst[1], worst[2], worst[3], worst[4], p.queries, p.keys, p.dim,
                  threads, p.unit, p.transform);
      return false;
    }
  }
  return true;
}

// The numbers as they are in memory, those of some tokens odd: NaN, infinities, the largest and the smallest.
template <class T>
std::vector<T> stored(std::vector<double> numbers, int64_t dim, const std::vector<char>& odd) {
  const double nothing = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  std::vector<T> result(numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (odd[i / dim]) numbers[i] = one_of({nothing, infinity, -infinity, 3.3e38, -3.3e38, 1e19, 1e-40});
    reformer::narrow(static_cast<reformer::Compute<T>>(numbers[i]), result[i]);
  }
  return result;
}

std::vector<char> some_odd(int64_t tokens) {
  const int64_t one_in = one_of<int64_t>({1, 3, 50});
  std::vector<char> odd(tokens);
  for (char& x : odd) x = number(1, one_in) == 1;
  return odd;
}

// Buckets of any numbers are in range, and odd tokens change no bucket of others.
template <class T>
bool check_buckets(reformer::Dtype dtype) {
  const int64_t batch = number(1, 2), heads = number(1, 3), length = number(0, 3000), dim = number(1, 70);
  const int64_t rounds = number(1, 3), factors = number(1, 2), tokens = batch * heads * length;
  std::vector<double> numbers(tokens * dim);
  for (double& x : numbers) x = static_cast<double>(number(-1000, 1000));
  const std::vector<char> odd = some_odd(tokens);
  std::vector<std::vector<float>> rotations;
  std::vector<const float*> pointers;
  std::vector<int64_t> halves;
  int64_t most = 1;
  for (int64_t f = 0; f < factors; ++f) {
    halves.push_back(number(1, 12));
    most *= 2 * halves.back();
    rotations.emplace_back(heads * rounds * dim * halves.back());
    for (float& x : rotations.back()) x = static_cast<float>(number(-1000, 1000));
  }
  for (const auto& rotation : rotations) pointers.push_back(rotation.data());
  auto buckets_of = [&](const std::vector<T>& vectors) {
    std::vector<int64_t> buckets(batch * heads * rounds * length, -1);
    reformer::HashCall call{batch, heads, length, dim, rounds, factors, dtype, number(1, 4), vectors.data(),
                            heads * length * dim, length * dim, dim, pointers.data(), halves.data(), buckets.data()};
    return reformer_hash_buckets(&call) ? std::vector<int64_t>{} : buckets;
  };
  const std::vector<int64_t> clean = buckets_of(stored<T>(numbers, dim, std::vector<char>(tokens)));
  const std::vector<int64_t> found = buckets_of(stored<T>(numbers, dim, odd));
  if (static_cast<int64_t>(clean.size()) != tokens * rounds || found.size() != clean.size()) return false;
  for (size_t i = 0; i < found.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i) / length / rounds;
    if (found[i] < 0 || found[i] >= most) return false;
    if (found[i] != clean[i] && !odd[row * length + static_cast<int64_t>(i) % length]) return false;
  }
  return true;
}

// Slots of keys, and the places of queries among them, counted one by one; a bucket that is out of range is told.
bool check_slots() {
  const int64_t batch = number(1, 2), rows = number(1, 4), keys = number(0, 300), most = number(1, 40);
  const bool aligned = number(0, 1), causal = number(0, 1), of_keys = number(0, 2) == 0;
  const int64_t queries = of_keys ? 0 : aligned ? keys : number(0, 300), size = of_keys ? keys : queries;
  auto drawn = [&](int64_t count) {
    std::vector<int64_t> buckets(batch * rows * count);
    for (int64_t& x : buckets) x = number(0, most - 1);
    return buckets;
  };
  std::vector<int64_t> key = drawn(keys), query = drawn(queries), slots(batch * rows * size, -2);
  std::vector<uint8_t> key_mask(batch * keys), query_mask(batch * queries);
  for (uint8_t& x : key_mask) x = number(0, 3) > 0;
  for (uint8_t& x : query_mask) x = number(0, 3) > 0;
  const bool masked = number(0, 1);
  // A null pointer of queries asks for the slots of the keys.
  query.reserve(1);
  reformer::SlotCall call{batch, rows, queries, keys, most, aligned, causal, number(1, 4),
                          of_keys ? nullptr : query.data(), key.data(), masked ? query_mask.data() : nullptr,
                          masked ? key_mask.data() : nullptr, slots.data()};
  if (reformer_bucket_slots(&call)) return false;
  auto real = [&](const std::vector<uint8_t>& mask, int64_t at) { return !masked || mask[at]; };
  for (int64_t row = 0; row < batch * rows; ++row) {
    for (int64_t i = 0; i < size; ++i) {
      const int64_t bucket = of_keys ? key[row * keys + i] : query[row * queries + i];
      int64_t before = 0;
      for (int64_t j = 0; j < (of_keys ? i : aligned ? i + 1 : keys); ++j) {
        before += real(key_mask, row / rows * keys + j) && key[row * keys + j] == bucket;
      }
      const bool absent = of_keys ? !real(key_mask, row / rows * keys + i)
                                  : !real(query_mask, row / rows * queries + i) || (aligned && causal && !before);
      const int64_t rank = of_keys ? before : aligned ? std::max<int64_t>(before - 1, 0) : before / 2;
      if (slots[row * size + i] != (absent ? -1 : (bucket << 40) + rank)) return false;
    }
  }
  if (key.empty() || masked) return true;
  key[number(0, static_cast<int64_t>(key.size()) - 1)] =
      one_of<int64_t>({-1, most, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()});
  return size == 0 || reformer_bucket_slots(&call) == reformer::kOutOfRange;
}

// Unit vectors and their gradient, in as much memory as they need; odd tokens change no others.
template <class T>
bool check_unit_vectors(reformer::Dtype dtype, double bound) {
  const int64_t rows = number(1, 3), length = number(0, 1500), dim = number(1, 70), gap = number(0, 2);
  const std::vector<double> given = normal(rows * length * dim), slopes = normal(rows * length * dim);
  const std::vector<char> odd = some_odd(rows * length), none(rows * length);
  auto both = [&](const std::vector<char>& which) {
    const std::vector<T> as_stored = stored<T>(given, dim, which);
    std::vector<double> read;
    for (const T& x : as_stored) read.push_back(reformer::widen(x));
    Laid<T> vectors(read, rows, length, dim, gap), grads(slopes, rows, length, dim, gap);
    Laid<T> units(rows, length, dim, gap), found(rows, length, dim, gap);
    auto laid = [&](Laid<T>& from) {
      const reformer::Array array = from.array(rows);
      return reformer::Vectors{array.data, array.batch, array.head, array.token};
    };
    reformer::UnitCall call{1, rows, length, dim, dtype, number(1, 4), 1e-12, laid(vectors), laid(units), {}};
    bool done = !reformer_unit_vectors(&call);
    call.units = laid(grads);
    call.grad_vectors = laid(found);
    // Without memory of its own the gradient would be taken for absent.
    done = done && (!length || !reformer_unit_vectors(&call));
    return std::make_tuple(done, vectors.values(), grads.values(), units.values(), found.values());
  };
  const auto [done, vector, slope, clean_units, clean_grads] = both(none);
  const auto [odd_done, odd_vector, odd_slope, odd_units, odd_grads] = both(odd);
  if (!done || !odd_done) return false;
  std::vector<double> unit(vector.size()), grad(vector.size());
  for (int64_t i = 0; i < rows * length; ++i) {
    const double size = length_of(&vector[i * dim], dim);
    double along = 0;
    for (int64_t d = 0; d < dim; ++d) unit[i * dim + d] = vector[i * dim + d] / size;
    for (int64_t d = 0; d < dim; ++d) along += unit[i * dim + d] * slope[i * dim + d];
    for (int64_t d = 0; d < dim; ++d) grad[i * dim + d] = (slope[i * dim + d] - along * unit[i * dim + d]) / size;
    for (int64_t d = 0; !odd[i] && d < dim; ++d) {
      if (odd_units[i * dim + d] != clean_units[i * dim + d] || odd_grads[i * dim + d] != clean_grads[i * dim + d]) {
        return false;
      }
    }
  }
  // Of few numbers a vector may be so short that little is left of its gradient's digits.
  return difference(clean_units, unit) < bound && (dim < 3 || difference(clean_grads, grad) < 100 * bound);
}

bool check_hashing() {
  return check_buckets<float>(reformer::kFloat32) && check_buckets<double>(reformer::kFloat64) &&
         check_buckets<reformer::BFloat16>(reformer::kBFloat16) && check_slots() &&
         check_unit_vectors<float>(reformer::kFloat32, 1e-5) && check_unit_vectors<double>(reformer::kFloat64, 1e-13) &&
         check_unit_vectors<reformer::BFloat16>(reformer::kBFloat16, 1e-2);
}

}  // namespace

int main(int count, char** arguments) {
#if defined(__AMX_BF16__)
  if (!reformer_processor_runs(4)) {
    std::printf("compiled for tile registers, which the system does not allow\n");
    return 1;
  }
#endif
  const int64_t rounds = count > 1 ? std::atoll(arguments[1]) : 100;
  for (int64_t i = 0; i < rounds; ++i) {
    generator.seed(static_cast<uint32_t>(i));
    const Problem problem = draw();
    const Problem odd = with_odd_numbers(problem);
    const std::vector<char> touched = touched_queries(odd);
    const bool fine = check_odd<double>(problem, odd, touched, reformer::kFloat64) &&
                      check_odd<float>(problem, odd, touched, reformer::kFloat32) &&
                      check_odd<reformer::BFloat16>(problem, odd, touched, reformer::kBFloat16) &&
                      check<double>(problem, reformer::kFloat64, 1e-11) &&
                      check<float>(problem, reformer::kFloat32, 2e-5) &&
                      check<reformer::BFloat16>(problem, reformer::kBFloat16, 8e-2) && check_hashing();
    if (!fine) {
      std::printf("problem %ld failed\n", i);
      return 1;
    }
  }
  std::printf("%ld problems\n", rounds);
  return 0;
}
