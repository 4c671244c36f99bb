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

// Has threads share two heaps, where glibc would make up to eight for each
// processor: each keeps holes of its own. To be called before there are other
// threads. Elsewhere it does nothing.
void ShareFewHeaps();

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FREE_MEMORY_H_
