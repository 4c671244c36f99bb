// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_ALIGNED_BUFFER_H_
#define RWKVD_CORE_BASE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <new>
#include <vector>

namespace rwkvd {

// Aligns memory to 64 bytes: a cache line, and the widest vector register.
template <typename T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};

  CacheLineAllocator() = default;
  template <typename U>
  CacheLineAllocator(const CacheLineAllocator<U>&) {}

  T* allocate(size_t n) {
    return static_cast<T*>(::operator new(n * sizeof(T), kAlignment));
  }
  void deallocate(T* p, size_t) { ::operator delete(p, kAlignment); }

  friend bool operator==(const CacheLineAllocator&, const CacheLineAllocator&) {
    return true;
  }
};

// A std::vector whose first element is aligned to 64 bytes.
template <typename T>
using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_ALIGNED_BUFFER_H_
