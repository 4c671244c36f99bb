// SPDX-License-Identifier: Apache-2.0
#include "core/engine/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace rwkvd {
namespace {

// The length of the longest prefix of `stop` that the stream ends with after
// `byte`, if that length was `matched`, less than all of `stop`, before.
int32_t NextMatched(absl::string_view stop, const std::vector<int32_t>& border,
                    int32_t matched, char byte) {
  while (matched > 0 && stop[matched] != byte) matched = border[matched];
  return stop[matched] == byte ? matched + 1 : 0;
}

std::vector<int32_t> BordersOf(absl::string_view stop) {
  std::vector<int32_t> border = {0, 0};
  border.reserve(stop.size() + 1);
  for (size_t i = 1; i < stop.size(); ++i) {
    border.push_back(NextMatched(stop, border, border.back(), stop[i]));
  }
  return border;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops)
    : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    RWKVD_CHECK(!stop.empty());
    automata_.push_back({BordersOf(stop)});
  }
}

StopMatcher::Result StopMatcher::Append(absl::string_view bytes) {
  RWKVD_CHECK(!ended_);
  Result result;
  for (const char byte : bytes) {
    withheld_.push_back(byte);
    result.hit = Advance(byte);
    if (!result.hit.has_value()) continue;
    ended_ = true;
    withheld_.resize(withheld_.size() - stops_[*result.hit].size());
    result.released = std::exchange(withheld_, "");
    return result;
  }
  const size_t released = withheld_.size() - LongestPartialMatch();
  result.released = withheld_.substr(0, released);
  withheld_.erase(0, released);
  return result;
}

std::string StopMatcher::Flush() {
  ended_ = true;
  return std::exchange(withheld_, "");
}

std::optional<int64_t> StopMatcher::Advance(char byte) {
  std::optional<int64_t> hit;
  for (size_t i = 0; i < stops_.size(); ++i) {
    Automaton& automaton = automata_[i];
    const absl::string_view stop = stops_[i];
    automaton.matched =
        NextMatched(stop, automaton.border, automaton.matched, byte);
    const bool complete =
        automaton.matched == static_cast<int32_t>(stop.size());
    if (complete && (!hit.has_value() || stop.size() > stops_[*hit].size())) {
      hit = i;
    }
  }
  return hit;
}

int32_t StopMatcher::LongestPartialMatch() const {
  int32_t longest = 0;
  for (const Automaton& automaton : automata_) {
    longest = std::max(longest, automaton.matched);
  }
  return longest;
}

}  // namespace rwkvd
