// SPDX-License-Identifier: Apache-2.0
#include "core/text/byte_trie.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// The sorted entries whose keys begin with one node's prefix.
struct Range {
  size_t begin;
  size_t end;
  size_t depth;  // length of the prefix
};

}  // namespace

ByteTrie::ByteTrie(std::vector<Entry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.key < b.key; });
  for (const Entry& entry : entries) {
    if (entry.key.empty()) continue;  // refused below
    has_key_from_[static_cast<uint8_t>(entry.key[0])] = true;
  }
  std::vector<Range> nodes = {{0, entries.size(), 0}};
  label_.push_back('\0');
  for (size_t n = 0; n < nodes.size(); ++n) {
    auto [begin, end, depth] = nodes[n];
    first_child_.push_back(static_cast<uint32_t>(nodes.size()));
    value_.push_back(-1);
    if (begin < end && entries[begin].key.size() == depth) {
      RWKVD_CHECK(depth > 0 && entries[begin].value >= 0);
      value_.back() = entries[begin++].value;
    }
    while (begin < end) {
      RWKVD_CHECK(entries[begin].key.size() > depth);  // keys are unique
      const char label = entries[begin].key[depth];
      size_t next = begin + 1;
      while (next < end && entries[next].key.size() > depth &&
             entries[next].key[depth] == label) {
        ++next;
      }
      nodes.push_back({begin, next, depth + 1});
      label_.push_back(label);
      begin = next;
    }
  }
  first_child_.push_back(static_cast<uint32_t>(nodes.size()));
}

ByteTrie::Match ByteTrie::LongestPrefix(absl::string_view text) const {
  Match longest;
  Node node = kRoot;
  for (size_t i = 0; i < text.size(); ++i) {
    node = Child(node, text[i]);
    if (node == kRoot) break;
    if (value_[node] >= 0) longest = {value_[node], i + 1};
  }
  return longest;
}

ByteTrie::Node ByteTrie::Child(Node node, char byte) const {
  const char* const labels = label_.data() + first_child_[node];
  const size_t num_children = first_child_[node + 1] - first_child_[node];
  const void* const found = std::memchr(labels, byte, num_children);
  if (found == nullptr) return kRoot;
  return static_cast<Node>(static_cast<const char*>(found) - label_.data());
}

}  // namespace rwkvd
