// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/trace_context.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace rwkvd {
namespace {

constexpr size_t kTraceIdDigits = 32;

// VERSION-TRACE_ID-PARENT_ID-FLAGS
constexpr size_t kTraceIdAt = 3;
constexpr size_t kParentIdAt = kTraceIdAt + kTraceIdDigits + 1;
constexpr size_t kFlagsAt = kParentIdAt + kSpanIdDigits + 1;
constexpr size_t kTraceparentSize = kFlagsAt + 2;

bool IsDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), IsDigit);
}

bool IsId(absl::string_view text) {
  return IsHex(text) && text.find_first_not_of('0') != absl::string_view::npos;
}

// The lowest bit of the flags.
bool IsSampled(absl::string_view flags) {
  const char digit = flags[1];
  return (digit <= '9' ? digit - '0' : digit - 'a' + 10) % 2 == 1;
}

bool IsPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= ' ' && c <= '~'; });
}

std::mt19937_64 NewGenerator() {
  std::random_device random;
  std::seed_seq seed{random(), random(), random(), random(),
                     random(), random(), random(), random()};
  return std::mt19937_64(seed);
}

}  // namespace

std::string RandomHex(size_t num_digits) {
  // One per thread, since the operating system's generator is slow.
  thread_local std::mt19937_64 generator = NewGenerator();
  std::string digits;
  do {
    digits = absl::StrFormat("%016x%016x", generator(), generator());
    digits.resize(num_digits);
  } while (!IsId(digits));
  return digits;
}

std::string TraceContext::ToTraceparent() const {
  return absl::StrCat("00-", trace_id, "-", span_id, sampled ? "-01" : "-00");
}

std::optional<TraceContext> ParseTraceparent(absl::string_view traceparent) {
  const absl::string_view text = traceparent;
  if (text.size() < kTraceparentSize) return std::nullopt;
  const absl::string_view version = text.substr(0, 2);
  if (!IsHex(version) || version == "ff") return std::nullopt;
  // Later versions may append fields.
  if (text.size() > kTraceparentSize &&
      (version == "00" || text[kTraceparentSize] != '-')) {
    return std::nullopt;
  }
  for (const size_t field : {kTraceIdAt, kParentIdAt, kFlagsAt}) {
    if (text[field - 1] != '-') return std::nullopt;
  }
  const absl::string_view trace_id = text.substr(kTraceIdAt, kTraceIdDigits);
  const absl::string_view parent_id = text.substr(kParentIdAt, kSpanIdDigits);
  const absl::string_view flags = text.substr(kFlagsAt, 2);
  if (!IsId(trace_id) || !IsId(parent_id) || !IsHex(flags)) {
    return std::nullopt;
  }
  TraceContext context;
  context.trace_id = std::string(trace_id);
  context.parent_id = std::string(parent_id);
  context.span_id = RandomHex(kSpanIdDigits);
  context.sampled = IsSampled(flags);
  return context;
}

TraceContext NewTrace(bool sampled) {
  TraceContext context;
  context.trace_id = RandomHex(kTraceIdDigits);
  context.span_id = RandomHex(kSpanIdDigits);
  context.sampled = sampled;
  return context;
}

TraceContext TraceContextOf(absl::string_view traceparent,
                            absl::string_view tracestate, bool sample_new) {
  std::optional<TraceContext> context = ParseTraceparent(traceparent);
  if (!context.has_value()) return NewTrace(sample_new);
  if (tracestate.size() <= kMaxTraceStateBytes && IsPrintable(tracestate)) {
    context->state = std::string(tracestate);
  }
  return *std::move(context);
}

}  // namespace rwkvd
