// Threads that live for one call: those of a pool would be missing in a forked process.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace reformer {

// Calls `work(job, worker)` for every job below `jobs`, on at most `threads` threads; the caller is worker 0.
// A job goes to the first free worker. The first exception is thrown again here, after all workers have stopped.
template <class Work>
void parallel(int64_t jobs, int64_t threads, const Work& work) {
  if (threads > jobs) threads = jobs;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  auto loop = [&](int64_t worker) {
    try {
      for (int64_t job; !failed.load(std::memory_order_relaxed) && (job = next.fetch_add(1)) < jobs;) {
        work(job, worker);
      }
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  others.reserve(threads > 0 ? threads : 0);
  for (int64_t worker = 1; worker < threads; ++worker) {
    try {
      others.emplace_back(loop, worker);
    } catch (const std::system_error&) {
      break;  // The system refuses another thread: those that run do the work.
    }
  }
  loop(0);
  for (auto& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace reformer
