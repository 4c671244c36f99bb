// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_FUZZ_FUZZ_INPUT_H_
#define RWKVD_TESTS_FUZZ_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

// What each fuzz target defines: reads one input, and ends the process if that
// went wrong. Answers 0. The name and form are libFuzzer's.
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
