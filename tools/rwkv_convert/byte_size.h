// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_BYTE_SIZE_H_
#define RWKVD_TOOLS_RWKV_CONVERT_BYTE_SIZE_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// A number of bytes, in notations such as "4GB", "500 MB", "1.5GiB" and "4096".
// kB, MB, ... are powers of 1000; KiB, MiB, ... are powers of 1024. The value
// of a flag.
struct ByteSize {
  int64_t bytes = 0;
};

// Accepts 1 byte or more.
bool AbslParseFlag(absl::string_view text, ByteSize* size, std::string* error);
std::string AbslUnparseFlag(const ByteSize& size);

// "3.1 GB", rounded, in powers of 1000.
std::string ShortBytes(int64_t bytes);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_BYTE_SIZE_H_
