// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_MODULE_PATTERNS_H_
#define RWKVD_CORE_CHECKPOINT_MODULE_PATTERNS_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Numbers for modules whose names match regular expressions, as in the fields
// rank_pattern and alpha_pattern of PEFT. An expression must match the end of
// the name, from its beginning or after a dot. (huggingface/peft,
// get_pattern_key.)
//
// Thread-safe (immutable).
class ModulePatterns {
 public:
  ModulePatterns() = default;

  // Adds an expression with its number; the first one that matches counts.
  // InvalidArgument if the expression is malformed or too long, or if there are
  // too many.
  absl::Status Add(absl::string_view expression, double number);

  // The number for `module`, such as "rwkv7.blocks.0.att.key"; nothing if no
  // expression matches. InvalidArgument if matching takes too many steps.
  absl::StatusOr<std::optional<double>> Find(absl::string_view module) const;

 private:
  struct Expression;

  struct Entry {
    std::string text;
    std::shared_ptr<const Expression> compiled;
    double number;
  };

  std::vector<Entry> entries_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_MODULE_PATTERNS_H_
