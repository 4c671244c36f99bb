// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_FREE_MEMORY_H_
#define RWKVD_CORE_BASE_FREE_MEMORY_H_

namespace rwkvd {

// Returns all whole free pages of the allocator to the operating system. By
// default, glibc only returns pages at the end of its heap, so that one
// long-lived block keeps all the free memory below it. The call takes some
// milliseconds, during which other threads may wait for memory. It does nothing
// with an allocator other than glibc's. Thread-safe.
void ReturnFreeMemory();

// Makes all threads allocate from one heap. By default, glibc creates up to
// eight heaps for each processor, each of which becomes fragmented. One heap is
// hardly contended: steps do not allocate, and glibc caches recently freed
// blocks for each thread. Call it before starting any thread. It does nothing
// with an allocator other than glibc's.
void ShareOneHeap();

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FREE_MEMORY_H_
