// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/call_spans.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace rwkvd {
namespace {

// Flags of a span: the lowest bits are those of W3C's Trace Context.
constexpr uint32_t kSampled = 0x01;
constexpr uint32_t kKnowsIfParentIsRemote = 0x100;
constexpr uint32_t kParentIsRemote = 0x200;

otlp::AnyValue* AddValue(absl::string_view key, otlp::Span* span) {
  otlp::KeyValue* const attribute = span->add_attributes();
  attribute->set_key(std::string(key));
  return attribute->mutable_value();
}

void AddText(absl::string_view key, std::string value, otlp::Span* span) {
  AddValue(key, span)->set_string_value(std::move(value));
}

void AddInteger(absl::string_view key, int64_t value, otlp::Span* span) {
  AddValue(key, span)->set_int_value(value);
}

void AddNumber(absl::string_view key, double value, otlp::Span* span) {
  AddValue(key, span)->set_double_value(value);
}

// The times of `span`, since the arrival of the call.
void SetTimes(const CallTrace& call, absl::Duration begin, absl::Duration end,
              otlp::Span* span) {
  const auto nanos = [&](absl::Duration since) {
    return static_cast<uint64_t>(absl::ToUnixNanos(call.received + since));
  };
  span->set_start_time_unix_nano(nanos(begin));
  span->set_end_time_unix_nano(nanos(end));
}

void AddRpc(const CallTrace& call, otlp::Span* span) {
  const std::pair<absl::string_view, absl::string_view> name =
      absl::StrSplit(call.rpc, absl::MaxSplits('/', 1));
  AddText("rpc.system", "grpc", span);
  AddText("rpc.service", std::string(name.first), span);
  AddText("rpc.method", std::string(name.second), span);
  AddInteger("rpc.grpc.status_code", call.status_code, span);
  AddText("network.peer.address", call.peer, span);
  AddText("rwkv.request_id", call.identity.request_id, span);
  if (call.status_code != 0) AddText("error.type", call.status, span);
}

void AddSettings(const GenerationSettings& settings, otlp::Span* span) {
  AddInteger("gen_ai.request.max_tokens", settings.max_tokens, span);
  AddInteger("gen_ai.request.choice.count", settings.num_samples, span);
  AddNumber("gen_ai.request.temperature", settings.temperature, span);
  AddNumber("gen_ai.request.top_p", settings.top_p, span);
  AddNumber("gen_ai.request.top_k", static_cast<double>(settings.top_k), span);
  AddNumber("gen_ai.request.presence_penalty", settings.presence_penalty, span);
  AddNumber("gen_ai.request.frequency_penalty", settings.frequency_penalty,
            span);
  AddInteger("gen_ai.request.seed", static_cast<int64_t>(settings.seed), span);
}

void AddGenAi(const CallTrace& call, otlp::Span* span) {
  AddText("gen_ai.operation.name", call.operation, span);
  AddText("gen_ai.provider.name", "rwkvd", span);
  AddText("gen_ai.request.model", call.model, span);
  AddText("gen_ai.response.model", call.model, span);
  if (call.settings.has_value()) AddSettings(*call.settings, span);
  if (call.usage.has_value()) {
    AddInteger("gen_ai.usage.input_tokens", call.usage->prompt_tokens, span);
    AddInteger("gen_ai.usage.cache_read.input_tokens",
               call.usage->cached_tokens, span);
    AddInteger("gen_ai.usage.output_tokens", call.usage->generated_tokens,
               span);
  }
  if (call.finish_reasons.empty()) return;
  otlp::ArrayValue* const reasons =
      AddValue("gen_ai.response.finish_reasons", span)->mutable_array_value();
  for (const std::string& reason : call.finish_reasons) {
    reasons->add_values()->set_string_value(reason);
  }
}

void SetIds(const CallTrace& call, const std::string& span_id,
            const std::string& parent_id, bool parent_is_remote,
            otlp::Span* span) {
  span->set_trace_id(absl::HexStringToBytes(call.identity.trace.trace_id));
  span->set_span_id(absl::HexStringToBytes(span_id));
  span->set_parent_span_id(absl::HexStringToBytes(parent_id));
  span->set_trace_state(call.identity.trace.state);
  span->set_flags(kSampled | kKnowsIfParentIsRemote |
                  (parent_is_remote ? kParentIsRemote : 0));
}

void AddCall(const CallTrace& call, otlp::ScopeSpans* spans) {
  otlp::Span* const span = spans->add_spans();
  const TraceContext& trace = call.identity.trace;
  SetIds(call, trace.span_id, trace.parent_id, !trace.parent_id.empty(), span);
  span->set_name(call.rpc);
  span->set_kind(otlp::Span::SPAN_KIND_SERVER);
  SetTimes(call, absl::ZeroDuration(), call.took, span);
  AddRpc(call, span);
  if (!call.operation.empty()) AddGenAi(call, span);
  if (call.status_code != 0) {
    span->mutable_status()->set_code(otlp::Status::STATUS_CODE_ERROR);
  }
}

void AddPhase(const CallTrace& call, const char* name, absl::Duration begin,
              absl::Duration end, otlp::ScopeSpans* spans) {
  otlp::Span* const span = spans->add_spans();
  SetIds(call, RandomHex(kSpanIdDigits), call.identity.trace.span_id,
         /*parent_is_remote=*/false, span);
  span->set_name(name);
  span->set_kind(otlp::Span::SPAN_KIND_INTERNAL);
  SetTimes(call, begin, end, span);
}

}  // namespace

otlp::ScopeSpans SpansOf(const CallTrace& call) {
  otlp::ScopeSpans spans;
  AddCall(call, &spans);
  if (call.times.has_value()) {
    const absl::Duration admitted = call.times->queue;
    const absl::Duration prefilled = admitted + call.times->prefill;
    AddPhase(call, "queue", absl::ZeroDuration(), admitted, &spans);
    if (prefilled > admitted) {
      AddPhase(call, "prefill", admitted, prefilled, &spans);
    }
    if (call.times->decode > absl::ZeroDuration()) {
      AddPhase(call, "decode", prefilled, prefilled + call.times->decode,
               &spans);
    }
  }
  if (call.first_write.has_value()) {
    AddPhase(call, "write", *call.first_write, call.took, &spans);
  }
  return spans;
}

}  // namespace rwkvd
