// Fresh memory for results. The system hands it out in pages of 4 KB, each with a fault when it is first written: for the
// 200 MB of two thousand boxes that takes longer than pooling them. Where Linux may give pages of 2 MB, it is asked to.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace frcnn {

// From this size on glibc's malloc maps every block anew (DEFAULT_MMAP_THRESHOLD_MAX). Smaller ones it takes from its
// heap, which it trims and extends: there large pages made a 13 MB result slower.
constexpr size_t kMappedAnew = size_t{1} << 25;

// Ask for large pages under `bytes` of memory at `data` that is about to be written for the first time. A wish alone:
// nothing changes where the system has no such pages.
inline void wish_for_large_pages(void* data, size_t bytes) {
#if defined(MADV_HUGEPAGE)
  constexpr uintptr_t kPage = uintptr_t{1} << 21;
  if (bytes < kMappedAnew) return;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) & ~(kPage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(kPage - 1);
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

}  // namespace frcnn
