// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_GGUF_WRITER_H_
#define RWKVD_TESTS_TESTING_GGUF_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd::testing {

// Builds GGUF files, valid and invalid ones. A value.
class GgufWriter {
 public:
  // Adds a key with a value of the type with this number, whose bytes are given
  // as they are in the file.
  GgufWriter& Key(absl::string_view key, uint32_t type,
                  absl::string_view bytes);
  GgufWriter& U32(absl::string_view key, uint32_t value);
  GgufWriter& F32(absl::string_view key, float value);
  GgufWriter& Text(absl::string_view key, absl::string_view value);
  GgufWriter& Texts(absl::string_view key,
                    const std::vector<std::string>& values);
  GgufWriter& I32s(absl::string_view key, const std::vector<int32_t>& values);

  // Adds a tensor of the type with this number. `dims` begin with the dimension
  // that varies fastest.
  GgufWriter& Tensor(absl::string_view name, std::vector<uint64_t> dims,
                     uint32_t type, std::string bytes);
  GgufWriter& Floats(absl::string_view name, std::vector<uint64_t> dims,
                     const std::vector<float>& values);
  // Adds a tensor of so many bytes, all of which are zero.
  GgufWriter& Zeros(absl::string_view name, std::vector<uint64_t> dims,
                    uint32_t type, uint64_t num_bytes);

  // Of what follows, tests change one thing at a time.
  uint32_t version = 3;
  uint64_t alignment = 32;    // of the data; does not add the key
  int64_t extra_tensors = 0;  // added to the number of tensors
  int64_t extra_keys = 0;     // added to the number of keys
  int64_t first_offset = 0;   // added to the offset of the first tensor
  int64_t second_offset = 0;  // added to the offset of the second one

  std::string Bytes() const;

  // Writes the same bytes to a file, in which the tensors added by Zeros are
  // holes that take no space on the disk. Returns its size.
  uint64_t WriteOrDie(const std::string& path) const;

 private:
  struct Entry {
    std::string info;        // name, shape and type
    std::string bytes;       // the data
    uint64_t num_zeros = 0;  // bytes behind them
  };

  // The bytes before the data. Sets `*offsets` to those of the tensors in the
  // data, and at last the size of the data.
  std::string Header(std::vector<uint64_t>* offsets) const;

  std::vector<std::string> keys_;
  std::vector<Entry> tensors_;
};

// The bytes of a string in a GGUF file: its length and its characters.
std::string GgufString(absl::string_view text);

// The `size` lowest bytes of a number, little-endian.
std::string LittleEndian(uint64_t number, size_t size);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_GGUF_WRITER_H_
