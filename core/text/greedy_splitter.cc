// SPDX-License-Identifier: Apache-2.0
#include "core/text/greedy_splitter.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/check.h"

namespace rwkvd {

GreedySplitter::GreedySplitter(ByteTrie trie)
    : trie_(std::move(trie)),
      cut_(trie_.num_nodes()),
      rest_(trie_.num_nodes(), ByteTrie::kRoot),
      cuts_(1) {
  // The keys of one byte.
  RWKVD_CHECK(trie_.FirstChild(1) - trie_.FirstChild(0) == 256);
  for (Node parent = 0; parent < trie_.num_nodes(); ++parent) {
    const Node end = trie_.FirstChild(parent + 1);
    for (Node node = trie_.FirstChild(parent); node < end; ++node) {
      Prepare(node, parent);
    }
  }
}

void GreedySplitter::Prepare(Node node, Node parent) {
  const size_t begin = cut_values_.size();
  if (trie_.Value(node) >= 0) {
    cut_values_.push_back(trie_.Value(node));
    cut_[node] = NewCut(/*previous=*/0, begin);
    return;  // nothing remains
  }
  RWKVD_CHECK(parent != ByteTrie::kRoot);  // every single byte is a key
  // What remains of the parent's bytes, and this byte after it.
  Node rest = rest_[parent];
  Node next = trie_.Child(rest, trie_.Label(node));
  while (next == ByteTrie::kRoot) {
    AppendCut(cut_[rest], std::numeric_limits<uint32_t>::max(), &cut_values_);
    rest = rest_[rest];
    next = trie_.Child(rest, trie_.Label(node));
  }
  rest_[node] = next;
  cut_[node] =
      cut_values_.size() == begin ? cut_[parent] : NewCut(cut_[parent], begin);
}

uint32_t GreedySplitter::NewCut(uint32_t previous, size_t begin) {
  const auto first = static_cast<uint32_t>(begin);
  const auto end = static_cast<uint32_t>(cut_values_.size());
  cuts_.push_back({previous, first, end, cuts_[previous].size + (end - first)});
  return static_cast<uint32_t>(cuts_.size() - 1);
}

void GreedySplitter::AppendCut(uint32_t cut, size_t max_values,
                               std::vector<int32_t>* values) const {
  const size_t old_size = values->size();
  // More than max_values and one more are not needed.
  const size_t room = max_values + 1 - old_size;
  values->resize(old_size + std::min<size_t>(cuts_[cut].size, room));
  for (; cut != 0; cut = cuts_[cut].previous) {
    const Cut& part = cuts_[cut];
    size_t at = part.size - (part.end - part.begin);
    for (uint32_t i = part.begin; i < part.end && at < room; ++i, ++at) {
      (*values)[old_size + at] = cut_values_[i];
    }
  }
}

void GreedySplitter::Append(absl::string_view text, size_t max_values,
                            std::vector<int32_t>* values) const {
  Node node = ByteTrie::kRoot;
  for (const char byte : text) {
    Node next = trie_.Child(node, byte);
    while (next == ByteTrie::kRoot) {
      AppendCut(cut_[node], max_values, values);
      if (values->size() > max_values) return;
      node = rest_[node];
      next = trie_.Child(node, byte);
    }
    node = next;
  }
  for (; node != ByteTrie::kRoot; node = rest_[node]) {
    AppendCut(cut_[node], max_values, values);
    if (values->size() > max_values) return;
  }
}

}  // namespace rwkvd
