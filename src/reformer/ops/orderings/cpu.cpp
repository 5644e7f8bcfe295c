// Buckets and slots (docs/math.md, 1 to 4): products, argmax and sign in one pass; ranks by counting.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "../native/interface.h"
#include "../native/memory.h"
#include "../native/threads.h"
#include "../native/vector.h"

namespace reformer {
namespace {

// Mirrored by `HashCall` in native/__init__.py. Steps are in elements; the last dimension is contiguous.
struct HashCall {
  int64_t batch, heads, length, dim, rounds, factors, dtype, threads;
  const void* vectors;
  int64_t batch_step, head_step, token_step;
  const float* const* rotations;  // One a factor, [heads, rounds, dim, halves[factor]], contiguous.
  const int64_t* halves;
  int64_t* buckets;  // [batch, heads, rounds, length]
};

// Mirrored by `SlotCall` in native/__init__.py.
struct SlotCall {
  int64_t batch, rows, queries, keys, most_buckets, aligned, causal, threads;  // `rows` a batch item
  const int64_t *query_buckets, *key_buckets;  // [batch, rows, queries or keys]; no queries: slots of the keys
  const uint8_t *query_mask, *key_mask;        // [batch, queries or keys], or null
  int64_t* slots;
};

constexpr int kHashVectors = kTile / kLanes<float>;
constexpr int kBucketShift = 40;

struct HashSpace {
  Buffer<float> rotations, rows, across;
  int64_t head = -1;
};

// Rotations of one head as [factor][round][dim][columns], columns padded with zeros, which are never the argmax.
void pack(const HashCall& call, int64_t head, HashSpace& space) {
  if (space.head == head) return;
  space.head = head;
  int64_t size = 0;
  for (int64_t f = 0; f < call.factors; ++f) size += call.rounds * call.dim * round_up(call.halves[f], kBlockRows);
  float* to = space.rotations.reserve(size);
  for (int64_t f = 0; f < call.factors; ++f) {
    const int64_t half = call.halves[f], step = round_up(half, kBlockRows);
    const float* from = call.rotations[f] + head * call.rounds * call.dim * half;
    for (int64_t i = 0; i < call.rounds * call.dim; ++i, from += half, to += step) {
      std::copy_n(from, half, to);
      std::fill_n(to + half, step - half, 0.0f);
    }
  }
}

// The bucket of every query of a tile in one round.
void hash_tile(const HashCall& call, int64_t round, const float* rotations, const float* across, int64_t count,
               int64_t* out) {
  using Lanes = Vector<int32_t>;
  Lanes bucket[kHashVectors] = {};
  for (int64_t f = 0; f < call.factors; ++f) {
    const int32_t half = static_cast<int32_t>(call.halves[f]);
    const int64_t step = round_up(half, kBlockRows);
    const float* rotation = rotations + round * call.dim * step;
    rotations += call.rounds * call.dim * step;
    Vector<float> best[kHashVectors];
    Lanes which[kHashVectors] = {};
    for (auto& x : best) x = broadcast(-1.0f);
    for (int64_t column = 0; column < half; column += kBlockRows) {
      alignas(kAlignment) float projected[kBlockRows * kTile];
      for (int v = 0; v < kHashVectors; v += 3) {
        product<false>(3, rotation + column, step, across + v * kLanes<float>, kTile, projected + v * kLanes<float>,
                       kTile, call.dim, false);
      }
      for (int v = 0; v < kHashVectors; ++v) {
        for (int r = 0; r < kBlockRows; ++r) {
          const Vector<float> x = load(projected + r * kTile + v * kLanes<float>);
          const Vector<float> size = x < 0.0f ? -x : x;
          const int32_t index = static_cast<int32_t>(column) + r;
          const Lanes direction = x < 0.0f ? broadcast(index + half) : broadcast(index);
          which[v] = size > best[v] ? direction : which[v];
          best[v] = size > best[v] ? size : best[v];
        }
      }
    }
    for (int v = 0; v < kHashVectors; ++v) bucket[v] = bucket[v] * (2 * half) + which[v];
  }
  for (int64_t i = 0; i < count; ++i) out[i] = bucket[i / kLanes<float>][i % kLanes<float>];
}

template <class In>
void hash(const HashCall& call) {
  constexpr int64_t kJob = 32 * kTile;
  const int64_t parts = (call.length + kJob - 1) / kJob;
  const int64_t step = round_up(call.dim, kLanes<float>);
  std::vector<HashSpace> spaces(call.threads);
  parallel(call.batch * call.heads * parts, call.threads, [&](int64_t job, int64_t worker) {
    const int64_t row = job / parts, batch = row / call.heads, head = row % call.heads;
    HashSpace& space = spaces[worker];
    pack(call, head, space);
    float* rows = space.rows.reserve_zeroed(kTile * step);
    float* across = space.across.reserve(step * kTile);
    const In* vectors = static_cast<const In*>(call.vectors) + batch * call.batch_step + head * call.head_step;
    const int64_t end = std::min(call.length, (job % parts + 1) * kJob);
    for (int64_t begin = job % parts * kJob; begin < end; begin += kTile) {
      const int64_t count = std::min<int64_t>(kTile, end - begin);
      for (int64_t i = 0; i < count; ++i) {
        const In* from = vectors + (begin + i) * call.token_step;
        for (int64_t d = 0; d < call.dim; ++d) rows[i * step + d] = static_cast<float>(widen(from[d]));
      }
      transpose(rows, step, kTile, step, across, kTile);
      for (int64_t round = 0; round < call.rounds; ++round) {
        hash_tile(call, round, space.rotations.data(), across, count,
                  call.buckets + (row * call.rounds + round) * call.length + begin);
      }
    }
  });
}

struct Counter {
  Buffer<int32_t> counts;

  // Zeros for all buckets of a row of keys and queries; false if one is out of range.
  bool start(const int64_t* buckets, const uint8_t* mask, int64_t size, const int64_t* others, int64_t other_size,
             int64_t most_buckets) {
    int64_t low = 0, high = 0;
    for (int64_t i = 0; i < size; ++i) {
      if (mask && !mask[i]) continue;
      low = std::min(low, buckets[i]);
      high = std::max(high, buckets[i]);
    }
    for (int64_t i = 0; i < other_size; ++i) {
      low = std::min(low, others[i]);
      high = std::max(high, others[i]);
    }
    if (low < 0 || high >= most_buckets) return false;
    std::fill_n(counts.reserve(high + 1), high + 1, 0);
    return true;
  }
};

int64_t slot_of(int64_t bucket, int64_t rank) { return (bucket << kBucketShift) + rank; }

bool key_slots(const SlotCall& call, int64_t row, Counter& counter) {
  const int64_t* bucket = call.key_buckets + row * call.keys;
  const uint8_t* mask = call.key_mask ? call.key_mask + row / call.rows * call.keys : nullptr;
  if (!counter.start(bucket, mask, call.keys, nullptr, 0, call.most_buckets)) return false;
  int64_t* out = call.slots + row * call.keys;
  for (int64_t i = 0; i < call.keys; ++i) {
    out[i] = mask && !mask[i] ? -1 : slot_of(bucket[i], counter.counts[bucket[i]]++);
  }
  return true;
}

bool query_slots(const SlotCall& call, int64_t row, Counter& counter) {
  const int64_t batch = row / call.rows;
  const int64_t* key = call.key_buckets + row * call.keys;
  const int64_t* query = call.query_buckets + row * call.queries;
  const uint8_t* key_mask = call.key_mask ? call.key_mask + batch * call.keys : nullptr;
  const uint8_t* query_mask = call.query_mask ? call.query_mask + batch * call.queries : nullptr;
  if (!counter.start(key, key_mask, call.keys, query, call.queries, call.most_buckets)) return false;
  int64_t* out = call.slots + row * call.queries;
  auto count = [&](int64_t i) {
    if (!key_mask || key_mask[i]) ++counter.counts[key[i]];
  };
  if (!call.aligned) {
    for (int64_t i = 0; i < call.keys; ++i) count(i);
  }
  for (int64_t i = 0; i < call.queries; ++i) {
    if (call.aligned) count(i);
    const int64_t before = counter.counts[query[i]];
    const bool absent = (query_mask && !query_mask[i]) || (call.aligned && call.causal && before == 0);
    const int64_t rank = call.aligned ? std::max<int64_t>(before - 1, 0) : before / 2;
    out[i] = absent ? -1 : slot_of(query[i], rank);
  }
  return true;
}

}  // namespace
}  // namespace reformer

EXPORT int reformer_hash_buckets(const reformer::HashCall* call) {
  using namespace reformer;
  return guarded([&] {
    switch (call->dtype) {
      case kFloat32: hash<float>(*call); return kDone;
      case kFloat64: hash<double>(*call); return kDone;
      case kBFloat16: hash<BFloat16>(*call); return kDone;
      default: return kUnknownDtype;
    }
  });
}

EXPORT int reformer_bucket_slots(const reformer::SlotCall* call) {
  using namespace reformer;
  return guarded([&] {
    std::atomic<bool> in_range{true};
    std::vector<Counter> counters(call->threads);
    parallel(call->batch * call->rows, call->threads, [&](int64_t row, int64_t worker) {
      const bool fine = call->query_buckets ? query_slots(*call, row, counters[worker])
                                            : key_slots(*call, row, counters[worker]);
      if (!fine) in_range = false;
    });
    return in_range ? kDone : kOutOfRange;
  });
}

EXPORT int64_t reformer_hash_call_size() { return sizeof(reformer::HashCall); }
EXPORT int64_t reformer_slot_call_size() { return sizeof(reformer::SlotCall); }
