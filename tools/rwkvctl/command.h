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
  absl::string_view arguments;  // positional arguments, for the usage line
  absl::string_view summary;    // a few words, for the list of commands
  absl::string_view help;       // a few lines, for --help
  absl::string_view examples;   // one per line
  absl::Span<const absl::string_view> files;  // source files with its flags
  // Runs the command with its positional arguments. Returns the exit code, or
  // InvalidArgument if the arguments or flags are wrong.
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
extern const Command kAuth;

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_COMMAND_H_
