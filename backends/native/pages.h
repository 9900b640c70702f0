// Memory of large results, kept for the next call. The system hands fresh memory out page by page, with a fault when
// each is first written: for the 200 MB of two thousand boxes that takes many times as long as pooling them. What a
// caller gives back is therefore used again. Until then it is offered to the system (MADV_FREE), which takes it when
// memory is short, and otherwise leaves it as it is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sys/mman.h>
#endif

namespace frcnn {

// Blocks are whole large pages, so that Linux may take such pages for them. Smaller results are malloc's.
constexpr size_t kLargePage = size_t{1} << 21;

class KeptBlocks {
 public:
  KeptBlocks() { kept_.reserve(kMost / kLargePage); }  // as many as there can be

  struct Block {
    void* data;
    size_t bytes;  // at least what was asked for
  };

  // data is nullptr where there is no memory.
  Block take(size_t bytes) {
    bytes = (std::max<size_t>(bytes, 1) + kLargePage - 1) / kLargePage * kLargePage;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      // The smallest that is large enough, but not twice as large: the rest of it would lie idle. Of equal ones the last
      // that was given back, which the caches know best.
      auto best = kept_.end();
      for (auto block = kept_.begin(); block != kept_.end(); ++block) {
        const bool fits = block->bytes >= bytes && block->bytes < 2 * bytes;
        if (fits && (best == kept_.end() || block->bytes <= best->bytes)) best = block;
      }
      if (best != kept_.end()) {
        const Block found = *best;
        remove(best);
        return found;
      }
    }
    void* data = std::aligned_alloc(kLargePage, bytes);
    if (!data) {  // under a limit on addresses, what is kept counts
      give_up_all();
      data = std::aligned_alloc(kLargePage, bytes);
    }
#if defined(MADV_HUGEPAGE)
    if (data) madvise(data, bytes, MADV_HUGEPAGE);  // a wish alone
#endif
    return {data, bytes};
  }

  void give_back(Block block) {
#if defined(MADV_FREE)
    if (block.bytes <= kMost && madvise(block.data, block.bytes, MADV_FREE) == 0) {
      while (!keep(block)) give_up_one();
      return;
    }
#endif
    std::free(block.data);
  }

  void give_up_all() {
    while (give_up_one()) {
    }
  }

  // Around a fork, which another thread's lock would outlive in the child, where nobody opens it.
  void before_fork() { mutex_.lock(); }
  void after_fork() { mutex_.unlock(); }

 private:
  // Twice the output and the argmax of two thousand boxes at 7 x 7 in 512 channels.
  static constexpr size_t kMost = size_t{1} << 30;

  // False where there is no room for it.
  bool keep(Block block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (bytes_ + block.bytes > kMost) return false;
    kept_.push_back(block);  // never a new allocation: whoever gives memory back must not be told that there is none
    bytes_ += block.bytes;
    return true;
  }

  // Free what is kept longest, if anything is. Not under the lock: to hand pages back takes long.
  bool give_up_one() {
    Block longest{};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (kept_.empty()) return false;
      longest = kept_.front();
      remove(kept_.begin());
    }
    std::free(longest.data);
    return true;
  }

  void remove(std::vector<Block>::iterator block) {
    bytes_ -= block->bytes;
    kept_.erase(block);
  }

  std::mutex mutex_;
  std::vector<Block> kept_;  // the longest kept first
  size_t bytes_ = 0;         // of them together
};

// The process's. Never destroyed: results and threads may outlive everything static.
inline KeptBlocks& kept_blocks() {
  static auto* const blocks = [] {
    auto* const made = new KeptBlocks;
#if defined(__linux__)
    pthread_atfork([] { kept_blocks().before_fork(); }, [] { kept_blocks().after_fork(); },
                   [] { kept_blocks().after_fork(); });
#endif
    return made;
  }();
  return *blocks;
}

// Memory while something lasts. Fresh pages for each call would cost more than what is done in them.
class Scratch {
 public:
  explicit Scratch(int64_t bytes) : block_(kept_blocks().take(static_cast<size_t>(bytes))) {
    if (!block_.data) throw std::bad_alloc();
  }
  ~Scratch() { kept_blocks().give_back(block_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const { return block_.data; }

 private:
  KeptBlocks::Block block_;
};

}  // namespace frcnn
