// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/reference.h"

#include "core/base/check.h"
#include "tests/testing/reference_rwkv4.h"
#include "tests/testing/reference_rwkv5.h"
#include "tests/testing/reference_rwkv6.h"
#include "tests/testing/reference_rwkv7.h"

namespace rwkvd::testing {

Logits Reference(Architecture architecture, const TestTensors& tensors,
                 absl::Span<const int32_t> tokens,
                 const ReferenceOptions& options) {
  switch (architecture) {
    case Architecture::kRwkv4:
      RWKVD_CHECK(options.initial_state.empty());
      return ReferenceRwkv4(tensors, tokens);
    case Architecture::kRwkv50:
    case Architecture::kRwkv51:
    case Architecture::kRwkv52:
      return ReferenceRwkv5(tensors, tokens, options);
    case Architecture::kRwkv6:
      return ReferenceRwkv6(tensors, tokens, options);
    case Architecture::kRwkv7:
      return ReferenceRwkv7(tensors, tokens, options);
  }
  RWKVD_CHECK(false);
}

}  // namespace rwkvd::testing
