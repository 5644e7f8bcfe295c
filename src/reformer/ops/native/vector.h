// Vectors of the widest registers this file is compiled for: products of small tiles, transposes, exponentials.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace reformer {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// Thirty-two registers hold larger blocks of a product than sixteen.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr bool kManyRegisters = true;
#else
constexpr bool kManyRegisters = false;
#endif

// How many vectors wide a block of a product is at most, and how many rows it has.
constexpr int kBlockVectors = kManyRegisters ? 4 : 3;
constexpr int block_rows(int vectors) { return !kManyRegisters ? 4 : vectors == 4 ? 6 : 8; }

// Tokens of a tile lie along the lanes of vectors, so that a maximum or a sum for each token needs no shuffles; keys or
// directions lie along rows, in blocks.
constexpr int kTile = 48;
constexpr int kBlockRows = block_rows(3);
static_assert(kTile % 6 == 0 && kTile % 8 == 0 && kTile % 16 == 0);

inline int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

struct BFloat16 {
  uint16_t bits;
};
static_assert(sizeof(BFloat16) == 2);

// Two bfloat16 numbers that are multiplied and added in one step.
struct Pair {
  uint32_t bits;
};

inline float widen(BFloat16 x) {
  uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}
inline float widen(float x) { return x; }
inline double widen(double x) { return x; }

inline void narrow(float x, float& y) { y = x; }
inline void narrow(double x, double& y) { y = x; }
inline void narrow(float x, BFloat16& y) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  // To the nearest, ties to even; NaN stays NaN, whose last bits alone could round to infinity.
  y.bits = x != x ? 0x7fc0 : static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <class T>
using Int = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
template <class T>
using Unsigned = std::make_unsigned_t<Int<T>>;

// The bits of the exponent, which are all ones in infinity and NaN.
template <class T>
constexpr Unsigned<T> kExponent = sizeof(T) == 8 ? Unsigned<T>(0x7ff0000000000000u) : Unsigned<T>(0x7f800000u);

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef T unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};
template <>
struct VectorOf<Pair> : VectorOf<uint32_t> {};
template <>
struct VectorOf<BFloat16> : VectorOf<uint16_t> {};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
inline Vector<T> load(const T* from) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(from);
}
template <class T>
inline void store(T* to, Vector<T> x) {
  *reinterpret_cast<typename VectorOf<T>::unaligned*>(to) = x;
}
template <class T>
inline Vector<T> broadcast(T x) {
  return x - Vector<T>{};
}
template <class To, class From>
inline To bit_cast(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To result;
  std::memcpy(&result, &x, sizeof(x));
  return result;
}

typedef uint16_t HalfVector __attribute__((vector_size(kVectorBytes / 2)));
typedef uint16_t HalfMemory __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));

// A vector of numbers, converted to the dtype of the computation.
template <class T, class In>
inline Vector<T> widened(const In* from) {
  if constexpr (std::is_same_v<In, T>) {
    return load(from);
  } else {
#if defined(__ARM_NEON)
    // From a vector of the compiler's own, GCC loads number by number.
    return bit_cast<Vector<T>>(vmovl_u16(vld1_u16(reinterpret_cast<const uint16_t*>(from))) << 16);
#else
    const HalfVector bits = *reinterpret_cast<const HalfMemory*>(from);
    return bit_cast<Vector<T>>(__builtin_convertvector(bits, Vector<uint32_t>) << 16);
#endif
  }
}

// To the nearest, as `narrow`.
inline HalfVector narrowed(Vector<float> x) {
#if defined(__AVX512BF16__)
  return (HalfVector)_mm512_cvtneps_pbh((__m512)x);
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  return (HalfVector)vcvt_bf16_f32((float32x4_t)x);
#else
  const auto bits = bit_cast<Vector<uint32_t>>(x);
  const auto rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return __builtin_convertvector(x != x ? broadcast(uint32_t{0x7fc0}) : rounded, HalfVector);
#endif
}

template <class T>
inline void store_narrowed(T* to, Vector<T> x) {
  store(to, x);
}
inline void store_narrowed(BFloat16* to, Vector<float> x) { *reinterpret_cast<HalfMemory*>(to) = narrowed(x); }

// The same past the caches, for numbers that are not read soon. `to` is aligned to the size of the stored vector.
template <class T>
inline void stream_narrowed(T* to, Vector<T> x) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)x);
#elif defined(__AVX2__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)x);
#else
  store(to, x);
#endif
}
inline void stream_narrowed(BFloat16* to, Vector<float> x) {
#if defined(__AVX512F__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)narrowed(x));
#elif defined(__AVX2__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), (__m128i)narrowed(x));
#else
  store_narrowed(to, x);
#endif
}
// Until it is called, other threads may not see what was streamed.
inline void end_stream() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

inline Vector<float> multiply_add(Vector<float> sum, float a, Vector<float> b) { return sum + a * b; }
inline Vector<double> multiply_add(Vector<double> sum, double a, Vector<double> b) { return sum + a * b; }
#if defined(__AVX512BF16__)
constexpr bool kNativePairs = true;
inline Vector<float> multiply_add(Vector<float> sum, Pair a, Vector<uint32_t> b) {
  return (Vector<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(static_cast<int>(a.bits)),
                                         (__m512bh)b);
}
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
constexpr bool kNativePairs = true;
inline Vector<float> multiply_add(Vector<float> sum, Pair a, Vector<uint32_t> b) {
  return (Vector<float>)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)vdupq_n_u32(a.bits), (bfloat16x8_t)b);
}
#else
constexpr bool kNativePairs = false;
#endif

// c[rows x vectors] = (c or 0) + a b over `count` steps; a is [rows, count] if `kByRow`, else [count, rows].
// One element of c is always one chain of additions in the order of the steps, whatever the block it lies in.
template <class A, class C, int kRows, int kVectors, bool kByRow>
inline void product_block(const A* a, int64_t lda, const A* b, int64_t ldb, C* c, int64_t ldc, int64_t count,
                          bool add) {
  constexpr int lanes = kLanes<C>;
  Vector<C> sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = add ? load(c + r * ldc + v * lanes) : Vector<C>{};
  }
  for (int64_t k = 0; k < count; ++k) {
    Vector<A> row[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) row[v] = load(b + k * ldb + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const A x = kByRow ? a[r * lda + k] : a[k * lda + r];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = multiply_add(sum[r][v], x, row[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(c + r * ldc + v * lanes, sum[r][v]);
  }
}

// One block of `block_rows(vectors)` rows.
template <bool kByRow, class A, class C>
inline void product(int vectors, const A* a, int64_t lda, const A* b, int64_t ldb, C* c, int64_t ldc, int64_t count,
                    bool add) {
  switch (vectors) {
    case 1: return product_block<A, C, block_rows(1), 1, kByRow>(a, lda, b, ldb, c, ldc, count, add);
    case 2: return product_block<A, C, block_rows(2), 2, kByRow>(a, lda, b, ldb, c, ldc, count, add);
    case 3: return product_block<A, C, block_rows(3), 3, kByRow>(a, lda, b, ldb, c, ldc, count, add);
    default:
      if constexpr (kBlockVectors == 4) {
        return product_block<A, C, block_rows(4), 4, kByRow>(a, lda, b, ldb, c, ldc, count, add);
      }
  }
}

template <bool kHigh, class V, int... i>
inline V zip(V a, V b, std::integer_sequence<int, i...>) {
  constexpr int n = sizeof...(i);
#if defined(__clang__)
  return __builtin_shufflevector(a, b, ((i % 2) * n + i / 2 + (kHigh ? n / 2 : 0))...);
#else
  using Index = decltype(a < b);
  return __builtin_shuffle(a, b, Index{((i % 2) * n + i / 2 + (kHigh ? n / 2 : 0))...});
#endif
}

// out[d, q] = in[q, d] for `rows` and `columns` that are whole vectors.
template <class T>
inline void transpose(const T* in, int64_t ld_in, int64_t rows, int64_t columns, T* out, int64_t ld_out) {
  constexpr int n = kLanes<T>;
  constexpr auto sequence = std::make_integer_sequence<int, n>{};
  for (int64_t q = 0; q < rows; q += n) {
    for (int64_t d = 0; d < columns; d += n) {
      Vector<T> x[n], y[n];
#pragma GCC unroll 16
      for (int i = 0; i < n; ++i) x[i] = load(in + (q + i) * ld_in + d);
      // A perfect shuffle of the rows, once for every bit of a row's number, swaps rows with columns.
#pragma GCC unroll 4
      for (int step = 1; step < n; step *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < n / 2; ++i) {
          y[2 * i] = zip<false>(x[i], x[i + n / 2], sequence);
          y[2 * i + 1] = zip<true>(x[i], x[i + n / 2], sequence);
        }
#pragma GCC unroll 16
        for (int i = 0; i < n; ++i) x[i] = y[i];
      }
#pragma GCC unroll 16
      for (int i = 0; i < n; ++i) store(out + (d + i) * ld_out + q, x[i]);
    }
  }
}

// The sum of all lanes, halves added to halves.
template <class V, int... i>
inline V halves_added(V x, int half, std::integer_sequence<int, i...>) {
#if defined(__clang__)
  V y;
  for (int j = 0; j < static_cast<int>(sizeof...(i)); ++j) y[j] = x[j ^ half];
#else
  using Index = decltype(x < x);
  V y = __builtin_shuffle(x, Index{i...} ^ half);
#endif
  return x + y;
}
template <class T>
inline T sum_of(Vector<T> x) {
  constexpr auto sequence = std::make_integer_sequence<int, kLanes<T>>{};
#pragma GCC unroll 4
  for (int half = kLanes<T> / 2; half > 0; half /= 2) x = halves_added(x, half, sequence);
  return x[0];
}

template <class T>
struct Exponential;

template <>
struct Exponential<float> {
  static constexpr float lowest = -87.3f;  // Below it the result is subnormal.
  static constexpr float shift = 12582912.0f;
  static constexpr int bits = 23, bias = 127;
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  // Fitted to (e^x - 1 - x) / x^2 on |x| <= ln(2) / 2, highest power first.
  static constexpr float terms[] = {1.381453789e-03f, 8.368745320e-03f, 4.166839083e-02f, 1.666652040e-01f, 4.999999343e-01f};
};

template <>
struct Exponential<double> {
  static constexpr double lowest = -708.0;
  static constexpr double shift = 6755399441055744.0;
  static constexpr int bits = 52, bias = 1023;
  static constexpr double ln2_high = 0.693147180369123816490, ln2_low = 1.90821492927058770002e-10;
  static constexpr double terms[] = {1.0 / 87178291200, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800,
                                     1.0 / 3628800,     1.0 / 362880,     1.0 / 40320,     1.0 / 5040,
                                     1.0 / 720,         1.0 / 120,        1.0 / 24,        1.0 / 6,
                                     0.5};
};

// e^x for x not much above 0; exactly 0 where it would be below the smallest normal number. NaN stays NaN.
template <class T>
inline Vector<T> exponential(Vector<T> x) {
  using E = Exponential<T>;
  Vector<T> kept = x < E::lowest ? broadcast(E::lowest) : x;
  Vector<T> shifted = kept * static_cast<T>(1.4426950408889634) + E::shift;
  Vector<T> n = shifted - E::shift;
  Vector<T> rest = kept - n * E::ln2_high;
  rest = rest - n * E::ln2_low;
  Vector<T> y = broadcast(E::terms[0]);
#pragma GCC unroll 16
  for (size_t i = 1; i < sizeof(E::terms) / sizeof(T); ++i) y = y * rest + E::terms[i];
  y = y * (rest * rest) + (rest + static_cast<T>(1));
  auto power = (bit_cast<Vector<Unsigned<T>>>(shifted) + static_cast<Unsigned<T>>(E::bias)) << E::bits;
  y = y * bit_cast<Vector<T>>(power);
  return x < E::lowest ? Vector<T>{} : y;
}

}  // namespace reformer
