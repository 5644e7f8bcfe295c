// What a score passes through before the softmax: a learned function of each head (docs/math.md, 9).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "../native/vector.h"

namespace reformer {

enum Transform : int64_t { kNoTransform = 0, kPolynomial = 1, kSinh = 2 };

// More coefficients than this a head are refused.
constexpr int64_t kMostCoefficients = 16;

// The transform of one head, applied to blocks of scores in place, and its derivatives. Never inlined, so that the loops
// around it stay small.
template <class T>
class ScoreTransform {
 public:
  void start(int64_t kind, const double* coefficients, int64_t count) {
    kind_ = kind;
    count_ = kind == kNoTransform ? 0 : count;
    for (int64_t m = 0; m < count_; ++m) coefficients_[m] = static_cast<T>(coefficients[m]);
    if (kind == kSinh) inverse_ = coefficients_[0] == 0 ? 0 : 1 / coefficients_[0];
    std::fill_n(sums_, kMostCoefficients, 0.0);
  }

  explicit operator bool() const { return kind_ != kNoTransform; }

  // Scores, times `scale`, of the vectors [from, to) of a block of rows; what they were before goes to `raw` if that is
  // not null.
  __attribute__((noinline)) void apply(T* scores, int from, int to, T scale, T* raw) const {
    for_each(from, to, [&](int64_t at) {
      const Vector<T> s = load(scores + at) * scale;
      if (raw) store(raw + at, s);
      store(scores + at, kind_ == kPolynomial ? polynomial(s) : sinh(s));
    });
  }

  // Makes gradients of transformed scores those of the scores before, and adds up the coefficients' own. Only what is
  // not zero counts: where nothing is seen, scores may be anything.
  __attribute__((noinline)) void pull_back(const T* raw, T* grads, int from, int to) {
    Vector<T> sums[kMostCoefficients] = {};
    for_each(from, to, [&](int64_t at) {
      const Vector<T> g = load(grads + at), zero{};
      const Vector<T> s = g == zero ? zero : load(raw + at);
      store(grads + at, kind_ == kPolynomial ? polynomial_back(s, g, sums) : sinh_back(s, g, sums));
    });
    for (int64_t m = 0; m < count_; ++m) sums_[m] += sum_of<T>(sums[m]);
  }

  // Adds the gradients of the coefficients, and begins again.
  void take(double* into) {
    for (int64_t m = 0; m < count_; ++m) into[m] += sums_[m];
    std::fill_n(sums_, kMostCoefficients, 0.0);
  }

 private:
  // Further out the function is constant: e^40 is still far from the largest number, and its square too.
  static constexpr T kHeld = 40;

  template <class Work>
  static void for_each(int from, int to, const Work& work) {
    for (int row = 0; row < kBlockRows; ++row) {
      for (int v = from; v < to; ++v) work(int64_t{row} * kTile + v * kLanes<T>);
    }
  }

  // s + c_1 s + c_2 s^2 + ...
  Vector<T> polynomial(Vector<T> s) const {
    Vector<T> sum = broadcast(coefficients_[count_ - 1]);
    for (int64_t m = count_ - 2; m >= 0; --m) sum = sum * s + coefficients_[m];
    return s + s * sum;
  }

  Vector<T> polynomial_back(Vector<T> s, Vector<T> g, Vector<T>* sums) const {
    Vector<T> slope = broadcast(static_cast<T>(1)), power = broadcast(static_cast<T>(1));
    for (int64_t m = 0; m < count_; ++m) {
      slope += power * (coefficients_[m] * static_cast<T>(m + 1));
      power *= s;
      sums[m] += g * power;
    }
    return g * slope;
  }

  // Below 1 the series, which loses no digit where kappa is nearly or exactly zero.
  Vector<T> sinh(Vector<T> s) const {
    const Vector<T> x = held(s * coefficients_[0]), squared = x * x, one = broadcast(static_cast<T>(1));
    const Vector<T> up = exponential<T>(x), far = (up - exponential<T>(-x)) * (inverse_ * static_cast<T>(0.5));
    return squared < one ? s * series<false>(squared) : far;
  }

  Vector<T> sinh_back(Vector<T> s, Vector<T> g, Vector<T>* sums) const {
    const Vector<T> unheld = s * coefficients_[0], x = held(unheld), squared = x * x;
    const Vector<T> one = broadcast(static_cast<T>(1)), zero{};
    const Vector<T> up = exponential<T>(x), down = exponential<T>(-x);
    const Vector<T> inside = x == unheld ? g : zero;
    const Vector<T> cosh = (up + down) * static_cast<T>(0.5);
    // By kappa: s^2 (cosh x - sinh x / x) / x, x being kappa s.
    const Vector<T> safe = squared < one ? one : x;
    const Vector<T> far = (cosh - (up - down) * static_cast<T>(0.5) / safe) / safe;
    const Vector<T> near = x * series<true>(squared);
    sums[0] += inside * s * s * (squared < one ? near : far);
    return inside * cosh;
  }

  static Vector<T> held(Vector<T> x) {
    const Vector<T> most = broadcast(kHeld);
    return x > most ? most : (x < -most ? -most : x);
  }

  static constexpr int kTerms = sizeof(T) == 8 ? 10 : 6;

  struct Terms {
    T of[kTerms];
  };

  // 1 / (2 n + 1)!, those of sinh x / x in powers of x^2; for the slope divided by 2 n + 3.
  static constexpr Terms terms(bool slope) {
    Terms result{};
    double term = 1;
    for (int n = 0; n < kTerms; ++n) {
      if (n > 0) term /= 2 * n * (2 * n + 1);
      result.of[n] = static_cast<T>(slope ? term / (2 * n + 3) : term);
    }
    return result;
  }

  template <bool kSlope>
  static Vector<T> series(Vector<T> squared) {
    constexpr Terms kOf = terms(kSlope);
    Vector<T> sum = broadcast(kOf.of[kTerms - 1]);
    for (int n = kTerms - 2; n >= 0; --n) sum = sum * squared + kOf.of[n];
    return sum;
  }

  int64_t kind_ = kNoTransform, count_ = 0;
  T coefficients_[kMostCoefficients] = {}, inverse_ = 0;
  double sums_[kMostCoefficients] = {};
};

}  // namespace reformer
