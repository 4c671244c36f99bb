// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_STOP_MATCHER_H_
#define RWKVD_CORE_ENGINE_STOP_MATCHER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Finds the first of several byte strings in a stream that arrives in pieces,
// and holds back exactly those bytes that may still be the beginning of one:
// the longest end of the stream that is a proper prefix of a stop string.
//
// Owned by one sequence; thread-compatible. What it finds does not depend on
// how the stream is cut. Each byte costs amortised constant time per string.
class StopMatcher {
 public:
  struct Result {
    // Bytes now known to come before any stop string.
    std::string released;
    // Index of the string that ended the stream: the one whose end comes
    // first; of several that end together the longest.
    std::optional<int64_t> hit;
  };

  // None of `stops` is empty.
  explicit StopMatcher(std::vector<std::string> stops);

  // Must not be called after a hit. Bytes after a hit are dropped.
  Result Append(absl::string_view bytes);

  // Ends the stream: the bytes held back. None after a hit.
  std::string Flush();

  // What is held back now. A matcher to which just this was given goes on as
  // this one does.
  const std::string& held_back() const { return held_back_; }

  const std::vector<std::string>& stops() const { return stops_; }

 private:
  // One string's Knuth-Morris-Pratt automaton.
  struct Automaton {
    // [size + 1]: the longest proper prefix of the first i bytes that is also
    // an end of them.
    std::vector<int32_t> border;
    // The longest prefix of the string that the stream ends with.
    int32_t matched = 0;
  };

  // The string that `byte` completes, if any.
  std::optional<int64_t> Advance(char byte);
  int32_t LongestPartialMatch() const;

  const std::vector<std::string> stops_;
  std::vector<Automaton> automata_;  // of each of stops_
  std::string held_back_;
  bool ended_ = false;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_STOP_MATCHER_H_
