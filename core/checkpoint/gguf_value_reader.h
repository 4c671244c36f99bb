// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGUF_VALUE_READER_H_
#define RWKVD_CORE_CHECKPOINT_GGUF_VALUE_READER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/file_error.h"
#include "core/checkpoint/byte_reader.h"
#include "core/checkpoint/gguf_values.h"

namespace rwkvd {

// Read parts of a GGUF header from the position of `reader`, whose bytes the
// results view. Return InvalidArgument, with `where`, if the file is truncated
// or malformed. Take time that is proportional to the bytes that they read.

// A string: its length (u64) and its characters. InvalidArgument if it has more
// than `max_bytes`.
absl::StatusOr<absl::string_view> ReadGgufText(ByteReader& reader,
                                               const FileError& where,
                                               uint64_t max_bytes);

// The value of a key: its type (u32), and a number, a string or an array of
// numbers or strings. As in llama.cpp, there are no arrays of arrays.
absl::StatusOr<GgufValue> ReadGgufValue(ByteReader& reader,
                                        const FileError& where);

// The error that the file ends within the part that `where` names.
absl::Status TruncatedGguf(const ByteReader& reader, const FileError& where);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGUF_VALUE_READER_H_
