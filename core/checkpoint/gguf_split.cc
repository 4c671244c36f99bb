// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf_split.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/base/file_error.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kIndexKey = "split.no";
constexpr absl::string_view kCountKey = "split.count";
constexpr absl::string_view kTensorsKey = "split.tensors.count";

constexpr size_t kDigits = 5;        // of a number in a file name
constexpr int64_t kMaxParts = 1000;  // far above what models have

// Removes the five digits at the end of `text`.
bool ConsumeNumber(absl::string_view* text, int* number) {
  if (text->size() < kDigits) return false;
  const absl::string_view digits = text->substr(text->size() - kDigits);
  text->remove_suffix(kDigits);
  return std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(digits, number);
}

std::string PartName(absl::string_view stem, int64_t number, int64_t count) {
  return absl::StrFormat("%s-%05d-of-%05d.gguf", stem, number, count);
}

std::string NameOf(const GgufValues& file) {
  return fs::path(file.path()).filename().string();
}

// An integer, or `missing` if there is none.
absl::StatusOr<int64_t> IntegerOr(const GgufValues& values,
                                  absl::string_view key, int64_t missing) {
  RWKVD_ASSIGN_OR_RETURN(const std::optional<int64_t> value,
                         values.Integer(key));
  return value.value_or(missing);
}

}  // namespace

std::optional<GgufPart> ParseGgufPart(absl::string_view name) {
  GgufPart part;
  if (!absl::ConsumeSuffix(&name, ".gguf") ||
      !ConsumeNumber(&name, &part.count) ||
      !absl::ConsumeSuffix(&name, "-of-") ||
      !ConsumeNumber(&name, &part.number) || !absl::ConsumeSuffix(&name, "-")) {
    return std::nullopt;
  }
  part.stem = name;
  return part;
}

absl::StatusOr<std::vector<std::string>> OtherGgufParts(
    const GgufValues& first) {
  const FileError error(first.path());
  RWKVD_ASSIGN_OR_RETURN(const int64_t count, IntegerOr(first, kCountKey, 1));
  RWKVD_ASSIGN_OR_RETURN(const int64_t index, IntegerOr(first, kIndexKey, 0));
  if (count <= 1) return std::vector<std::string>();
  if (count > kMaxParts) {
    return error("has ", count, " parts, the limit is ", kMaxParts);
  }
  const std::string name = NameOf(first);
  const std::optional<GgufPart> part = ParseGgufPart(name);
  if (index != 0) {
    const absl::string_view stem = part.has_value() ? part->stem : "NAME";
    return error("is part ", index + 1, " of ", count, "; open the first one, ",
                 PartName(stem, 1, count));
  }
  if (!part.has_value() || part->number != 1 || part->count != count) {
    return error("is the first of ", count, " parts; expected a name like ",
                 PartName("NAME", 1, count),
                 ", which gives the names of the others");
  }
  std::vector<std::string> others;
  for (int64_t number = 2; number <= count; ++number) {
    others.push_back((fs::path(first.path()).parent_path() /
                      PartName(part->stem, number, count))
                         .string());
  }
  return others;
}

absl::Status CheckGgufPart(const GgufValues& part, int index, int count) {
  RWKVD_ASSIGN_OR_RETURN(const int64_t own_index,
                         IntegerOr(part, kIndexKey, 0));
  RWKVD_ASSIGN_OR_RETURN(const int64_t own_count,
                         IntegerOr(part, kCountKey, 1));
  if (own_index == index && own_count == count) return absl::OkStatus();
  return FileError(part.path())("expected part ", index + 1, " of ", count,
                                ", got part ", own_index + 1, " of ",
                                own_count);
}

absl::Status CheckNumTensors(const GgufValues& first, size_t num_tensors) {
  RWKVD_ASSIGN_OR_RETURN(const std::optional<int64_t> expected,
                         first.Integer(kTensorsKey));
  if (!expected.has_value() || *expected == static_cast<int64_t>(num_tensors)) {
    return absl::OkStatus();
  }
  return FileError(first.path())
      .In("key", kTensorsKey)("expected ", *expected,
                              " tensors in all parts, got ", num_tensors);
}

}  // namespace rwkvd
