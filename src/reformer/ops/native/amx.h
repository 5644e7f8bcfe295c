// Products of bfloat16 numbers in the processor's tile registers, sixteen rows by sixteen columns at a time.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "vector.h"

namespace reformer {

constexpr int kTileRows = 16;   // Of every tile, and the columns of a result.
constexpr int kTilePairs = 16;  // That are multiplied in one step.

// The shape of the calling thread's tile registers, set for the lifetime of this object.
class TileRegisters {
 public:
  TileRegisters() {
    alignas(64) const Shape shape;
    _tile_loadconfig(&shape);
  }
  ~TileRegisters() { _tile_release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;

 private:
  struct Shape {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
};

// The compiler does not know that tile loads read memory, and would drop or delay the stores before them.
inline void before_tile_loads() { asm volatile("" ::: "memory"); }

// c[16, 16 * columns] = (c or 0) + a b over `steps` times sixteen pairs; a is [16, pairs], b is [pairs, 16 * columns], at
// most four columns. Steps between rows are in elements of four bytes.
inline void tile_product(const Pair* a, int64_t lda, const Pair* b, int64_t ldb, float* c, int64_t ldc, int64_t steps,
                         int columns, bool add) {
  const int64_t a_bytes = lda * 4, b_bytes = ldb * 4, c_bytes = ldc * 4;
  before_tile_loads();
  if (add) {
    _tile_loadd(0, c, c_bytes);
    if (columns > 1) _tile_loadd(1, c + 16, c_bytes);
    if (columns > 2) _tile_loadd(2, c + 32, c_bytes);
    if (columns > 3) _tile_loadd(3, c + 48, c_bytes);
  } else {
    _tile_zero(0);
    if (columns > 1) _tile_zero(1);
    if (columns > 2) _tile_zero(2);
    if (columns > 3) _tile_zero(3);
  }
  for (int64_t step = 0; step < steps; ++step, a += kTilePairs, b += kTilePairs * ldb) {
    _tile_loadd(4, a, a_bytes);
    _tile_loadd(5, b, b_bytes);
    _tile_dpbf16ps(0, 4, 5);
    if (columns > 1) {
      _tile_loadd(6, b + 16, b_bytes);
      _tile_dpbf16ps(1, 4, 6);
    }
    if (columns > 2) {
      _tile_loadd(7, b + 32, b_bytes);
      _tile_dpbf16ps(2, 4, 7);
    }
    if (columns > 3) {
      _tile_loadd(5, b + 48, b_bytes);
      _tile_dpbf16ps(3, 4, 5);
    }
  }
  _tile_stored(0, c, c_bytes);
  if (columns > 1) _tile_stored(1, c + 16, c_bytes);
  if (columns > 2) _tile_stored(2, c + 32, c_bytes);
  if (columns > 3) _tile_stored(3, c + 48, c_bytes);
}

}  // namespace reformer
