// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_FUZZ_FUZZ_INPUT_H_
#define RWKVD_TESTS_FUZZ_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

// Defined by each fuzz target: processes one input, and aborts the process if
// an invariant is violated. Returns 0. libFuzzer prescribes name and signature.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace rwkvd::testing {

inline absl::Span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

inline absl::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_FUZZ_FUZZ_INPUT_H_
