// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_COMMAND_H_
#define RWKVD_TOOLS_RWKVCTL_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// One of rwkvctl's commands. A constant.
struct Command {
  absl::string_view name;
  absl::string_view arguments;                // "TEXT", for the usage line
  absl::string_view summary;                  // what it does, in some words
  absl::string_view help;                     // what it does, some lines
  absl::string_view examples;                 // of its use, a line each
  absl::Span<const absl::string_view> files;  // where its flags are defined
  // Runs with the arguments that are no flags; gives the exit code, or
  // InvalidArgument if they are wrong.
  absl::StatusOr<int> (*run)(const std::vector<std::string>& arguments);
};

extern const Command kGenerate;
extern const Command kChat;
extern const Command kTokenize;
extern const Command kDetokenize;
extern const Command kScore;
extern const Command kPerplexity;
extern const Command kModel;
extern const Command kPins;
extern const Command kHealth;
extern const Command kBench;

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_COMMAND_H_
