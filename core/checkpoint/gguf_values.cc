// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf_values.h"

#include <bit>
#include <limits>

#include "core/base/check.h"
#include "core/base/file_error.h"
#include "core/checkpoint/byte_reader.h"

namespace rwkvd {
namespace {

constexpr int64_t kMaxInteger = std::numeric_limits<int32_t>::max();

absl::string_view Describe(const GgufValue& value) {
  switch (value.type) {
    case GgufType::kArray:
      return value.element_type == GgufType::kString ? "an array of strings"
                                                     : "an array of numbers";
    case GgufType::kString:
      return "a string";
    case GgufType::kBool:
      return "a bool";
    case GgufType::kF32:
    case GgufType::kF64:
      return "a real number";
    default:
      return "an integer";
  }
}

bool IsSigned(GgufType type) {
  return type == GgufType::kI8 || type == GgufType::kI16 ||
         type == GgufType::kI32 || type == GgufType::kI64;
}

// The bits of a number.
uint64_t BitsOf(const GgufValue& value) {
  uint64_t bits = 0;
  RWKVD_CHECK(ByteReader(value.bytes).ReadNumber(value.bytes.size(), &bits));
  return bits;
}

absl::string_view TextOf(absl::Span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

uint64_t SizeOf(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    default:
      return 0;
  }
}

const GgufValue* GgufValues::Find(absl::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

absl::Status GgufValues::WrongType(absl::string_view key,
                                   absl::string_view expected,
                                   const GgufValue& value) const {
  return FileError(path_).In("key", key)("expected ", expected, ", got ",
                                         Describe(value));
}

absl::StatusOr<std::optional<int64_t>> GgufValues::Integer(
    absl::string_view key) const {
  const GgufValue* const value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (Describe(*value) != "an integer") {
    return WrongType(key, "an integer", *value);
  }
  const uint64_t bits = BitsOf(*value);
  // A negative number is large if its sign is a bit like any other.
  const uint64_t sign = uint64_t{1} << (8 * value->bytes.size() - 1);
  const bool is_negative = IsSigned(value->type) && (bits & sign) != 0;
  if (is_negative || bits > static_cast<uint64_t>(kMaxInteger)) {
    return FileError(path_).In("key", key)("expected an integer from 0 to ",
                                           kMaxInteger);
  }
  return static_cast<int64_t>(bits);
}

absl::StatusOr<std::optional<double>> GgufValues::Real(
    absl::string_view key) const {
  const GgufValue* const value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type == GgufType::kF32) {
    return std::bit_cast<float>(static_cast<uint32_t>(BitsOf(*value)));
  }
  if (value->type == GgufType::kF64) {
    return std::bit_cast<double>(BitsOf(*value));
  }
  return WrongType(key, "a real number", *value);
}

absl::StatusOr<std::optional<absl::string_view>> GgufValues::Text(
    absl::string_view key) const {
  const GgufValue* const value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kString) {
    return WrongType(key, "a string", *value);
  }
  return TextOf(value->bytes);
}

absl::StatusOr<std::vector<absl::string_view>> GgufValues::Texts(
    absl::string_view key) const {
  const GgufValue* const value = Find(key);
  if (value == nullptr) return std::vector<absl::string_view>();
  if (value->type != GgufType::kArray ||
      value->element_type != GgufType::kString) {
    return WrongType(key, "an array of strings", *value);
  }
  std::vector<absl::string_view> texts(value->num_elements);
  ByteReader reader(value->bytes);
  for (absl::string_view& text : texts) {
    uint64_t size = 0;
    if (!reader.Read(&size) || !reader.ReadText(size, &text)) {
      return FileError(path_).In("key", key)("has changed since it was read");
    }
  }
  return texts;
}

absl::StatusOr<std::vector<int32_t>> GgufValues::Integers(
    absl::string_view key) const {
  const GgufValue* const value = Find(key);
  if (value == nullptr) return std::vector<int32_t>();
  if (value->type != GgufType::kArray ||
      (value->element_type != GgufType::kI32 &&
       value->element_type != GgufType::kU32)) {
    return WrongType(key, "an array of integers of 32 bits", *value);
  }
  std::vector<int32_t> integers(value->num_elements);
  ByteReader reader(value->bytes);
  for (int32_t& integer : integers) {
    uint32_t bits = 0;
    RWKVD_CHECK(reader.Read(&bits));
    integer = static_cast<int32_t>(bits);
  }
  return integers;
}

}  // namespace rwkvd
