// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_CALL_USE_H_
#define RWKVD_SERVICE_CALLS_CALL_USE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/sink.h"

namespace rwkvd {

// What the requests of one call have used of the engine, for the log and for
// traces. Thread-compatible.
class CallUse {
 public:
  // A request has ended, which was received with the call and ran at the same
  // time as the call's other ones: a sample, or a score.
  void AddRequest(const FinishEvent& event);
  // A request has ended that follows the call's other ones: a part of a
  // document.
  void AddPart(const FinishEvent& event);

  // Whether any request has ended.
  bool has_requests() const { return times_.has_value(); }
  // Prompt tokens of one sample, which all share, and generated tokens of all.
  const Usage& usage() const { return usage_; }
  // The times until the first request was admitted, until its prompt was
  // computed, and until the last request ended. For a document, sums over its
  // parts. Valid if has_requests().
  const Times& times() const { return *times_; }
  // The reasons why requests ended, each once, in the order in which they first
  // occurred.
  const std::vector<FinishReason>& reasons() const { return reasons_; }
  // The names of these reasons, separated by commas.
  std::string ReasonNames() const;

 private:
  void AddReason(FinishReason reason);

  Usage usage_;
  std::optional<Times> times_;
  std::vector<FinishReason> reasons_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_CALL_USE_H_
