// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_CACHE_PREFIX_START_H_
#define RWKVD_CORE_ENGINE_CACHE_PREFIX_START_H_

#include <cstdint>
#include <string>
#include <utility>

namespace rwkvd {

// What the tokens of a stored prefix follow, and who may use it: prefixes of
// different partitions never meet. A value.
struct PrefixStart {
  int32_t initial_state = 0;  // index
  std::string partition;      // opaque; see GenerateRequest::cache_partition

  // Implicit, for the prefixes of a server with one partition.
  PrefixStart(int32_t state, std::string owner = "")  // NOLINT
      : initial_state(state), partition(std::move(owner)) {}

  friend bool operator==(const PrefixStart&, const PrefixStart&) = default;
  template <typename H>
  friend H AbslHashValue(H hash, const PrefixStart& start) {
    return H::combine(std::move(hash), start.initial_state, start.partition);
  }
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_CACHE_PREFIX_START_H_
