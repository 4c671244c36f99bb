// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_COMMAND_LINE_H_
#define RWKVD_CLI_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// What a command line contains in addition to the values of flags. A value.
struct CommandLine {
  std::vector<std::string> arguments;      // those that are not flags, in order
  bool help = false;                       // --help or -h
  bool version = false;                    // --version
  absl::flat_hash_set<std::string> flags;  // the names of the given flags
};

// The value of a flag that may be given several times: one entry for each time,
// in order.
struct RepeatedFlag {
  std::vector<std::string> values;
};

// The form in which Abseil stores a RepeatedFlag: each value is followed by a
// zero byte, which no argument can contain.
bool AbslParseFlag(absl::string_view text, RepeatedFlag* flag,
                   std::string* error);
std::string AbslUnparseFlag(const RepeatedFlag& flag);

// Parses `args`, which do not include the program's name, into the Abseil flags
// that are defined in `files` (paths from the repository's root). Abseil's own
// parser would exit the process on an error, and would accept the flags of
// every linked library. InvalidArgument with the flag that is unknown, has no
// value, or has an invalid one; the flags before it stay set.
//
// A flag is written as "--name=value" or "--name value", and a boolean one also
// as "--name" or "--noname". "--" ends the flags.
absl::StatusOr<CommandLine> ParseCommandLine(
    absl::Span<const std::string> args,
    absl::Span<const absl::string_view> files);

// The one of `names` for which `unknown` is probably a typing error: the
// nearest with an edit distance of at most 2. Empty if there is none, or if
// `unknown` has at most two letters. (Abseil 20220623 suggests no flags.)
std::string NearestName(absl::string_view unknown,
                        absl::Span<const std::string> names);

// The flags that are defined in `files` and whose values differ from their
// defaults, sorted by name, as "--NAME=VALUE (default DEFAULT)". A RepeatedFlag
// has an entry for each of its values.
std::vector<std::string> ChangedFlags(
    absl::Span<const absl::string_view> files);

// A description of the flags that are defined in `files`, sorted by name: the
// help text and the default of each.
std::string DescribeFlags(absl::Span<const absl::string_view> files);

}  // namespace rwkvd

#endif  // RWKVD_CLI_COMMAND_LINE_H_
