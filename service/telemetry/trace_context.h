// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_TELEMETRY_TRACE_CONTEXT_H_
#define RWKVD_SERVICE_TELEMETRY_TRACE_CONTEXT_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace rwkvd {

// The maximum size of a `tracestate`, which W3C's Trace Context sets.
inline constexpr size_t kMaxTraceStateBytes = 512;
// The digits of the id of a span.
inline constexpr size_t kSpanIdDigits = 16;

// Where a call is in a distributed trace, as in W3C's Trace Context (level 1).
// All ids are lowercase hexadecimal. A value.
struct TraceContext {
  std::string trace_id;   // 32 digits
  std::string parent_id;  // the client's span, 16 digits; empty: there is none
  std::string span_id;    // of this call, 16 digits
  bool sampled = false;   // whether the spans of this call are recorded
  std::string state;      // `tracestate`, which only its vendors understand

  // The `traceparent` of whatever this call causes.
  std::string ToTraceparent() const;
};

// The context of a call that arrives with this `traceparent`. Nothing if it is
// malformed. A version above 00 is read as far as version 00 defines it.
std::optional<TraceContext> ParseTraceparent(absl::string_view traceparent);

// The context of a call that begins a trace.
TraceContext NewTrace(bool sampled);

// The context of a call with the metadata `traceparent` and `tracestate`. If
// the first is malformed, both are ignored, and the call begins a trace.
TraceContext TraceContextOf(absl::string_view traceparent,
                            absl::string_view tracestate, bool sample_new);

// `num_digits` random hexadecimal digits, at most 32; never all zero. Unique,
// but not secret.
std::string RandomHex(size_t num_digits);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_TELEMETRY_TRACE_CONTEXT_H_
