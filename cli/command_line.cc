// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

using Files = absl::Span<const absl::string_view>;

absl::CommandLineFlag* FindFlag(absl::string_view name, Files files) {
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  if (flag == nullptr) return nullptr;
  const bool ours =
      std::any_of(files.begin(), files.end(), [flag](absl::string_view file) {
        return absl::EndsWith(flag->Filename(), file);
      });
  return ours ? flag : nullptr;
}

// The number of letters to insert, delete or change to turn `a` into `b`.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() +
                          1);  // distances from a prefix of a to those of b
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

// ", did you mean --NAME?", or empty if no flag has a similar name.
std::string Suggestion(absl::string_view unknown, Files files) {
  std::vector<std::string> names;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (FindFlag(name, files) != nullptr) names.emplace_back(name);
  }
  const std::string nearest = NearestName(unknown, names);
  return nearest.empty() ? "" : absl::StrCat(", did you mean --", nearest, "?");
}

// Whether the values of the flag are of type T.
template <typename T>
bool Holds(const absl::CommandLineFlag& flag) {
  return flag.IsOfType<T>() || flag.IsOfType<std::optional<T>>();
}

// Whether the flag may be given without a value.
bool IsBoolean(const absl::CommandLineFlag& flag) { return Holds<bool>(flag); }

// What a value of the flag looks like, for types whose parser in Abseil gives
// no reason; empty for others.
absl::string_view ExpectedValue(const absl::CommandLineFlag& flag) {
  if (IsBoolean(flag)) return "expected true or false";
  if (Holds<absl::Duration>(flag)) {
    return "expected a duration with its unit, such as 90s, 1h30m or inf";
  }
  if (Holds<float>(flag) || Holds<double>(flag)) return "expected a number";
  if (Holds<int32_t>(flag)) return "expected an integer of 32 bits";
  if (Holds<int64_t>(flag)) return "expected an integer of 64 bits";
  if (Holds<uint64_t>(flag)) return "expected an unsigned integer of 64 bits";
  return "";
}

// The parts of "--name=value".
struct Word {
  std::string name;
  std::optional<std::string> value;
};

Word Split(absl::string_view arg) {
  absl::ConsumePrefix(&arg, "-");
  absl::ConsumePrefix(&arg, "-");
  const size_t equals = arg.find('=');
  if (equals == absl::string_view::npos) return {std::string(arg), {}};
  return {std::string(arg.substr(0, equals)),
          std::string(arg.substr(equals + 1))};
}

absl::Status Set(absl::CommandLineFlag& flag, absl::string_view value) {
  std::string error;
  if (flag.IsOfType<RepeatedFlag>()) {
    RepeatedFlag one{{std::string(value)}};
    flag.ParseFrom(flag.CurrentValue() + AbslUnparseFlag(one), &error);
    return absl::OkStatus();
  }
  if (flag.ParseFrom(value, &error)) return absl::OkStatus();
  // Abseil's message begins with the flag and its value, as ours does.
  const std::string known = absl::StrCat(
      "Illegal value '", value, "' specified for flag '", flag.Name(), "'");
  absl::string_view reason = error;
  absl::ConsumePrefix(&reason, known);
  absl::ConsumePrefix(&reason, "; ");
  if (reason.empty()) reason = ExpectedValue(flag);
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag.Name(), ": cannot read ", Quoted(value),
                   reason.empty() ? "" : ": ", reason));
}

// Sets the flag at args[*i], and moves *i to the last argument of the flag.
// Returns the name of the flag.
absl::StatusOr<std::string> SetFlagAt(absl::Span<const std::string> args,
                                      Files files, size_t* i) {
  Word word = Split(args[*i]);
  absl::CommandLineFlag* flag = FindFlag(word.name, files);
  absl::string_view negated = word.name;
  if (flag == nullptr && absl::ConsumePrefix(&negated, "no")) {
    flag = FindFlag(negated, files);
    if (flag != nullptr && IsBoolean(*flag) && !word.value) {
      RWKVD_RETURN_IF_ERROR(Set(*flag, "false"));
      return std::string(negated);
    }
    flag = nullptr;
  }
  if (flag == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("unknown flag ", args[*i],
                                                   Suggestion(word.name, files),
                                                   " (--help lists them)"));
  }
  if (!word.value && IsBoolean(*flag)) word.value = "true";
  if (!word.value) {
    if (*i + 1 == args.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", word.name, ": the value is missing"));
    }
    word.value = args[++*i];
  }
  RWKVD_RETURN_IF_ERROR(Set(*flag, *word.value));
  return word.name;
}

// The flags that are defined in `files`, sorted by name.
std::vector<std::pair<std::string, absl::CommandLineFlag*>> SortedFlags(
    Files files) {
  std::vector<std::pair<std::string, absl::CommandLineFlag*>> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (FindFlag(name, files) == nullptr) continue;
    flags.emplace_back(name, flag);
  }
  std::sort(flags.begin(), flags.end());
  return flags;
}

// Appends `text` in lines of at most kWidth characters, which are indented by
// six spaces.
void AppendWrapped(absl::string_view text, std::string* out) {
  constexpr size_t kWidth = 80;
  constexpr absl::string_view kIndent = "      ";
  std::string line;
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (!line.empty() &&
        kIndent.size() + line.size() + 1 + word.size() > kWidth) {
      absl::StrAppend(out, kIndent, line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  absl::StrAppend(out, kIndent, line, "\n");
}

}  // namespace

bool AbslParseFlag(absl::string_view text, RepeatedFlag* flag, std::string*) {
  flag->values.clear();
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\0', begin), text.size());
    flag->values.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return true;
}

std::string AbslUnparseFlag(const RepeatedFlag& flag) {
  std::string text;
  for (const std::string& value : flag.values) {
    text.append(value).push_back('\0');
  }
  return text;
}

absl::StatusOr<CommandLine> ParseCommandLine(absl::Span<const std::string> args,
                                             Files files) {
  CommandLine line;
  bool flags_ended = false;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (flags_ended || arg.size() < 2 || arg[0] != '-') {
      line.arguments.push_back(arg);
    } else if (arg == "--") {
      flags_ended = true;
    } else if (arg == "--help" || arg == "-h") {
      line.help = true;
    } else if (arg == "--version") {
      line.version = true;
    } else {
      RWKVD_ASSIGN_OR_RETURN(std::string name, SetFlagAt(args, files, &i));
      line.flags.insert(std::move(name));
    }
  }
  return line;
}

std::string NearestName(absl::string_view unknown,
                        absl::Span<const std::string> names) {
  constexpr size_t kMostDistance = 2;
  // Every name of two letters would be a match.
  if (unknown.size() <= kMostDistance) return "";
  std::string nearest;
  size_t distance = kMostDistance + 1;
  for (const std::string& name : names) {
    const size_t other = EditDistance(unknown, name);
    if (other > distance || (other == distance && name >= nearest)) continue;
    distance = other;
    nearest = name;
  }
  return distance > kMostDistance ? "" : nearest;
}

std::vector<std::string> ChangedFlags(Files files) {
  std::vector<std::string> lines;
  for (const auto& [name, flag] : SortedFlags(files)) {
    const std::string value = flag->CurrentValue();
    const std::string standard = flag->DefaultValue();
    if (value == standard) continue;
    if (const auto repeated = flag->TryGet<RepeatedFlag>()) {
      for (const std::string& one : repeated->values) {
        lines.push_back(absl::StrCat("--", name, "=", one));
      }
      continue;
    }
    lines.push_back(absl::StrCat("--", name, "=", value));
    if (!standard.empty()) {
      absl::StrAppend(&lines.back(), " (default ", standard, ")");
    }
  }
  return lines;
}

std::string DescribeFlags(Files files) {
  std::string text;
  for (const auto& [name, flag] : SortedFlags(files)) {
    const std::string value = flag->DefaultValue();
    absl::StrAppend(&text, "  --", name, "\n");
    AppendWrapped(value.empty()
                      ? flag->Help()
                      : absl::StrCat(flag->Help(), " Default: ", value, "."),
                  &text);
  }
  return text;
}

}  // namespace rwkvd
