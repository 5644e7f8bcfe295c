// One ordering of one sequence: keys and queries by slot, and the range of keys that each query sees.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "../native/memory.h"

namespace reformer {

// Slots of one ordering of one (batch, head), `step` elements apart.
struct SlotRow {
  const int64_t* data;
  int64_t step;
  int64_t size;
  int64_t operator[](int64_t i) const { return data[i * step]; }
};

// The tokens that are present, in the order of their slots.
class Sorted {
 public:
  int64_t count = 0;
  const int64_t* slots() const { return slots_.data(); }
  const int32_t* tokens() const { return tokens_.data(); }

  void sort(SlotRow row) {
    slots_.reserve(row.size);
    tokens_.reserve(row.size);
    bool ascending = true;
    int64_t last = -1, most = 0;
    count = 0;
    for (int64_t i = 0; i < row.size; ++i) {
      const int64_t slot = row[i];
      if (slot < 0) continue;
      ascending &= slot >= last;
      last = slot;
      most = std::max(most, slot);
      slots_[count] = slot;
      tokens_[count++] = static_cast<int32_t>(i);
    }
    if (ascending) return;
    if ((most >> kBucketShift) <= 4 * row.size + 1024) {
      scatter(row, (most >> kBucketShift) + 1);
      if (std::is_sorted(slots_.data(), slots_.data() + count)) return;
    }
    compare(row);
  }

 private:
  // Slots of hash rounds have the bucket's number in the high bits, and grow with the token within a bucket.
  static constexpr int kBucketShift = 40;

  void scatter(SlotRow row, int64_t buckets) {
    places_.reserve(buckets + 1);
    std::fill_n(places_.data(), buckets + 1, 0);
    for (int64_t i = 0; i < row.size; ++i) {
      if (row[i] >= 0) ++places_[(row[i] >> kBucketShift) + 1];
    }
    std::partial_sum(places_.data(), places_.data() + buckets + 1, places_.data());
    for (int64_t i = 0; i < row.size; ++i) {
      const int64_t slot = row[i];
      if (slot < 0) continue;
      const int64_t place = places_[slot >> kBucketShift]++;
      slots_[place] = slot;
      tokens_[place] = static_cast<int32_t>(i);
    }
  }

  void compare(SlotRow row) {
    int64_t n = 0;
    for (int64_t i = 0; i < row.size; ++i) {
      if (row[i] >= 0) tokens_[n++] = static_cast<int32_t>(i);
    }
    std::sort(tokens_.data(), tokens_.data() + n, [row](int32_t a, int32_t b) {
      return row[a] != row[b] ? row[a] < row[b] : a < b;
    });
    for (int64_t i = 0; i < n; ++i) slots_[i] = row[tokens_[i]];
  }

  Buffer<int64_t> slots_;
  Buffer<int32_t> tokens_;
  Buffer<int32_t> places_;
};

// In slot order, the keys that a query sees are one range, from `first[i]` up to but not including `end[i]`; both grow
// with i. Whether an earlier ordering sees a pair is then one comparison of a key's place with a query's range.
struct Ordering {
  Sorted keys;
  int64_t queries = 0;
  const int32_t* query_tokens = nullptr;
  Buffer<int32_t> first, end;
  // The place, in slot order, of the key that is the query itself, -1 for none. Needed if that key is masked and is not
  // simply the last that a query sees.
  Buffer<int32_t> self_place;
  bool has_self_place = false;
  // The same by token: a key's place (-1 if absent), and a query's first key and number of keys.
  Buffer<int32_t> place_of_key, first_of_query, size_of_query;

  // Keys and queries in the order of their slots; `shared`: they are the same.
  void sort(SlotRow query_slots, SlotRow key_slots, bool shared) {
    keys.sort(key_slots);
    if (!shared) separate_.sort(query_slots);
    shared_ = shared;
    queries = (shared ? keys : separate_).count;
    query_tokens = (shared ? keys : separate_).tokens();
  }

  // Notes the keys that stand at the slots of queries with slots of their own.
  void find_self_keys(int32_t* self_key) const {
    const int64_t* slot = keys.slots();
    for (int64_t i = 0, at = 0; i < queries; ++i) {
      const int64_t s = separate_.slots()[i];
      while (at < keys.count && slot[at] < s) ++at;
      if (at < keys.count && slot[at] == s) self_key[query_tokens[i]] = keys.tokens()[at];
    }
  }

  // The ranges, after `sort`. Without `attend_self`, `self_key` holds the keys that are the queries; for shared queries
  // it is filled here.
  void see(int64_t query_count, int64_t key_count, int64_t window, bool causal, bool attend_self, bool by_token,
           int32_t* self_key) {
    const int64_t* query_slot = (shared_ ? keys : separate_).slots();
    const int64_t* slot = keys.slots();
    first.reserve(queries);
    end.reserve(queries);
    for (int64_t i = 0, from = 0, to = 0; i < queries; ++i) {
      const int64_t s = query_slot[i];
      while (from < keys.count && slot[from] <= s && s - slot[from] >= window) ++from;
      if (causal) {
        while (to < keys.count && slot[to] <= s) ++to;
      } else {
        while (to < keys.count && (slot[to] <= s || slot[to] - s < window)) ++to;
      }
      first[i] = static_cast<int32_t>(from);
      end[i] = static_cast<int32_t>(to);
    }
    if (by_token) place_queries(query_count);
    if (by_token || !(attend_self || shared_)) place_keys(key_count);
    has_self_place = !attend_self && !(shared_ && causal);
    if (attend_self) return;
    self_place.reserve(queries);
    for (int64_t i = 0; i < queries; ++i) {
      int32_t& itself = self_key[query_tokens[i]];
      if (shared_) itself = query_tokens[i];
      self_place[i] = shared_ ? static_cast<int32_t>(i) : itself < 0 ? -1 : place_of_key[itself];
      if (!has_self_place) end[i] -= end[i] > first[i];
    }
  }

 private:
  void place_keys(int64_t count) {
    std::fill_n(place_of_key.reserve(count), count, -1);
    for (int64_t p = 0; p < keys.count; ++p) place_of_key[keys.tokens()[p]] = static_cast<int32_t>(p);
  }

  void place_queries(int64_t count) {
    std::fill_n(first_of_query.reserve(count), count, 0);
    std::fill_n(size_of_query.reserve(count), count, 0);
    for (int64_t i = 0; i < queries; ++i) {
      first_of_query[query_tokens[i]] = first[i];
      size_of_query[query_tokens[i]] = end[i] - first[i];
    }
  }

  bool shared_ = false;
  Sorted separate_;
};

}  // namespace reformer
