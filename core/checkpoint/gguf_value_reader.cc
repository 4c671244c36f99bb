// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/gguf_value_reader.h"

#include <cstddef>
#include <limits>

#include "absl/types/span.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

constexpr uint64_t kStringLengthBytes = 8;
// Of strings that only the end of the file bounds.
constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// Reads the strings of `array` without their number.
absl::Status ReadTexts(ByteReader& reader, const FileError& where,
                       GgufValue* array) {
  if (array->num_elements > reader.remaining() / kStringLengthBytes) {
    return TruncatedGguf(reader, where);
  }
  ByteReader begin = reader;
  for (uint64_t i = 0; i < array->num_elements; ++i) {
    RWKVD_RETURN_IF_ERROR(ReadGgufText(reader, where, kNoLimit).status());
  }
  begin.ReadBytes(reader.position() - begin.position(), &array->bytes);
  return absl::OkStatus();
}

absl::StatusOr<GgufValue> ReadArray(ByteReader& reader,
                                    const FileError& where) {
  uint32_t type = 0;
  GgufValue array{.type = GgufType::kArray};
  if (!reader.Read(&type, &array.num_elements)) {
    return TruncatedGguf(reader, where);
  }
  array.element_type = static_cast<GgufType>(type);
  if (array.element_type == GgufType::kString) {
    RWKVD_RETURN_IF_ERROR(ReadTexts(reader, where, &array));
    return array;
  }
  const uint64_t size = SizeOf(array.element_type);
  if (size == 0) {
    return where(
        "expected an array of numbers or strings, got elements of type ", type);
  }
  if (array.num_elements > reader.remaining() / size ||
      !reader.ReadBytes(array.num_elements * size, &array.bytes)) {
    return TruncatedGguf(reader, where);
  }
  return array;
}

}  // namespace

absl::StatusOr<absl::string_view> ReadGgufText(ByteReader& reader,
                                               const FileError& where,
                                               uint64_t max_bytes) {
  uint64_t size = 0;
  absl::string_view text;
  const size_t at = reader.position();
  if (!reader.Read(&size)) return TruncatedGguf(reader, where);
  if (size > max_bytes) {
    return where("the string at byte ", at, " has ", size,
                 " bytes, the limit is ", max_bytes);
  }
  if (!reader.ReadText(size, &text)) return TruncatedGguf(reader, where);
  return text;
}

absl::StatusOr<GgufValue> ReadGgufValue(ByteReader& reader,
                                        const FileError& where) {
  uint32_t type = 0;
  if (!reader.Read(&type)) return TruncatedGguf(reader, where);
  GgufValue value{.type = static_cast<GgufType>(type)};
  if (value.type == GgufType::kArray) return ReadArray(reader, where);
  if (value.type == GgufType::kString) {
    RWKVD_ASSIGN_OR_RETURN(const absl::string_view text,
                           ReadGgufText(reader, where, kNoLimit));
    value.bytes = absl::MakeConstSpan(
        reinterpret_cast<const std::byte*>(text.data()), text.size());
    return value;
  }
  const uint64_t size = SizeOf(value.type);
  if (size == 0) {
    return where("expected a type of value below 13, got ", type);
  }
  if (!reader.ReadBytes(size, &value.bytes)) {
    return TruncatedGguf(reader, where);
  }
  return value;
}

absl::Status TruncatedGguf(const ByteReader& reader, const FileError& where) {
  return where("the file ends here, at byte ",
               reader.position() + reader.remaining(), "; it may be truncated");
}

}  // namespace rwkvd
