// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_TEXT_BLOCKS_H_
#define RWKVD_CORE_TEXT_TEXT_BLOCKS_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The size above which FirstBlock looks for the end of a block, in bytes.
inline constexpr size_t kMinBlockBytes = 64 << 10;

// The length of the first block of `text`, which is valid UTF-8 and not empty.
// A block ends between a character that is not white space and ASCII white
// space, where WordSplitter always ends a word and where Nfc changes nothing:
// the words of the text in normalized form are those of its blocks. A text
// without white space is one block.
size_t FirstBlock(absl::string_view text);

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_TEXT_BLOCKS_H_
