// Score transforms: a learned function of each head, applied to scores before the softmax (docs/math.md, 9).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "../native/vector.h"

namespace reformer {

enum Transform : int64_t { kNoTransform = 0, kPolynomial = 1, kSinh = 2 };

// Coefficients of a head, at most; `MOST_COEFFICIENTS` in transforms.py.
constexpr int64_t kMostCoefficients = 16;

// The transform of one head, applied to blocks of scores in place, and its derivatives. Inlined, it would slow the loops
// around it even where nothing is transformed.
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

  // Transforms the scores, times `scale`, of the vectors [from, to) of a block of rows; the untransformed scores go to
  // `raw` if that is not null.
  __attribute__((noinline)) void apply(T* scores, int from, int to, T scale, T* raw) const {
    for_each(from, to, [&](int64_t at) {
      const Vector<T> s = load(scores + at) * scale;
      if (raw) store(raw + at, s);
      store(scores + at, kind_ == kPolynomial ? polynomial(s) : sinh(s));
    });
  }

  // Turns gradients of transformed scores into those of the scores, in place, and adds to the coefficients' gradients.
  // The score of a masked pair may be NaN; its gradient is zero, and the score then counts as zero.
  __attribute__((noinline)) void pull_back(const T* raw, T* grads, int from, int to) {
    Vector<T> sums[kMostCoefficients] = {};
    for_each(from, to, [&](int64_t at) {
      const Vector<T> g = load(grads + at), zero{};
      const Vector<T> s = g == zero ? zero : load(raw + at);
      store(grads + at, kind_ == kPolynomial ? polynomial_back(s, g, sums) : sinh_back(s, g, sums));
    });
    for (int64_t m = 0; m < count_; ++m) sums_[m] += sum_of<T>(sums[m]);
  }

  // Adds the gradients of the coefficients to `into`, and sets them to zero here.
  void take(double* into) {
    for (int64_t m = 0; m < count_; ++m) into[m] += sums_[m];
    std::fill_n(sums_, kMostCoefficients, 0.0);
  }

 private:
  // Bound of the argument of sinh, `SINH_CLAMP` in transforms.py: e^40 and its square are finite in float32.
  static constexpr T kSinhClamp = 40;

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

  // Below 1, sinh(x) / kappa loses digits to cancellation, and at a kappa of zero it is 0 / 0; the series is exact.
  Vector<T> sinh(Vector<T> s) const {
    const Vector<T> x = clamped(s * coefficients_[0]), squared = x * x, one = broadcast(static_cast<T>(1));
    const Vector<T> up = exponential<T>(x), far = (up - exponential<T>(-x)) * (inverse_ * static_cast<T>(0.5));
    return squared < one ? s * series<false>(squared) : far;
  }

  Vector<T> sinh_back(Vector<T> s, Vector<T> g, Vector<T>* sums) const {
    const Vector<T> unclamped = s * coefficients_[0], x = clamped(unclamped), squared = x * x;
    const Vector<T> one = broadcast(static_cast<T>(1)), zero{};
    const Vector<T> up = exponential<T>(x), down = exponential<T>(-x);
    const Vector<T> inside = x == unclamped ? g : zero;
    const Vector<T> cosh = (up + down) * static_cast<T>(0.5);
    // By kappa: s^2 (cosh x - sinh x / x) / x, x being kappa s.
    const Vector<T> safe = squared < one ? one : x;
    const Vector<T> far = (cosh - (up - down) * static_cast<T>(0.5) / safe) / safe;
    const Vector<T> near = x * series<true>(squared);
    sums[0] += inside * s * s * (squared < one ? near : far);
    return inside * cosh;
  }

  static Vector<T> clamped(Vector<T> x) {
    const Vector<T> most = broadcast(kSinhClamp);
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
