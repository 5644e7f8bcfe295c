// Window attention, forward and backward, in one fused pass over the tiles of every ordering (docs/math.md, 5 to 13).
//
// The forward pass keeps one running maximum and sum a query, and merges each ordering into the output, in token order.
// The backward pass recomputes the weights from the merged log-sum-exp.

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#if defined(__AMX_BF16__)
#include "../native/amx.h"
#endif
#include "../native/interface.h"
#include "../native/memory.h"
#include "../native/threads.h"
#include "../native/vector.h"
#include "ordering.h"
#include "tiles.h"
#include "transforms.h"

namespace reformer {
namespace {

// Mirrored by `AttentionCall` in native/__init__.py. Steps are in elements; the last dimension is always contiguous.
struct Array {
  void* data;
  int64_t batch, head, token;
};

struct SlotArray {
  const int64_t* data;
  int64_t batch, head, ordering, token;
};

struct Call {
  int64_t batch, heads, queries, keys, dim, orderings;
  const int64_t* windows;
  int64_t causal, attend_self, deduplicate, shared, dtype, threads;
  double scale;
  // Not 0: keys are the queries divided by their length, or by this if they are shorter. `key` then is `query`, and
  // `grad_query` gets the sum of both gradients.
  double shortest;
  Array query, key, value, output;
  Array grad_output, grad_query, grad_key, grad_value;
  SlotArray query_slots, key_slots;
  void* log_sum;
  // A `Transform` of the scores, its coefficients `[heads, coefficients]` and their gradients, one more for each item of
  // the batch.
  int64_t transform, coefficients;
  const double* coefficient;
  double* grad_coefficient;
};

// Keys of a chunk, at most. A longer range is split, and then the rounding of a row may depend on its tile.
constexpr int64_t kForwardKeys = 480;
constexpr int64_t kBackwardKeys = 144;
// Results of this many bytes are written past the caches: rows are scattered over them, and a cache would first read and
// later evict every line, which is twice the traffic.
constexpr int64_t kStreamed = 2 << 20;
// Rows that are prefetched at a time: with fewer, some are still missing when their tile begins.
constexpr int kFetchedAtOnce = 5;
static_assert(kForwardKeys % 48 == 0 && kBackwardKeys % 48 == 0);

#if defined(__AMX_BF16__)
constexpr bool kNativeTiles = true;
#else
constexpr bool kNativeTiles = false;
struct TileRegisters {};
constexpr int kTileRows = kBlockRows, kTilePairs = 1;
[[maybe_unused]] inline void tile_product(...) {}
#endif
// Rows past the last key that a product may read.
constexpr int kPast = kNativeTiles ? 2 * kTilePairs : kSlack;

template <class In>
using Compute = std::conditional_t<std::is_same_v<In, double>, double, float>;

template <class T>
constexpr T kLowest = std::numeric_limits<T>::lowest();

// Rows of one (batch, head) of an array.
template <class In>
struct Rows {
  In* data = nullptr;
  int64_t step = 0;
  In* operator[](int64_t token) const { return data + token * step; }
};

template <class In>
Rows<In> rows_of(const Array& array, int64_t batch, int64_t head) {
  return {static_cast<In*>(array.data) + batch * array.batch + head * array.head, array.token};
}

// The sum of the results of several orderings: in the tensor itself, or in `sum` if its dtype has too few digits.
template <class In>
struct Merged {
  using T = Compute<In>;
  Rows<In> out;
  Rows<T> sum;
  bool streamed = false;  // Written in whole vectors, seldom read again, and too large to stay in a cache.

  void put(int64_t token, const T* from, int64_t dim, T scale, bool add) const {
    if (sum.data) {
      put_row(sum[token], from, dim, scale, add, streamed && !add);
    } else {
      put_row(out[token], from, dim, scale, add, streamed && !add);
    }
  }

  const void* row(int64_t token) const {
    return sum.data ? static_cast<const void*>(sum[token]) : static_cast<const void*>(out[token]);
  }

  void clear(int64_t token, int64_t dim) const {
    if (sum.data) {
      std::fill_n(sum[token], dim, T{0});
    } else {
      std::fill_n(out[token], dim, In{});
    }
  }

  void finish(int64_t begin, int64_t end, int64_t dim) const {
    if constexpr (!std::is_same_v<In, T>) {
      if (!sum.data) return;
      for (int64_t i = begin; i < end; ++i) put_row(out[i], sum[i], dim, 1, false, false);
    }
  }

 private:
  template <class To>
  static void put_row(To* to, const T* from, int64_t dim, T scale, bool add, bool past_caches) {
    int64_t d = 0;
    for (; d + kLanes<T> <= dim; d += kLanes<T>) {
      Vector<T> x = load(from + d) * scale;
      if (add) x += widened<T>(to + d);
      if (past_caches) {
        stream_narrowed(to + d, x);
      } else {
        store_narrowed(to + d, x);
      }
    }
    for (; d < dim; ++d) narrow(add ? widen(to[d]) + from[d] * scale : from[d] * scale, to[d]);
  }
};

// `single`: there is one ordering, so that nearly all rows are written once.
template <class In>
Merged<In> merged(Rows<In> out, Buffer<Compute<In>>& space, int64_t count, int64_t dim, bool single) {
  const int64_t row = out.step * int64_t{sizeof(In)}, vector = kLanes<Compute<In>> * int64_t{sizeof(In)};
  const bool aligned = (reinterpret_cast<uintptr_t>(out.data) | row) % kAlignment == 0 && dim * int64_t{sizeof(In)} % vector == 0;
  const bool streamed = single && aligned && count * row >= kStreamed;
  if constexpr (std::is_same_v<In, Compute<In>>) {
    return {out, out, streamed};
  } else {
    if (single) return {out, {}, streamed};
    return {out, {space.reserve(count * dim), dim}, false};
  }
}

template <class T>
void start_transform(const Call& call, int64_t head, ScoreTransform<T>& transform) {
  transform.start(call.transform, call.coefficient + head * call.coefficients, call.coefficients);
}

// Working memory of one (batch, head).
template <class In>
struct Sequence {
  using T = Compute<In>;
  int64_t batch, head;
  std::vector<Ordering> orderings;
  Buffer<int32_t> self_key;  // Of each query: the key that is the query itself, -1 for none.
  Buffer<T> largest, total;
  Buffer<T> space[3];

  void start(const Call& call, int64_t number) {
    batch = number / call.heads;
    head = number % call.heads;
    if (orderings.empty()) orderings = std::vector<Ordering>(call.orderings);
    if (!call.attend_self) std::fill_n(self_key.reserve(call.queries), call.queries, -1);
  }

  SlotRow slots(const SlotArray& array, int64_t ordering, int64_t size) const {
    return {array.data + batch * array.batch + head * array.head + ordering * array.ordering, array.token, size};
  }

  void order(const Call& call, int64_t r) {
    const bool apart = !call.attend_self && !call.shared, by_token = call.deduplicate && r + 1 < call.orderings;
    // Every ordering masks the key that is a query itself, and only all of them tell which it is.
    if (apart && r == 0) {
      for (int64_t each = 0; each < call.orderings; ++each) {
        sort(call, each);
        orderings[each].find_self_keys(self_key.data());
      }
    }
    if (!apart) sort(call, r);
    orderings[r].see(call.queries, call.keys, call.windows[r], call.causal, call.attend_self, by_token,
                     self_key.data());
  }

 private:
  void sort(const Call& call, int64_t r) {
    orderings[r].sort(slots(call.query_slots, r, call.queries), slots(call.key_slots, r, call.keys), call.shared);
  }
};

// Keys and values of a range of places, gathered once and kept while tiles need them; with their gradients, which are
// written when no later tile can add to them.
template <class In, bool kPairs, bool kGradients>
class Band {
 public:
  using T = Compute<In>;
  using Unit = std::conditional_t<kPairs, Pair, T>;
  using Raw = std::conditional_t<kPairs, uint32_t, T>;

  int64_t key_step = 0, value_step = 0;

  void start(Rows<In> keys, Rows<In> values, const Ordering& ordering, int64_t dim, int64_t begin, double shortest) {
    shortest_ = static_cast<T>(shortest);
    keys_ = keys;
    values_ = values;
    tokens_ = ordering.keys.tokens();
    all_ = ordering.keys.count;
    dim_ = dim;
    hidden_.clear();
    value_step = round_up(dim, kLanes<T>);
    key_step = kPairs ? round_up((dim + 1) / 2, kLanes<T>) : value_step;
    base_ = end_ = even(begin);
    released_ = begin;
  }

  // Destinations of gradients: the tensors for rows below `limit`, and `spill` for the others, which belong to a later
  // job. The gradient of a key of unit length becomes that of its query, plus `scale` times the gradient as a query.
  void gradients(const Merged<In>* key, const Merged<In>* value, bool add, int64_t limit, T scale, Buffer<T>* spill) {
    grad_key_ = key;
    grad_value_ = value;
    add_ = add;
    scale_ = scale;
    limit_ = limit;
    spill_ = spill;
    spilled = 0;
  }
  int64_t spilled = 0;

  // Gathers keys up to `to`. Keys below `keep` are not needed any more; nor, if `from` leaves a gap, are those before it.
  void need(int64_t keep, int64_t from, int64_t to) {
    if (from > end_) {
      release(from);
      base_ = end_ = from;
      hidden_.clear();
    }
    if (to - base_ + kPast > capacity_) {
      if (keep > base_) {
        release(keep);
        slide(keep);
      }
      if (to - base_ + 4 * kTile > capacity_) grow(2 * (to - base_ + 4 * kTile));
    }
    const int64_t begin = end_;
    for (; end_ < to; ++end_) load_row(end_);
    if (!are_finite(begin, end_)) hide(begin, end_);
  }

  // The same, with no gap after `keep`.
  void need_all(int64_t keep, int64_t to) { need(keep, std::max(keep, end_), to); }

  const Unit* key(int64_t p) const { return reinterpret_cast<const Unit*>(k_.data() + (p - base_) * key_step); }
  const Unit* value(int64_t p) const {
    return reinterpret_cast<const Unit*>(v_.data() + (kPairs ? (p - base_) / 2 : p - base_) * value_step);
  }
  T* grad_key(int64_t p) { return dk_.data() + (p - base_) * value_step; }
  T* grad_value(int64_t p) { return dv_.data() + (p - base_) * value_step; }
  T* grad_query(int64_t p) { return dq_.data() + (p - base_) * value_step; }  // Where queries are keys of unit length.

  // The places in [from, to), ascending, whose values are infinite or NaN somewhere. These numbers are zero here: a
  // weight of zero would not keep them from queries that do not see the key.
  std::vector<int64_t> hidden(int64_t from, int64_t to) const {
    const auto begin = std::lower_bound(hidden_.begin(), hidden_.end(), from);
    return {begin, std::lower_bound(begin, hidden_.end(), to)};
  }
  bool hides(int64_t from) const { return !hidden_.empty() && hidden_.back() >= from; }
  const In* hidden_value(int64_t p) const { return values_[tokens_[p]]; }

  // Prefetches the next `count` keys, which the next tile is likely to need.
  void look_ahead(int64_t count, Ahead& ahead) const {
    const int64_t until = std::min(all_, end_ + count);
    for (int64_t p = end_; p < until; ++p) {
      if (!unit()) ahead.read(keys_[tokens_[p]]);  // Keys of unit length are read as queries.
      ahead.read(values_[tokens_[p]]);
    }
  }

  // Writes the gradients of all keys below `until`; zeros for keys that no query sees.
  void release(int64_t until) {
    if constexpr (kGradients) {
      for (; released_ < until; ++released_) {
        const bool here = released_ >= base_ && released_ < end_;
        if (released_ >= limit_) {
          spill(here);
        } else if (here) {
          if (unit()) join_gradients(released_);
          grad_key_->put(tokens_[released_], grad_key(released_), dim_, 1, add_);
          grad_value_->put(tokens_[released_], grad_value(released_), dim_, 1, add_);
        } else if (!add_) {
          grad_key_->clear(tokens_[released_], dim_);
          grad_value_->clear(tokens_[released_], dim_);
        }
      }
    }
  }

  void finish(int64_t owned) {
    release(std::max(owned, end_));
  }

 private:
  bool unit() const { return shortest_ != 0; }

  void load_row(int64_t p) {
    const int64_t row = p - base_;
    const In* key = keys_[tokens_[p]];
    const In* value = values_[tokens_[p]];
    Raw* k = k_.data() + row * key_step;
    Raw* v = v_.data() + (kPairs ? row / 2 : row) * value_step;
    const T inverse = unit() ? inverse_length(key) : 1;
    if constexpr (kPairs) {
      In* to = reinterpret_cast<In*>(k);
      if (unit()) {
        int64_t d = 0;
        for (; d + kLanes<T> <= dim_; d += kLanes<T>) store_narrowed(to + d, widened<T>(key + d) * inverse);
        for (; d < dim_; ++d) narrow(widen(key[d]) * inverse, to[d]);
      } else {
        std::memcpy(to, key, dim_ * sizeof(In));
      }
      if (row % 2 == 0) {
        for (int64_t d = 0; d < dim_; ++d) v[d] = value[d].bits;
      } else {
        for (int64_t d = 0; d < dim_; ++d) v[d] |= static_cast<uint32_t>(value[d].bits) << 16;
      }
    } else {
      if (unit()) {
        load_unit(key, inverse, k);
      } else {
        for (int64_t d = 0; d < dim_; ++d) k[d] = widen(key[d]);
      }
      for (int64_t d = 0; d < dim_; ++d) v[d] = widen(value[d]);
    }
    if constexpr (kGradients) {
      std::fill_n(grad_key(p), value_step, T{0});
      std::fill_n(grad_value(p), value_step, T{0});
      if (unit()) {
        std::fill_n(grad_query(p), value_step, T{0});
        inverse_[row] = inverse;
      }
    }
  }

  // Of the values [begin, end), which lie side by side.
  bool are_finite(int64_t begin, int64_t end) const {
    using Bits = Unsigned<Raw>;
    constexpr Bits exponents = kPairs ? Bits{0x7f807f80u} : kExponent<Raw>;
    constexpr Bits carried = kPairs ? Bits{0x80008000u} : Bits{1} << (8 * sizeof(Bits) - 1);
    const Bits* values = reinterpret_cast<const Bits*>(v_.data());
    const Bits* at = values + (kPairs ? (begin - base_) / 2 : begin - base_) * value_step;
    const Bits* last = values + (kPairs ? (end - base_ + 1) / 2 : end - base_) * value_step;
    // An exponent of ones, and no other, carries into the bit of the sign.
    Vector<Bits> found{};
    for (; at < last; at += kLanes<Bits>) found |= (load(at) & exponents) + (exponents & (~exponents << 1));
    Bits any = 0;
    for (int i = 0; i < kLanes<Bits>; ++i) any |= found[i];
    return (any & carried) == 0;
  }

  __attribute__((noinline)) void hide(int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const In* value = values_[tokens_[p]];
      bool any = false;
      for (int64_t d = 0; d < dim_; ++d) {
        if (std::isfinite(widen(value[d]))) continue;
        any = true;
        Raw& number = v_[(kPairs ? (p - base_) / 2 : p - base_) * value_step + d];
        if constexpr (kPairs) {
          number &= (p - base_) % 2 == 0 ? 0xffff0000u : 0xffffu;
        } else {
          number = 0;
        }
      }
      if (any) hidden_.push_back(p);
    }
  }

  // Unrounded, these keys would differ from the same keys passed as an argument.
  void load_unit(const In* key, T inverse, T* to) const {
    if constexpr (std::is_same_v<In, T>) {
      for (int64_t d = 0; d < dim_; ++d) to[d] = key[d] * inverse;
    } else {
      int64_t d = 0;
      In rounded[kLanes<T>];
      for (; d + kLanes<T> <= dim_; d += kLanes<T>) {
        store_narrowed(rounded, widened<T>(key + d) * inverse);
        store(to + d, widened<T>(rounded));
      }
      for (; d < dim_; ++d) {
        narrow(widen(key[d]) * inverse, rounded[0]);
        to[d] = widen(rounded[0]);
      }
    }
  }

  T inverse_length(const In* key) const {
    Vector<T> squares{};
    int64_t d = 0;
    for (; d + kLanes<T> <= dim_; d += kLanes<T>) {
      const Vector<T> x = widened<T>(key + d);
      squares += x * x;
    }
    T sum = sum_of<T>(squares);
    for (; d < dim_; ++d) sum += widen(key[d]) * widen(key[d]);
    const T length = std::sqrt(sum);
    return 1 / (length < shortest_ ? shortest_ : length);
  }

  // The gradient of a key of unit length becomes that of its vector, plus the vector's gradient as a query.
  void join_gradients(int64_t p) {
    const Raw* k = k_.data() + (p - base_) * key_step;
    T *dk = grad_key(p), *dq = grad_query(p);
    const T inverse = inverse_[p - base_];
    Vector<T> sums{};
    for (int64_t d = 0; d < value_step; d += kLanes<T>) sums += load(k + d) * load(dk + d);
    // A vector shorter than `shortest_` is divided by this constant, whatever its direction.
    const T along = inverse == 1 / shortest_ ? 0 : sum_of<T>(sums);
    for (int64_t d = 0; d < value_step; d += kLanes<T>) {
      store(dk + d, load(dq + d) * scale_ + (load(dk + d) - load(k + d) * along) * inverse);
    }
  }

  void spill(bool here) {
    const int64_t row = 2 * dim_ * spilled++;
    T* to = spill_->data() + row;
    if (here) {
      if (unit()) join_gradients(released_);
      std::copy_n(grad_key(released_), dim_, to);
      std::copy_n(grad_value(released_), dim_, to + dim_);
    } else {
      std::fill_n(to, 2 * dim_, T{0});
    }
  }

  void slide(int64_t to) {
    const int64_t drop = to - base_, rest = end_ - to;
    move(k_, drop * key_step, rest * key_step);
    move(v_, (kPairs ? drop / 2 : drop) * value_step, (kPairs ? (rest + 1) / 2 : rest) * value_step);
    if constexpr (kGradients) {
      move(dk_, drop * value_step, rest * value_step);
      move(dv_, drop * value_step, rest * value_step);
      if (unit()) {
        move(dq_, drop * value_step, rest * value_step);
        move(inverse_, drop, rest);
      }
    }
    base_ = to;
    hidden_.erase(hidden_.begin(), std::lower_bound(hidden_.begin(), hidden_.end(), to));
  }

  template <class X>
  static void move(Buffer<X>& rows, int64_t by, int64_t count) {
    std::memmove(rows.data(), rows.data() + by, count * sizeof(X));
  }

  void grow(int64_t capacity) {
    const int64_t rows = end_ - base_;
    widen_rows(k_, key_step, capacity, rows);
    widen_rows(v_, value_step, capacity, rows);
    if constexpr (kGradients) {
      widen_rows(dk_, value_step, capacity, rows);
      widen_rows(dv_, value_step, capacity, rows);
      widen_rows(dq_, unit() ? value_step : 0, capacity, rows);
      widen_rows(inverse_, unit() ? 1 : 0, capacity, rows);
    }
    capacity_ = capacity;
  }

  // All zeros: products read the padding of rows and blocks past the last key, where NaN would reach the results.
  template <class X>
  static void widen_rows(Buffer<X>& rows, int64_t step, int64_t capacity, int64_t used) {
    Buffer<X> larger;
    larger.reserve_zeroed((capacity + kPast) * step);
    std::copy_n(rows.data(), used * step, larger.data());
    std::swap(rows, larger);
  }

  Rows<In> keys_, values_;
  const int32_t* tokens_ = nullptr;
  int64_t all_ = 0, dim_ = 0, capacity_ = 0, base_ = 0, end_ = 0, released_ = 0, limit_ = 0;
  bool add_ = false;
  T scale_ = 1, shortest_ = 0;
  const Merged<In>*grad_key_ = nullptr, *grad_value_ = nullptr;
  Buffer<T>* spill_ = nullptr;
  std::vector<int64_t> hidden_;
  Buffer<Raw> k_, v_;
  Buffer<T> dk_, dv_, dq_, inverse_;
};

// Gathers rows of a tile, padded with zeros to whole vectors; rows past the last query are zero.
template <class In, class T>
void gather(Rows<In> from, const int32_t* tokens, int64_t count, int64_t dim, T scale, T* to, int64_t step) {
  for (int64_t i = 0; i < kTile; ++i, to += step) {
    if (i >= count) {
      std::fill_n(to, step, T{0});
      continue;
    }
    const In* row = from[tokens[i]];
    for (int64_t d = 0; d < dim; ++d) to[d] = widen(row[d]) * scale;
    std::fill_n(to + dim, step - dim, T{0});
  }
}

// Scores of one block of keys against the vectors of queries that see any of them.
template <class Unit, class T>
inline void score_block(const Unit* keys, int64_t key_step, const Unit* queries, int64_t depth, T* scores, int from,
                        int to) {
  // Three vectors at most: blocks that are as high as the rows that are masked together.
  for_blocks(from, to, 3, [&](int v, int width) {
    product<true>(width, keys, key_step, queries + v * kLanes<T>, kTile, scores + v * kLanes<T>, kTile, depth, false);
  });
}

// Zeros outside the vectors [from, to) of a block of rows.
template <class T>
inline void clear_outside(T* rows, int from, int to) {
  for (int r = 0; r < kBlockRows; ++r, rows += kTile) {
    for (int v = 0; v < from; ++v) store(rows + v * kLanes<T>, Vector<T>{});
    for (int v = to; v < kTile / kLanes<T>; ++v) store(rows + v * kLanes<T>, Vector<T>{});
  }
}

// output[query] (+)= sum over the keys of a query's range of weights[key, query] * rows[key].
template <class Unit, class T>
void sum_over_keys(const Tile<T>& tile, const Unit* weights, const Unit* rows, int64_t step, int64_t group, T* output,
                   int64_t output_step, bool add, Ahead& ahead) {
  for_blocks(0, static_cast<int>(output_step / kLanes<T>), kBlockVectors, [&](int v, int width) {
    const int height = block_rows(width);
    for (int64_t q = 0; q < tile.count; q += height) {
      const int64_t begin = (tile.first_of(q) - tile.from) / group;
      const int64_t end = (tile.end_of(q + height - 1) - tile.from + group - 1) / group;
      ahead.fetch(kFetchedAtOnce);
      if (end <= begin && add) continue;
      product<false>(width, weights + begin * kTile + q, kTile, rows + begin * step + v * kLanes<T>, step,
                     output + q * output_step + v * kLanes<T>, output_step, std::max<int64_t>(end - begin, 0), add);
    }
  });
}

template <class In>
class Forward {
 public:
  using T = Compute<In>;
  static constexpr bool kPairs = kNativePairs && std::is_same_v<In, BFloat16>;
  static constexpr bool kTiles = kPairs && kNativeTiles;
  static constexpr int kFetched = kTiles ? 9 : kFetchedAtOnce;  // There are fewer and shorter products to fetch between.
  using Unit = std::conditional_t<kPairs, Pair, T>;
  static constexpr int kVectors = kTile / kLanes<T>;

  // Adds the sorted queries [begin, end) of one ordering to the output; `begin` starts a tile.
  void run(const Call& call, Sequence<In>& sequence, const Merged<In>& output, int64_t r, int64_t begin,
           int64_t end) {
    const Ordering& ordering = sequence.orderings[r];
    const Rows<In> query = rows_of<In>(call.query, sequence.batch, sequence.head);
    if (begin >= end) return;
    step_ = round_up(call.dim, kLanes<T>);
    dim_ = call.dim;
    depth_ = kPairs ? (call.dim + 1) / 2 : call.dim;
    const int64_t depth_step = round_up(depth_, kLanes<T>);
    gathered_.reserve_zeroed(kTile * step_);
    queries_.reserve_zeroed(step_ * kTile);
    output_.reserve(kTile * step_);
    scores_.reserve((kForwardKeys + kSlack) * kTile);
    if constexpr (kPairs) weights_.reserve((kForwardKeys / 2 + kSlack) * kTile);
    if constexpr (kTiles) weights_across_.reserve((kForwardKeys / 2 + kSlack) * kTile);
    [[maybe_unused]] const std::conditional_t<kTiles, TileRegisters, int> registers{};
    ahead_.start(call.dim * sizeof(In));
    start_transform(call, sequence.head, transform_);
    tile_.start(sequence.orderings.data(), r, call.deduplicate, kForwardKeys);
    band_.start(rows_of<In>(call.key, sequence.batch, sequence.head),
                rows_of<In>(call.value, sequence.batch, sequence.head), ordering, call.dim, ordering.first[begin],
                call.shortest);
    for (int64_t i = begin; i < end; i += kTile) {
      tile_.open(i);
      if constexpr (kPairs) {
        for (int64_t q = 0; q < tile_.count; ++q) {
          std::memcpy(gathered_.data() + q * depth_step, query[tile_.tokens[q]], call.dim * sizeof(In));
        }
        transpose(gathered_.data(), depth_step, kTile, depth_step, queries_.data(), kTile);
      } else {
        gather(query, tile_.tokens, tile_.count, call.dim, static_cast<T>(call.scale),
               gathered_.data(), step_);
        transpose(gathered_.data(), step_, kTile, step_, queries_.data(), kTile);
      }
      ahead_.clear();
      if (!output.streamed) {
        for (int64_t q = 0; q < tile_.count; ++q) ahead_.write(output.row(tile_.tokens[q]));
      }
      for (int64_t q = i + kTile; q < std::min(i + 2 * kTile, end); ++q) {
        ahead_.read(query[ordering.query_tokens[q]]);
      }
      attend(static_cast<T>(call.scale));
      write(call, sequence, output, r);
    }
    end_stream();
  }

 private:
  void attend(T scale) {
    for (int v = 0; v < kVectors; ++v) {
      largest_[v] = broadcast(kLowest<T>);
      total_[v] = Vector<T>{};
    }
    bool begun = false;
    while (tile_.next()) {
      band_.need(tile_.keep, tile_.from, tile_.to);
      if (!begun) band_.look_ahead(kTile, ahead_);
      Vector<T> before[kVectors];
      for (int v = 0; v < kVectors; ++v) before[v] = largest_[v];
      if (transform_) {
        score_transformed(scale);
      } else {
        score<false>(scale);
      }
      if (begun) {
        fade(before);
      }
      weigh();
      const int64_t from = tile_.from;
      if constexpr (kPairs) {
        pair_weights();
      }
      if constexpr (kTiles) {
        sum_in_tiles(begun);
      } else if constexpr (kPairs) {
        sum_over_keys(tile_, weights_.data(), band_.value(from), band_.value_step, 2, output_.data(), step_, begun,
                      ahead_);
      } else {
        sum_over_keys(tile_, scores_.data(), band_.value(from), band_.value_step, 1, output_.data(), step_, begun,
                      ahead_);
      }
      if (band_.hides(from)) add_hidden();
      begun = true;
    }
    if (!begun) std::fill_n(output_.data(), kTile * step_, T{0});
  }

  // Not inlined: the mere call in the loop costs calls without a transform 3 % of a backward pass.
  __attribute__((noinline)) void score_transformed(T scale) { score<true>(scale); }

  template <bool kTransformed>
  void score(T scale) {
    const int64_t rows = tile_.to - tile_.from;
    for (int64_t row = 0; row < rows; row += kBlockRows) {
      const int from = tile_.vector_from(row), to = tile_.vector_to(row);
      ahead_.fetch(kFetched);
      const Unit* queries = reinterpret_cast<const Unit*>(queries_.data());
      T* block = scores_.data() + row * kTile;
      if constexpr (kTiles) {
        if (row % kTileRows == 0) {
          const int until = std::max(to, row + kBlockRows < rows ? tile_.vector_to(row + kBlockRows) : to);
          if (until > from) {
            tile_product(band_.key(tile_.from + row), band_.key_step, queries + from * kLanes<T>, kTile,
                         block + from * kLanes<T>, kTile, band_.key_step / kTilePairs, until - from, false);
          }
        }
      } else {
        score_block(band_.key(tile_.from + row), band_.key_step, queries, depth_, block, from, to);
      }
      if constexpr (kTransformed) transform_.apply(block, from, to, kPairs ? scale : 1, nullptr);
      tile_.masked(scores_.data(), row, from, to, [&](int64_t at, int v, Vector<T> x) {
        if constexpr (kPairs && !kTransformed) x = x * scale;
        largest_[v] = x > largest_[v] ? x : largest_[v];
        store(scores_.data() + at * kTile + v * kLanes<T>, x);
      });
    }
  }

  // A later chunk raised the maximum: the sums so far are scaled down to it.
  void fade(const Vector<T>* before) {
    alignas(kAlignment) T by[kTile];
    for (int v = 0; v < kVectors; ++v) {
      const Vector<T> factor = exponential<T>(before[v] - largest_[v]);
      total_[v] *= factor;
      store(by + v * kLanes<T>, factor);
    }
    for (int64_t q = 0; q < tile_.count; ++q) {
      T* row = output_.data() + q * step_;
      for (int64_t d = 0; d < step_; ++d) row[d] *= by[q];
    }
  }

  void weigh() {
    const int64_t rows = tile_.to - tile_.from;
    for (int64_t block = 0; block < rows; block += kBlockRows) {
      const int from = tile_.vector_from(block), to = tile_.vector_to(block);
      T* at = scores_.data() + block * kTile;
      clear_outside(at, from, to);
      for (int v = from; v < to; ++v) {
        // One chain of additions a query, in the order of its keys: in another, a sum's bits would depend on its tile.
        Vector<T> sum = total_[v];
        for (int r = 0; r < kBlockRows; ++r) {
          T* place = at + r * kTile + v * kLanes<T>;
          const Vector<T> weight = exponential<T>(load(place) - largest_[v]);
          sum += weight;
          store(place, weight);
        }
        total_[v] = sum;
      }
    }
  }

  // Adds the values that are infinite or NaN, which the band holds as zeros, to the queries that see them.
  __attribute__((noinline)) void add_hidden() {
    const std::vector<int64_t> places = band_.hidden(tile_.from, tile_.to);
    const T* zeros = zeros_.reserve_zeroed((kForwardKeys + kSlack) * kTile);
    int64_t masked = -1;
    for (const int64_t place : places) {
      const int64_t block = (place - tile_.from) / kBlockRows * kBlockRows;
      if (block == masked) continue;
      masked = block;
      const int from = tile_.vector_from(block), to = tile_.vector_to(block);
      tile_.masked(zeros, block, from, to, [&](int64_t row, int v, Vector<T> x) {
        if (!std::binary_search(places.begin(), places.end(), tile_.from + row)) return;
        const In* value = band_.hidden_value(tile_.from + row);
        for (int64_t q = v * kLanes<T>; q < (v + 1) * kLanes<T>; ++q) {
          if (x[q % kLanes<T>] != 0) continue;
          const T weight = scores_[row * kTile + q];
          for (int64_t d = 0; d < dim_; ++d) {
            if (!std::isfinite(widen(value[d]))) output_[q * step_ + d] += weight * widen(value[d]);
          }
        }
      });
    }
  }

  // Weights of two neighbouring keys side by side, rounded to the nearest bfloat16.
  void pair_weights() {
    const int64_t pairs = (tile_.to - tile_.from + 1) / 2;
    for (int64_t i = 0; i < pairs * kTile; i += kLanes<T>) {
      const T* low = scores_.data() + i / kTile * 2 * kTile + i % kTile;
      const auto a = bit_cast<Vector<uint32_t>>(load(low)) + 0x8000u;
      const auto b = bit_cast<Vector<uint32_t>>(load(low + kTile)) + 0x8000u;
      store(reinterpret_cast<uint32_t*>(weights_.data()) + i, (a >> 16) | (b & 0xffff0000u));
    }
  }

  // output[query] (+)= sum over keys of weights[key, query] * values[key], sixteen queries at a time.
  void sum_in_tiles(bool add) {
    const int64_t pairs = (tile_.to - tile_.from + 1) / 2, padded = round_up(pairs, kTilePairs);
    float* weights = reinterpret_cast<float*>(weights_.data());
    std::fill(weights + pairs * kTile, weights + padded * kTile, 0.0f);
    transpose(weights, kTile, padded, kTile, weights_across_.data(), padded);
    const Unit* across = reinterpret_cast<const Unit*>(weights_across_.data());
    for (int64_t q = 0; q < tile_.count; q += kTileRows) {
      int64_t begin = (tile_.first_of(q) - tile_.from) / 2;
      const int64_t end = (tile_.end_of(q + kTileRows - 1) - tile_.from + 1) / 2;
      const int64_t steps = std::max<int64_t>(end - begin + kTilePairs - 1, 0) / kTilePairs;
      // Keys before the first have weights of zero; after the last there is no memory to read.
      begin = std::min(begin, padded - steps * kTilePairs);
      for_blocks(0, static_cast<int>(step_ / kLanes<T>), 4, [&](int v, int width) {
        ahead_.fetch(kFetched);
        tile_product(across + q * padded + begin, padded, band_.value(tile_.from + 2 * begin) + v * kLanes<T>,
                     band_.value_step, output_.data() + q * step_ + v * kLanes<T>, step_, steps, width, add);
      });
    }
  }

  void write(const Call& call, Sequence<In>& sequence, const Merged<In>& output, int64_t r) {
    alignas(kAlignment) T old_largest[kTile], old_total[kTile], keep[kTile], put[kTile], largest[kTile], total[kTile];
    for (int64_t q = 0; q < kTile; ++q) {
      const bool known = r > 0 && q < tile_.count;
      old_largest[q] = known ? sequence.largest[tile_.tokens[q]] : kLowest<T>;
      old_total[q] = known ? sequence.total[tile_.tokens[q]] : 0;
    }
    for (int v = 0; v < kVectors; ++v) {
      const int lane = v * kLanes<T>;
      const Vector<T> was = load(old_largest + lane);
      const Vector<T> now = was > largest_[v] ? was : largest_[v];
      const Vector<T> mine = exponential<T>(largest_[v] - now);
      const Vector<T> kept = exponential<T>(was - now) * load(old_total + lane);
      const Vector<T> sum = kept + mine * total_[v];
      const Vector<T> one = broadcast(static_cast<T>(1));
      const Vector<T> inverse = one / (sum == static_cast<T>(0) ? one : sum);
      store(keep + lane, kept * inverse);
      store(put + lane, mine * inverse);
      store(largest + lane, now);
      store(total + lane, sum);
    }
    for (int64_t q = 0; q < tile_.count; ++q) {
      const int64_t token = tile_.tokens[q];
      // Scores of minus infinity alone: zero divided by zero, and not a query that sees nothing.
      if (total[q] == 0 && tile_.sees_others(q)) total[q] = put[q] = std::numeric_limits<T>::quiet_NaN();
      sequence.largest[token] = largest[q];
      sequence.total[token] = total[q];
      // Not `keep`, which is NaN where this sum is, and zero where an infinity in the output so far still has to stay.
      if (old_total[q] != 0) {
        T* row = output.sum[token];
        for (int64_t d = 0; d < call.dim; ++d) row[d] *= keep[q];
        output.put(token, output_.data() + q * step_, call.dim, put[q], true);
      } else {
        output.put(token, output_.data() + q * step_, call.dim, put[q], false);
      }
    }
  }

  Tile<T> tile_;
  Ahead ahead_;
  Band<In, kPairs, false> band_;
  int64_t step_ = 0, depth_ = 0, dim_ = 0;
  Buffer<T> gathered_, queries_, output_, scores_, weights_across_, zeros_;
  Buffer<Unit> weights_;
  Vector<T> largest_[kVectors], total_[kVectors];
  ScoreTransform<T> transform_;
};

// The output of queries that see nothing, which is their own value if they are keys and else zero; and the log-sum-exp
// of all queries.
template <class In>
void finish_forward(const Call& call, const Sequence<In>& sequence, const Merged<In>& output, int64_t begin,
                    int64_t end) {
  using T = Compute<In>;
  const Rows<In> value = rows_of<In>(call.value, sequence.batch, sequence.head);
  T* log_sum = static_cast<T*>(call.log_sum) + (sequence.batch * call.heads + sequence.head) * call.queries;
  for (int64_t i = begin; i < end; ++i) {
    if (sequence.total[i] == 0) {
      // Weights in the backward pass are the exponential of a score minus this, and so zero.
      log_sum[i] = std::numeric_limits<T>::infinity();
      output.clear(i, call.dim);
      const int64_t self_key = call.attend_self ? -1 : sequence.self_key[i];
      if (self_key >= 0) {
        for (int64_t d = 0; d < call.dim; ++d) {
          if (output.sum.data) {
            output.sum[i][d] = widen(value[self_key][d]);
          } else {
            output.out[i][d] = value[self_key][d];
          }
        }
      }
    } else {
      log_sum[i] = sequence.largest[i] + std::log(sequence.total[i]);
    }
  }
  output.finish(begin, end, call.dim);
}

// Numbers of rows that one thread computes alone, and of the remaining rows, fewer than threads, that all share.
struct Shares {
  int64_t alone, together;
};

Shares share_out(const Call& call) {
  const int64_t rows = call.batch * call.heads;
  const bool worth_it = call.threads > 1 && call.queries + call.keys >= 4096;
  const int64_t together = worth_it ? rows % call.threads : 0;
  return {rows - together, together};
}

template <class In>
void forward(const Call& call) {
  using T = Compute<In>;
  const Shares shares = share_out(call);
  std::vector<Sequence<In>> sequences(call.threads);
  std::vector<Forward<In>> passes(call.threads);
  auto begin = [&](Sequence<In>& sequence, int64_t row) {
    sequence.start(call, row);
    std::fill_n(sequence.largest.reserve(call.queries), call.queries, kLowest<T>);
    std::fill_n(sequence.total.reserve(call.queries), call.queries, T{0});
    return merged(rows_of<In>(call.output, sequence.batch, sequence.head), sequence.space[0], call.queries, call.dim,
                  call.orderings == 1);
  };
  parallel(shares.alone, call.threads, [&](int64_t row, int64_t worker) {
    Sequence<In>& sequence = sequences[worker];
    const Merged<In> output = begin(sequence, row);
    for (int64_t r = 0; r < call.orderings; ++r) {
      sequence.order(call, r);
      passes[worker].run(call, sequence, output, r, 0, sequence.orderings[r].queries);
    }
    finish_forward(call, sequence, output, 0, call.queries);
  });
  constexpr int64_t kJob = 64 * kTile;
  for (int64_t row = shares.alone; row < shares.alone + shares.together; ++row) {
    Sequence<In>& sequence = sequences[0];
    const Merged<In> output = begin(sequence, row);
    for (int64_t r = 0; r < call.orderings; ++r) {
      sequence.order(call, r);
      const int64_t queries = sequence.orderings[r].queries;
      parallel((queries + kJob - 1) / kJob, call.threads, [&](int64_t job, int64_t worker) {
        passes[worker].run(call, sequence, output, r, job * kJob, std::min(queries, (job + 1) * kJob));
      });
    }
    parallel((call.queries + kJob - 1) / kJob, call.threads, [&](int64_t job, int64_t) {
      finish_forward(call, sequence, output, job * kJob, std::min(call.queries, (job + 1) * kJob));
    });
  }
}

template <class In>
struct Gradients {
  Merged<In> query, key, value;
};

template <class In>
class Backward {
 public:
  using T = Compute<In>;
  static constexpr int kVectors = kTile / kLanes<T>;

  // Gradients of keys and values of a later job, `[keys, 2, dim]`, to be added after it.
  Buffer<T> spill;
  int64_t spilled() const { return band_.spilled; }

  // Adds the last run's gradients of the coefficients of the score transform.
  void add_coefficients(const Call& call, const Sequence<In>& sequence) {
    const int64_t row = sequence.batch * call.heads + sequence.head;
    if (transform_) transform_.take(call.grad_coefficient + row * call.coefficients);
  }

  // The sorted queries [begin, end) of one ordering, which owns the sorted keys [first_key, end_key).
  void run(const Call& call, Sequence<In>& sequence, const Gradients<In>& gradients, int64_t r, int64_t begin,
           int64_t end, int64_t first_key, int64_t end_key) {
    const Ordering& ordering = sequence.orderings[r];
    const int64_t batch = sequence.batch, head = sequence.head;
    const Rows<In> query = rows_of<In>(call.query, batch, head);
    const Rows<In> output = rows_of<In>(call.output, batch, head);
    const Rows<In> grad_output = rows_of<In>(call.grad_output, batch, head);
    const T* log_sum = static_cast<const T*>(call.log_sum) + (batch * call.heads + head) * call.queries;
    step_ = round_up(call.dim, kLanes<T>);
    dim_ = call.dim;
    for (Buffer<T>* rows : {&queries_, &queries_across_, &grads_, &grads_across_}) rows->reserve_zeroed(kTile * step_);
    grad_query_.reserve(kTile * step_);
    weights_.reserve((kBackwardKeys + 2 * kSlack) * kTile);
    grad_scores_.reserve((kBackwardKeys + 2 * kSlack) * kTile);
    const bool unit = call.shortest != 0;
    const int64_t reach = begin < end ? std::max<int64_t>(ordering.end[end - 1], unit ? end : 0) : 0;
    const int64_t beyond = reach - end_key;
    if (beyond > 0) spill.reserve(2 * call.dim * beyond);
    ahead_.start(call.dim * sizeof(In));
    start_transform(call, head, transform_);
    tile_.start(sequence.orderings.data(), r, call.deduplicate, kBackwardKeys);
    band_.start(rows_of<In>(call.key, batch, head), rows_of<In>(call.value, batch, head), ordering, call.dim,
                first_key, call.shortest);
    band_.gradients(unit ? &gradients.query : &gradients.key, &gradients.value, r > 0, end_key,
                    static_cast<T>(call.scale), &spill);
    for (int64_t i = begin; i < end; i += kTile) {
      tile_.open(i);
      gather(query, tile_.tokens, tile_.count, dim_, static_cast<T>(call.scale), queries_.data(), step_);
      gather(grad_output, tile_.tokens, tile_.count, dim_, T{1}, grads_.data(), step_);
      transpose(queries_.data(), step_, kTile, step_, queries_across_.data(), kTile);
      transpose(grads_.data(), step_, kTile, step_, grads_across_.data(), kTile);
      for (int64_t q = 0; q < kTile; ++q) {
        log_sum_[q] = std::numeric_limits<T>::infinity();
        delta_[q] = 0;
        if (q >= tile_.count) continue;
        log_sum_[q] = log_sum[tile_.tokens[q]];
        delta_[q] = dot(output[tile_.tokens[q]], grads_.data() + q * step_);
      }
      ahead_.clear();
      if (!unit) {
        for (int64_t q = 0; q < tile_.count; ++q) ahead_.write(gradients.query.row(tile_.tokens[q]));
      }
      for (int64_t q = i + kTile; q < std::min(i + 2 * kTile, end); ++q) {
        const int32_t token = ordering.query_tokens[q];
        ahead_.read(query[token]);
        ahead_.read(grad_output[token]);
        ahead_.read(output[token]);
      }
      bool begun = false;
      while (tile_.next()) {
        if (unit) {
          // The gradient of a query is added at the place of its key.
          band_.need_all(tile_.keep, std::max(tile_.to, i + tile_.count));
        } else {
          band_.need(tile_.keep, tile_.from, tile_.to);
        }
        if (!begun) band_.look_ahead(kTile, ahead_);
        chunk(begun, unit ? band_.grad_query(i) : grad_query_.data());
        begun = true;
      }
      if (unit) continue;
      for (int64_t q = 0; q < tile_.count; ++q) {
        if (begun) {
          gradients.query.put(tile_.tokens[q], grad_query_.data() + q * step_, dim_, static_cast<T>(call.scale),
                              r > 0);
        } else if (r == 0) {
          gradients.query.clear(tile_.tokens[q], dim_);
        }
      }
    }
    band_.finish(end_key);
    end_stream();
  }

 private:
  T dot(const In* output, const T* grad) const {
    Vector<T> sums{};
    int64_t d = 0;
    for (; d + kLanes<T> <= dim_; d += kLanes<T>) sums += widened<T>(output + d) * load(grad + d);
    T sum = sum_of<T>(sums);
    for (; d < dim_; ++d) sum += widen(output[d]) * grad[d];
    return sum;
  }

  void chunk(bool begun, T* grad_query) {
    const int64_t from = tile_.from, rows = tile_.to - from, padded = round_up(rows, kBlockRows);
    T* weights = weights_.data();
    T* grad_scores = grad_scores_.data();
    if (transform_) {
      weigh_transformed(weights, grad_scores);
    } else {
      weigh<false>(weights, grad_scores);
    }
    std::fill_n(weights + padded * kTile, kSlack * kTile, T{0});
    std::fill_n(grad_scores + padded * kTile, kSlack * kTile, T{0});
    sum_over_keys(tile_, grad_scores, band_.key(from), band_.key_step, 1, grad_query, step_, begun, ahead_);
    sum_over_queries(grad_scores, queries_.data(), band_.grad_key(from), rows);
    sum_over_queries(weights, grads_.data(), band_.grad_value(from), rows);
  }

  // Not inlined, as in the forward pass.
  __attribute__((noinline)) void weigh_transformed(T* weights, T* grad_scores) { weigh<true>(weights, grad_scores); }

  // The weights of a chunk, and the gradients of its scores.
  template <bool kTransformed>
  void weigh(T* weights, T* grad_scores) {
    const int64_t from = tile_.from, rows = tile_.to - from;
    for (int64_t row = 0; row < rows; row += kBlockRows) {
      const int first = tile_.vector_from(row), last = tile_.vector_to(row);
      ahead_.fetch(kFetchedAtOnce);
      score_block(band_.key(from + row), band_.key_step, queries_across_.data(), dim_, weights + row * kTile, first,
                  last);
      score_block(band_.value(from + row), band_.value_step, grads_across_.data(), dim_, grad_scores + row * kTile,
                  first, last);
      clear_outside(weights + row * kTile, first, last);
      clear_outside(grad_scores + row * kTile, first, last);
      if constexpr (kTransformed) transform_.apply(weights + row * kTile, first, last, 1, untransformed_);
      tile_.masked(weights, row, first, last, [&](int64_t at, int v, Vector<T> score) {
        const int64_t place = at * kTile + v * kLanes<T>;
        const Vector<T> weight = exponential<T>(score - load(log_sum_ + v * kLanes<T>));
        store(weights + place, weight);
        store(grad_scores + place, weight * (load(grad_scores + place) - load(delta_ + v * kLanes<T>)));
      });
      if constexpr (kTransformed) transform_.pull_back(untransformed_, grad_scores + row * kTile, first, last);
    }
  }

  // output[key] += sum over the queries that see the key of weights[key, query] * rows[query].
  void sum_over_queries(const T* weights, const T* rows, T* output, int64_t count) {
    for_blocks(0, static_cast<int>(step_ / kLanes<T>), kBlockVectors, [&](int v, int width) {
      const int height = block_rows(width);
      for (int64_t row = 0; row < count; row += height) {
        const int begin = tile_.query_from(row), end = tile_.query_to(row + height - 1);
        ahead_.fetch(kFetchedAtOnce);
        if (end <= begin) continue;
        product<true>(width, weights + row * kTile + begin, kTile, rows + begin * step_ + v * kLanes<T>, step_,
                      output + row * step_ + v * kLanes<T>, step_, end - begin, true);
      }
    });
  }

  Tile<T> tile_;
  Ahead ahead_;
  Band<In, false, true> band_;
  int64_t step_ = 0, dim_ = 0;
  Buffer<T> queries_, queries_across_, grads_, grads_across_, grad_query_, weights_, grad_scores_;
  alignas(kAlignment) T log_sum_[kTile], delta_[kTile];
  ScoreTransform<T> transform_;
  alignas(kAlignment) T untransformed_[kBlockRows * kTile];
};

// Zeros for the tokens that are absent in the first ordering: no tile of it writes their gradients.
template <class In>
void clear_absent(const Call& call, const Sequence<In>& sequence, const Gradients<In>& gradients) {
  const SlotRow query_slots = sequence.slots(call.query_slots, 0, call.queries);
  const SlotRow key_slots = sequence.slots(call.key_slots, 0, call.keys);
  for (int64_t i = 0; i < call.queries; ++i) {
    if (query_slots[i] < 0) gradients.query.clear(i, call.dim);
  }
  for (int64_t i = 0; i < call.keys; ++i) {
    if (key_slots[i] >= 0) continue;
    if (call.shortest == 0) gradients.key.clear(i, call.dim);
    gradients.value.clear(i, call.dim);
  }
}

// Adds the output gradient of queries that see only themselves to the gradient of their value.
template <class In>
void add_self_only(const Call& call, const Sequence<In>& sequence, const Gradients<In>& gradients) {
  if (call.attend_self) return;
  using T = Compute<In>;
  const T* log_sum = static_cast<const T*>(call.log_sum) + (sequence.batch * call.heads + sequence.head) * call.queries;
  const Rows<In> grad = rows_of<In>(call.grad_output, sequence.batch, sequence.head);
  Buffer<T> space;
  T* row = space.reserve(call.dim);
  for (int64_t i = 0; i < call.queries; ++i) {
    const int64_t self_key = sequence.self_key[i];
    if (self_key < 0 || log_sum[i] != std::numeric_limits<T>::infinity()) continue;
    for (int64_t d = 0; d < call.dim; ++d) row[d] = widen(grad[i][d]);
    gradients.value.put(self_key, row, call.dim, 1, true);
  }
}

template <class In>
void backward(const Call& call) {
  const Shares shares = share_out(call);
  std::vector<Sequence<In>> sequences(call.threads);
  std::vector<Backward<In>> passes(call.threads);
  auto begin = [&](Sequence<In>& sequence, int64_t row) {
    sequence.start(call, row);
    auto target = [&](const Array& array, int space, int64_t count) {
      return merged(rows_of<In>(array, sequence.batch, sequence.head), sequence.space[space], count, call.dim,
                    call.orderings == 1);
    };
    Gradients<In> gradients{target(call.grad_query, 0, call.queries), target(call.grad_key, 1, call.keys),
                            target(call.grad_value, 2, call.keys)};
    clear_absent(call, sequence, gradients);
    return gradients;
  };
  parallel(shares.alone, call.threads, [&](int64_t row, int64_t worker) {
    Sequence<In>& sequence = sequences[worker];
    const Gradients<In> gradients = begin(sequence, row);
    for (int64_t r = 0; r < call.orderings; ++r) {
      sequence.order(call, r);
      const Ordering& ordering = sequence.orderings[r];
      passes[worker].run(call, sequence, gradients, r, 0, ordering.queries, 0, ordering.keys.count);
      passes[worker].add_coefficients(call, sequence);
    }
    add_self_only(call, sequence, gradients);
    gradients.query.finish(0, call.queries, call.dim);
    if (call.shortest == 0) gradients.key.finish(0, call.keys, call.dim);
    gradients.value.finish(0, call.keys, call.dim);
  });
  for (int64_t row = shares.alone; row < shares.alone + shares.together; ++row) {
    Sequence<In>& sequence = sequences[0];
    const Gradients<In> gradients = begin(sequence, row);
    for (int64_t r = 0; r < call.orderings; ++r) {
      sequence.order(call, r);
      const Ordering& ordering = sequence.orderings[r];
      // One job of consecutive queries a thread. It owns the keys from its first one up to the first of the next job, and
      // puts gradients of later keys into its spill: added at once, they would be summed in an order that chance decides.
      const int64_t tiles = (ordering.queries + kTile - 1) / kTile;
      std::vector<int64_t> starts(call.threads + 1), keys(call.threads + 1);
      for (int64_t t = 0; t <= call.threads; ++t) {
        starts[t] = std::min(ordering.queries, tiles * t / call.threads * kTile);
        keys[t] = t == 0 ? 0 : starts[t] < ordering.queries ? ordering.first[starts[t]] : ordering.keys.count;
      }
      parallel(call.threads, call.threads, [&](int64_t t, int64_t) {
        passes[t].run(call, sequence, gradients, r, starts[t], starts[t + 1], keys[t], keys[t + 1]);
      });
      for (int64_t t = 0; t < call.threads; ++t) {
        passes[t].add_coefficients(call, sequence);
        for (int64_t i = 0; i < passes[t].spilled(); ++i) {
          const int32_t token = ordering.keys.tokens()[keys[t + 1] + i];
          const auto* from = passes[t].spill.data() + 2 * call.dim * i;
          (call.shortest == 0 ? gradients.key : gradients.query).put(token, from, call.dim, 1, true);
          gradients.value.put(token, from + call.dim, call.dim, 1, true);
        }
      }
    }
    add_self_only(call, sequence, gradients);
    gradients.query.finish(0, call.queries, call.dim);
    if (call.shortest == 0) gradients.key.finish(0, call.keys, call.dim);
    gradients.value.finish(0, call.keys, call.dim);
  }
}

}  // namespace
}  // namespace reformer

EXPORT int64_t reformer_window_attention_call_size() { return sizeof(reformer::Call); }

EXPORT int reformer_window_attention_forward(const reformer::Call* call) {
  using namespace reformer;
  return guarded([&] {
    switch (call->dtype) {
      case kFloat32: forward<float>(*call); return kDone;
      case kFloat64: forward<double>(*call); return kDone;
      case kBFloat16: forward<BFloat16>(*call); return kDone;
      default: return kUnknownDtype;
    }
  });
}

EXPORT int reformer_window_attention_backward(const reformer::Call* call) {
  using namespace reformer;
  return guarded([&] {
    switch (call->dtype) {
      case kFloat32: backward<float>(*call); return kDone;
      case kFloat64: backward<double>(*call); return kDone;
      case kBFloat16: backward<BFloat16>(*call); return kDone;
      default: return kUnknownDtype;
    }
  });
}
