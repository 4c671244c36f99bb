// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_COMMAND_LINE_H_
#define RWKVD_CLI_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// What a command line says besides the values of flags. A value.
struct CommandLine {
  std::vector<std::string> arguments;  // what is no flag, in order
  bool help = false;                   // --help or -h
  bool version = false;                // --version
};

// The value of a flag that may be given several times: each of its values, in
// order. Every time it is given adds one.
struct RepeatedFlag {
  std::vector<std::string> values;
};

// How Abseil stores and reads it: each value is followed by a zero byte, which
// no argument can hold.
bool AbslParseFlag(absl::string_view text, RepeatedFlag* flag,
                   std::string* error);
std::string AbslUnparseFlag(const RepeatedFlag& flag);

// Reads `args` (without the program's name) into the Abseil flags defined in
// `files` (paths from the repository's root). Abseil's own parser is not used:
// it ends the process itself and accepts the flags of every library linked in.
// InvalidArgument names the flag that is unknown, lacks its value or has one
// that cannot be read; flags before it stay set.
//
// Written "--name=value", "--name value", or for a truth value "--name" and
// "--noname"; "--" ends the flags.
absl::StatusOr<CommandLine> ParseCommandLine(
    absl::Span<const std::string> args,
    absl::Span<const absl::string_view> files);

// The one of `names` that `unknown` was probably meant to be: at most two
// letters away. Empty, if none is so near or `unknown` is of two letters
// itself.
std::string NearestName(absl::string_view unknown,
                        absl::Span<const std::string> names);

// The flags defined in `files`, by file and name: what each means, and its
// default.
std::string DescribeFlags(absl::Span<const absl::string_view> files);

}  // namespace rwkvd

#endif  // RWKVD_CLI_COMMAND_LINE_H_
