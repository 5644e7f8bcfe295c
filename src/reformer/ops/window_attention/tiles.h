// Tiles of one ordering: queries in slot order, the keys they need, and which pairs count.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "../native/memory.h"
#include "../native/vector.h"
#include "ordering.h"

namespace reformer {

// A block of rows may reach this far past the last key.
constexpr int kSlack = 8;

inline int64_t even(int64_t x) { return x & ~int64_t{1}; }

// Calls `work(first vector, number of vectors)` for blocks of at most `most` vectors, as equal as possible.
template <class Work>
inline void for_blocks(int begin, int end, int most, const Work& work) {
  while (begin < end) {
    const int blocks = (end - begin + most - 1) / most;
    const int width = (end - begin + blocks - 1) / blocks;
    work(begin, width);
    begin += width;
  }
}

// Rows that the next tile will need, prefetched a few at a time between products, so that no product waits for memory.
class Ahead {
 public:
  void start(int64_t bytes) { bytes_ = bytes; }
  void clear() { reads_ = writes_ = done_reads_ = done_writes_ = 0; }
  void read(const void* row) {
    if (reads_ < kMost) read_[reads_++] = static_cast<const char*>(row);
  }
  void write(const void* row) {
    if (writes_ < kMost) write_[writes_++] = static_cast<const char*>(row);
  }
  void fetch(int rows) {
    for (int end = std::min(reads_, done_reads_ + rows); done_reads_ < end; ++done_reads_) {
      for (int64_t at = 0; at < bytes_; at += 64) __builtin_prefetch(read_[done_reads_] + at, 0, 3);
    }
    for (int end = std::min(writes_, done_writes_ + rows / 3 + 1); done_writes_ < end; ++done_writes_) {
      for (int64_t at = 0; at < bytes_; at += 64) __builtin_prefetch(write_[done_writes_] + at, 1, 3);
    }
  }

 private:
  static constexpr int kMost = 6 * kTile;
  const char *read_[kMost], *write_[kMost];
  int reads_ = 0, writes_ = 0, done_reads_ = 0, done_writes_ = 0;
  int64_t bytes_ = 0;
};

// A tile of queries and the current chunk of its keys.
template <class T>
class Tile {
 public:
  static constexpr int kTileVectors = kTile / kLanes<T>;

  int64_t count = 0;                 // Queries in the tile.
  const int32_t* tokens = nullptr;   // Which they are.
  int64_t from = 0, to = 0;          // The chunk: keys in slot order, `from` even.

  // Walks `orderings[ordering]`; pairs that an ordering before it sees are masked if `deduplicate`.
  void start(const Ordering* orderings, int64_t ordering, bool deduplicate, int64_t most_keys) {
    orderings_ = orderings;
    now_ = &orderings[ordering];
    earlier_ = deduplicate ? ordering : 0;
    most_keys_ = most_keys;
    query_from_.reserve(most_keys + 2 * kSlack);
    query_to_.reserve(most_keys + 2 * kSlack);
    first_.reserve(kTile * (earlier_ + 1));
    size_.reserve(kTile * (earlier_ + 1));
    places_.reserve((most_keys + kSlack) * (earlier_ + 1));
  }

  void open(int64_t begin) {
    count = std::min<int64_t>(kTile, now_->queries - begin);
    tokens = now_->query_tokens + begin;
    firsts_ = now_->first.data() + begin;
    ends_ = now_->end.data() + begin;
    fill_runs(0, [this](int64_t i) { return firsts_[i]; }, [this](int64_t i) { return ends_[i] - firsts_[i]; });
    if (now_->has_self_place) {
      const int32_t* self_place = now_->self_place.data() + begin;
      for (int64_t i = 0; i < kTile; ++i) self_place_[i] = i < count ? self_place[i] : -1;
    }
    for (int64_t e = 0; e < earlier_; ++e) {
      const int32_t* first = orderings_[e].first_of_query.data();
      const int32_t* size = orderings_[e].size_of_query.data();
      fill_runs(e + 1, [&](int64_t i) { return first[tokens[i]]; }, [&](int64_t i) { return size[tokens[i]]; });
    }
    for (int v = 0; v < kTileVectors; ++v) {
      // Keys that every query of the vector sees need no mask; the padding of a tile sees no key.
      const int64_t last = std::min<int64_t>((v + 1) * kLanes<T>, count) - 1;
      all_from_[v] = last == (v + 1) * kLanes<T> - 1 ? firsts_[last] : std::numeric_limits<int64_t>::max();
      all_to_[v] = v * kLanes<T> < count ? ends_[v * kLanes<T>] : 0;
    }
    keep = even(firsts_[0]);
    to = keep;
    reached_ = 0;
  }

  // The first key that this tile or a later one needs.
  int64_t keep = 0;

  // Moves to the next chunk of keys that any query sees; false after the last.
  bool next() {
    while (reached_ < count && ends_[reached_] <= to) ++reached_;
    if (reached_ == count) return false;
    from = std::max(to, even(firsts_[reached_]));
    to = std::min<int64_t>(ends_[count - 1], from + most_keys_);
    const int64_t rows = round_up(to - from, kBlockRows) + kSlack;
    int seen = 0, begun = 0;
    for (int64_t row = 0; row < rows; ++row) {
      while (seen < count && ends_[seen] <= from + row) ++seen;
      while (begun < count && firsts_[begun] <= from + row) ++begun;
      query_from_[row] = static_cast<uint8_t>(seen);
      query_to_[row] = static_cast<uint8_t>(begun);
    }
    for (int64_t e = 0; e < earlier_; ++e) {
      const int32_t* place = orderings_[e].place_of_key.data();
      const int32_t* key = now_->keys.tokens() + from;
      Int<T>* out = places_.data() + e * (most_keys_ + kSlack);
      for (int64_t row = 0; row < to - from; ++row) out[row] = place[key[row]];
      for (int64_t row = to - from; row < rows - kSlack; ++row) out[row] = -1;
    }
    return true;
  }

  // Whether this ordering lets a query see another key than itself.
  bool sees_others(int64_t query) const {
    const Int<T> place = now_->has_self_place ? self_place_[query] : -1;
    return ends_[query] - firsts_[query] > (place >= firsts_[query] && place < ends_[query]);
  }

  int64_t first_of(int64_t query) const { return std::max<int64_t>(firsts_[query], from); }
  int64_t end_of(int64_t query) const { return std::min<int64_t>(ends_[std::min(query, count - 1)], to); }

  // Queries outside [query_from(row), query_to(row + rows - 1)) see none of the keys [row, row + rows).
  int query_from(int64_t row) const { return query_from_[row]; }
  int query_to(int64_t row) const { return query_to_[row]; }
  int vector_from(int64_t row) const { return query_from_[row] / kLanes<T>; }
  int vector_to(int64_t row) const {
    return std::max<int>(query_from_[row], query_to_[row + kBlockRows - 1] + kLanes<T> - 1) / kLanes<T>;
  }

  // Calls `work(row, vector, scores)` for a block of rows, with scores of -infinity for masked pairs.
  template <class Work>
  void masked(const T* scores, int64_t block, int vector_from, int vector_to, const Work& work) const {
    using Lanes = Vector<Int<T>>;
    using Positive = Vector<Unsigned<T>>;
    const Vector<T> nothing = broadcast(-std::numeric_limits<T>::infinity());
    for (int v = vector_from; v < vector_to; ++v) {
      const int64_t lane = v * kLanes<T>;
      const bool all = all_from_[v] <= from + block && all_to_[v] >= from + block + kBlockRows &&
                       from + block + kBlockRows <= to;
      const Lanes first = load(first_.data() + lane);
      const Positive size = (Positive)load(size_.data() + lane);
      for (int64_t row = block; row < block + kBlockRows; ++row) {
        Vector<T> x = load(scores + row * kTile + lane);
        const Lanes place = broadcast(static_cast<Int<T>>(from + row));
        if (!all) x = (Positive)(place - first) < size ? x : nothing;
        if (now_->has_self_place) x = place == load(self_place_ + lane) ? nothing : x;
        for (int64_t e = 0; e < earlier_; ++e) {
          const Lanes other = broadcast(places_[e * (most_keys_ + kSlack) + row]);
          const Lanes begin = load(first_.data() + (e + 1) * kTile + lane);
          const Positive run = (Positive)load(size_.data() + (e + 1) * kTile + lane);
          x = (Positive)(other - begin) < run ? nothing : x;
        }
        work(row, v, x);
      }
    }
  }

 private:
  template <class First, class Size>
  void fill_runs(int64_t row, const First& first, const Size& size) {
    Int<T>* firsts = first_.data() + row * kTile;
    Int<T>* sizes = size_.data() + row * kTile;
    for (int64_t i = 0; i < count; ++i) firsts[i] = first(i);
    for (int64_t i = 0; i < count; ++i) sizes[i] = size(i);
    std::fill(firsts + count, firsts + kTile, 0);
    std::fill(sizes + count, sizes + kTile, 0);
  }

  const Ordering* orderings_ = nullptr;
  const Ordering* now_ = nullptr;
  int64_t earlier_ = 0, most_keys_ = 0;
  const int32_t *firsts_ = nullptr, *ends_ = nullptr;
  int64_t reached_ = 0;
  int64_t all_from_[kTileVectors], all_to_[kTileVectors];
  alignas(kAlignment) Int<T> self_place_[kTile];
  // Row 0 is the current ordering, the others are those before it.
  Buffer<Int<T>> first_, size_, places_;
  Buffer<uint8_t> query_from_, query_to_;
};

}  // namespace reformer
