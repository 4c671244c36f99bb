// SPDX-License-Identifier: Apache-2.0
#include "core/text/bpe_word_encoder.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

namespace rwkvd {
namespace {

using Pieces = std::vector<BpeMerges::Piece>;

// A window shares this part of its bytes, one in kOverlap, with the window
// before it.
constexpr size_t kOverlap = 8;

// If two windows have no token in common, the word is encoded again with
// windows that are larger by this factor. Only words made for the purpose need
// that.
constexpr size_t kGrowth = 4;

// Memory for each byte of a window: its symbol, BpeMerges::Scratch, and two
// lists of pieces. A list that grows, grows to twice its size, and the old and
// the new one exist together.
constexpr int64_t kMemoryPerByte = sizeof(TokenId) +
                                   BpeMerges::kScratchBytesPerSymbol +
                                   2 * 3 * sizeof(BpeMerges::Piece);

// The first token that both lists have, as its indices in both. A token begins
// at the same position and has the same id.
std::optional<std::pair<size_t, size_t>> FirstCommon(const Pieces& a, size_t i,
                                                     const Pieces& b) {
  for (size_t j = 0; i < a.size() && j < b.size();) {
    if (a[i].position < b[j].position) {
      ++i;
    } else if (a[i].position > b[j].position) {
      ++j;
    } else if (a[i].id == b[j].id) {
      return std::make_pair(i, j);
    } else {
      ++i;
      ++j;
    }
  }
  return std::nullopt;
}

}  // namespace

int64_t BpeWordEncoder::MaxMemory(const BpeMerges& merges, int64_t word_bytes) {
  return kMemoryPerByte *
             std::min(word_bytes, static_cast<int64_t>(kMaxWindowBytes)) +
         BpeMerges::kScratchBytesPerRule * merges.num_rules();
}

bool BpeWordEncoder::Append(absl::string_view word, size_t max_ids,
                            std::vector<TokenId>* ids) {
  const size_t before = ids->size();
  for (size_t window_bytes = window_bytes_; window_bytes <= kMaxWindowBytes;
       window_bytes *= kGrowth) {
    if (AppendInWindows(word, window_bytes, max_ids, ids)) return true;
    ids->resize(before);
  }
  return false;
}

bool BpeWordEncoder::AppendInWindows(absl::string_view word,
                                     size_t window_bytes, size_t max_ids,
                                     std::vector<TokenId>* ids) {
  Merge(word, 0, window_bytes, &current_);
  size_t begin = 0;  // the first piece of current_ that is not in `ids`
  for (size_t end = window_bytes; end < word.size();) {
    const size_t overlap = std::max<size_t>(window_bytes / kOverlap, 1);
    const auto first = std::partition_point(
        current_.begin() + static_cast<int64_t>(begin), current_.end() - 1,
        [=](const BpeMerges::Piece& piece) {
          return piece.position < end - overlap;
        });
    const size_t next_begin = first->position;
    Merge(word, next_begin, window_bytes, &next_);
    const auto common = FirstCommon(
        current_, static_cast<size_t>(first - current_.begin()), next_);
    const size_t next_end = next_begin + window_bytes;
    if (!common.has_value() || next_end <= end) return false;
    for (; begin < common->first; ++begin) {
      ids->push_back(current_[begin].id);
      if (ids->size() > max_ids) return true;
    }
    std::swap(current_, next_);
    begin = common->second;
    end = next_end;
  }
  for (; begin < current_.size() && ids->size() <= max_ids; ++begin) {
    ids->push_back(current_[begin].id);
  }
  return true;
}

void BpeWordEncoder::Merge(absl::string_view word, size_t begin, size_t size,
                           Pieces* pieces) {
  symbols_.clear();
  for (const char c : word.substr(begin, size)) {
    symbols_.push_back(byte_ids_[static_cast<uint8_t>(c)]);
  }
  pieces->clear();
  merges_.Apply(symbols_, &scratch_, pieces);
  for (BpeMerges::Piece& piece : *pieces) {
    piece.position += static_cast<uint32_t>(begin);
  }
}

}  // namespace rwkvd
