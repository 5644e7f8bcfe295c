// Aligned memory that grows, and is neither copied nor initialised unless asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#if defined(_WIN32)
#include <malloc.h>
#endif

namespace reformer {

constexpr size_t kAlignment = 64;

// `aligned_alloc` is missing on Windows and before macOS 10.15.
#if defined(_WIN32)
inline void* allocate(size_t bytes) { return _aligned_malloc(bytes, kAlignment); }
inline void release(void* memory) { _aligned_free(memory); }
#else
inline void* allocate(size_t bytes) {
  void* memory = nullptr;
  return posix_memalign(&memory, kAlignment, bytes) ? nullptr : memory;
}
inline void release(void* memory) { std::free(memory); }
#endif

template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { release(data_); }

  // At least `size` elements, contents lost if it has to grow.
  T* reserve(int64_t size) {
    if (size > size_) {
      release(data_);
      data_ = nullptr;
      size_ = 0;
      data_ = static_cast<T*>(allocate(static_cast<size_t>(size) * sizeof(T)));
      if (!data_) throw std::bad_alloc();
      size_ = size;
    }
    return data_;
  }

  T* reserve_zeroed(int64_t size) {
    if (size > size_) {
      reserve(size);
      std::memset(static_cast<void*>(data_), 0, static_cast<size_t>(size) * sizeof(T));
    }
    return data_;
  }

  T* data() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }
  int64_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace reformer
