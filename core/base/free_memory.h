// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_FREE_MEMORY_H_
#define RWKVD_CORE_BASE_FREE_MEMORY_H_

namespace rwkvd {

// Gives the whole pages that the allocator holds free back to the operating
// system. Left to itself glibc's does so at the end of a heap only, and what
// lives long keeps all that was ever free below it. Takes milliseconds, in
// which other threads may wait for memory. Elsewhere it does nothing.
// Thread-safe.
void ReturnFreeMemory();

// Has all threads share one heap, where glibc would make up to eight for each
// processor, with holes of its own in each. They seldom wait for one another
// there: steps allocate nothing, and glibc keeps what a thread has just freed
// for that thread. To be called before there are others. Elsewhere it does
// nothing.
void ShareOneHeap();

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FREE_MEMORY_H_
