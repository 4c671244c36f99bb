// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_GREEDY_SPLITTER_H_
#define RWKVD_CORE_TEXT_GREEDY_SPLITTER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/text/byte_trie.h"

namespace rwkvd {

// Splits texts into keys of a trie: repeatedly takes the longest key that the
// rest of the text begins with. Takes O(n) time for n bytes, whatever the keys
// are, since no byte is read twice.
//
// Where no longer key can follow, the split of the bytes since the last cut is
// known in advance: each node has the keys that are then cut off, and the node
// of the bytes that remain (Song et al., "Fast WordPiece Tokenization", 2021).
//
// Owned by a tokenizer. Thread-safe (immutable).
class GreedySplitter {
 public:
  // Every single byte is a key. Takes time and memory that are proportional to
  // the total length of the keys.
  explicit GreedySplitter(ByteTrie trie);

  // Appends the values of the keys to `values`. Stops once there are more than
  // `max_values` in it, with one more than that.
  void Append(absl::string_view text, size_t max_values,
              std::vector<int32_t>* values) const;

 private:
  using Node = ByteTrie::Node;

  // The values of keys that are cut off together: those of the list
  // `previous`, and then cut_values_[begin, end). List 0 is empty.
  struct Cut {
    uint32_t previous;
    uint32_t begin;
    uint32_t end;
    uint32_t size;  // with those of `previous`
  };

  // Sets cut_ and rest_ of a node other than the root. Its parent and all nodes
  // of a lower depth are ready.
  void Prepare(Node node, Node parent);
  // Returns the list of `previous` and what was added to cut_values_ since it
  // had the size `begin`.
  uint32_t NewCut(uint32_t previous, size_t begin);
  void AppendCut(uint32_t cut, size_t max_values,
                 std::vector<int32_t>* values) const;

  const ByteTrie trie_;
  std::vector<uint32_t> cut_;  // by node: an index of cuts_
  std::vector<Node> rest_;     // by node
  std::vector<Cut> cuts_;
  std::vector<int32_t> cut_values_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_GREEDY_SPLITTER_H_
