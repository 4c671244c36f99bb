// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGUF_VALUES_H_
#define RWKVD_CORE_CHECKPOINT_GGUF_VALUES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// The types of values, with the numbers that files use.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// The size of a number in bytes; 0 for strings, arrays and unknown types.
uint64_t SizeOf(GgufType type);

// The value of a key. Views the file.
struct GgufValue {
  GgufType type = GgufType::kArray;
  GgufType element_type = GgufType::kArray;  // of an array
  uint64_t num_elements = 1;                 // of an array
  // The number, the characters of a string, or the elements of an array, in
  // which each string follows its length.
  absl::Span<const std::byte> bytes;
};

// The key-values of a GGUF file. Views the file, and is a value. Each function
// returns nothing if there is no such key, and InvalidArgument, with the file
// and the key, if the value has another type or is out of range.
class GgufValues {
 public:
  explicit GgufValues(std::string path) : path_(std::move(path)) {}

  // Returns false if `key` has been added before.
  bool Add(absl::string_view key, const GgufValue& value) {
    return values_.emplace(key, value).second;
  }

  // An integer of any type from 0 to 2^31 - 1.
  absl::StatusOr<std::optional<int64_t>> Integer(absl::string_view key) const;
  absl::StatusOr<std::optional<double>> Real(absl::string_view key) const;
  absl::StatusOr<std::optional<absl::string_view>> Text(
      absl::string_view key) const;
  // The elements of an array of strings, or of integers of type i32 or u32;
  // none if there is no such key.
  absl::StatusOr<std::vector<absl::string_view>> Texts(
      absl::string_view key) const;
  absl::StatusOr<std::vector<int32_t>> Integers(absl::string_view key) const;

  const std::string& path() const { return path_; }

 private:
  const GgufValue* Find(absl::string_view key) const;
  absl::Status WrongType(absl::string_view key, absl::string_view expected,
                         const GgufValue& value) const;

  std::string path_;
  absl::btree_map<absl::string_view, GgufValue> values_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGUF_VALUES_H_
