// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_BYTE_TRIE_H_
#define RWKVD_CORE_TEXT_BYTE_TRIE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// Finds the longest of a fixed set of byte strings that a text begins with.
//
// Owned by a tokenizer. Thread-safe (immutable).
//
// Nodes are numbered in breadth-first order, so the children of a node are
// adjacent, and those of the next node follow them. A node consists of the
// index of its first child, its value, and the byte that leads to it.
class ByteTrie {
 public:
  struct Entry {
    absl::string_view key;  // not empty, unique
    int32_t value;          // >= 0
  };

  struct Match {
    int32_t value = -1;  // -1: no key is a prefix of the text
    size_t length = 0;   // of the key, in bytes
  };

  // The total length of the keys is below 2^31. The keys need not outlive the
  // constructor.
  explicit ByteTrie(std::vector<Entry> entries);

  // Returns whether a key begins with this byte.
  bool HasKeyFrom(char first) const {
    return has_key_from_[static_cast<uint8_t>(first)];
  }

  // Returns the longest key that is a prefix of `text`.
  Match LongestPrefix(absl::string_view text) const;

  // The nodes, for algorithms on the trie. Parents have lower numbers than
  // their children.
  using Node = uint32_t;
  static constexpr Node kRoot = 0;

  Node num_nodes() const { return static_cast<Node>(value_.size()); }
  // Returns the child to which this byte leads, or kRoot if there is none.
  Node Child(Node node, char byte) const;
  // Returns the children [FirstChild(node), FirstChild(node + 1)).
  Node FirstChild(Node node) const { return first_child_[node]; }
  // Returns the byte that leads to the node, which is not the root.
  char Label(Node node) const { return label_[node]; }
  // Returns the value of the key that ends at the node, or -1.
  int32_t Value(Node node) const { return value_[node]; }

 private:
  // The children of node n are first_child_[n] to first_child_[n + 1] - 1.
  std::vector<uint32_t> first_child_;  // [nodes + 1]
  std::vector<int32_t> value_;         // [nodes], -1: no key ends here
  std::vector<char> label_;            // [nodes], ascending among siblings
  std::array<bool, 256> has_key_from_{};
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_BYTE_TRIE_H_
