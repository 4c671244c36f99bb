// SPDX-License-Identifier: Apache-2.0
#include "core/base/free_memory.h"

#include <cstdlib>  // says whether this is glibc

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace rwkvd {
namespace {

// The engine's thread and the others seldom wait for one another with two.
[[maybe_unused]] constexpr int kNumHeaps = 2;

}  // namespace

void ReturnFreeMemory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

void ShareFewHeaps() {
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, kNumHeaps);
#endif
}

}  // namespace rwkvd
