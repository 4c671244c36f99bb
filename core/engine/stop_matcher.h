// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_STOP_MATCHER_H_
#define RWKVD_CORE_ENGINE_STOP_MATCHER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd {

// Finds the first of several stop strings in a stream of bytes. Withholds
// exactly those bytes that may still be the beginning of a stop string: the
// longest suffix of the stream that is a proper prefix of one.
//
// Owned by one sequence; thread-compatible. The result does not depend on how
// the stream is split. Each byte costs amortized constant time per stop string.
class StopMatcher {
 public:
  struct Result {
    // Bytes that are now known to come before any stop string.
    std::string released;
    // Index of the stop string that ended the stream: the one that ends first,
    // or the longest of several that end together.
    std::optional<int64_t> hit;
  };

  // None of `stops` is empty.
  explicit StopMatcher(std::vector<std::string> stops);

  // Adds bytes to the stream, dropping those after a hit. Must not be called
  // after a hit.
  Result Append(absl::string_view bytes);

  // Ends the stream and returns the withheld bytes; none after a hit.
  std::string Flush();

  // The withheld bytes. They are the matcher's whole memory: a new matcher of
  // the same strings that is given these bytes behaves like this one.
  const std::string& withheld() const { return withheld_; }

  const std::vector<std::string>& stops() const { return stops_; }

 private:
  // The Knuth-Morris-Pratt automaton of one stop string.
  struct Automaton {
    // [size + 1]: length of the longest proper prefix of the first i bytes that
    // is also a suffix of them.
    std::vector<int32_t> border;
    // Length of the longest prefix of the string that the stream ends with.
    int32_t matched = 0;
  };

  // The index of the stop string that `byte` completes, if any.
  std::optional<int64_t> Advance(char byte);
  int32_t LongestPartialMatch() const;

  const std::vector<std::string> stops_;
  std::vector<Automaton> automata_;  // one for each of stops_
  std::string withheld_;
  bool ended_ = false;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_STOP_MATCHER_H_
