// SPDX-License-Identifier: Apache-2.0
#include "service/calls/call_record.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/error_details.h"
#include "cli/grpc_status.h"
#include "core/base/monotonic_clock.h"
#include "service/telemetry/load_report.h"
#include "service/telemetry/request_identity.h"

namespace rwkvd {
namespace {

// Whether an operator must look at a call that ended like this.
bool IsServerFault(grpc::StatusCode code) {
  return code == grpc::StatusCode::INTERNAL ||
         code == grpc::StatusCode::UNKNOWN ||
         code == grpc::StatusCode::DATA_LOSS;
}

// The operation of a call by the conventions for generative models; empty for
// calls that do not run the model.
std::string OperationOf(Rpc rpc) {
  switch (rpc) {
    case Rpc::kGenerate:
    case Rpc::kVllmGenerate:
      return "text_completion";
    case Rpc::kScore:
    case Rpc::kScoreDocument:
      return "score";
    default:
      return "";
  }
}

LogField SecondsField(std::string name, absl::Duration duration) {
  return {std::move(name), absl::ToDoubleSeconds(duration)};
}

// Whether clients need to know that the call has ended before a response
// begins: gRPC's clients, to repeat it, and gateways, which otherwise begin an
// HTTP response with status 200.
bool EndsWithoutResponse(Rpc rpc, const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return false;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::UNAVAILABLE:
      return true;
    default:
      return rpc == Rpc::kVllmGenerate;
  }
}

}  // namespace

CallRecord::CallRecord(const CallEnvironment& environment, Rpc rpc,
                       std::string peer)
    : model_(environment.model),
      metrics_(environment.metrics),
      logs_calls_(environment.logs_calls),
      wants_load_report_(environment.wants_load_report),
      identity_(environment.identity),
      caller_(environment.caller),
      usage_log_(environment.usage_log),
      spans_(environment.identity.trace.sampled ? environment.spans : nullptr),
      rpc_(rpc),
      peer_(std::move(peer)),
      received_(MonotonicNow()),
      received_at_(absl::Now()) {
  metrics_->CallStarted(rpc_);
}

void CallRecord::RequestEnded(const FinishEvent& event) {
  absl::MutexLock lock(&mutex_);
  use_.AddRequest(event);
}

void CallRecord::PartEnded(const FinishEvent& event) {
  absl::MutexLock lock(&mutex_);
  use_.AddPart(event);
}

void CallRecord::Describe(const GenerateRequest& request, int32_t num_samples) {
  if (spans_ == nullptr) return;
  const SamplingParams& sampling = request.sampling;
  absl::MutexLock lock(&mutex_);
  settings_ = {.max_tokens = request.max_tokens,
               .num_samples = num_samples,
               .temperature = sampling.temperature,
               .top_p = sampling.top_p,
               .top_k = sampling.top_k,
               .presence_penalty = sampling.presence_penalty,
               .frequency_penalty = sampling.frequency_penalty,
               .seed = sampling.seed};
}

void CallRecord::Writing(grpc::ServerContextBase* context) {
  if (!has_responded_.exchange(true)) ReturnIdentity(identity_, context);
  NoteFirstWrite();
}

void CallRecord::NoteFirstWrite() {
  if (spans_ == nullptr) return;
  const absl::Duration now = MonotonicNow() - received_;
  absl::MutexLock lock(&mutex_);
  if (!first_write_.has_value()) first_write_ = now;
}

grpc::Status CallRecord::Finishing(const grpc::Status& status,
                                   grpc::ServerContextBase* context) {
  if (!EndsWithoutResponse(rpc_, status)) {
    Writing(context);
  } else {
    if (!has_responded_.exchange(true)) ReturnIdentityAtEnd(identity_, context);
    NoteFirstWrite();
  }
  if (wants_load_report_ && model_ != nullptr) {
    const ServerLoad load = LoadOf(*model_);
    absl::MutexLock lock(&mutex_);
    context->AddTrailingMetadata(kLoadReportKey,
                                 LoadReport(load, use_.usage()));
  }
  return WithErrorMetadata(status, kErrorRequestIdKey, identity_.request_id);
}

void CallRecord::End(const grpc::Status& status) {
  const absl::Duration took = MonotonicNow() - received_;
  metrics_->CallEnded(rpc_, status.error_code(), took);
  if (status.ok()) {
    if (rpc_ != Rpc::kScoreDocument && !OperationOf(rpc_).empty()) {
      metrics_->RequestServed(rpc_, took);
    }
  } else {
    LogFailure(status, took);
  }
  absl::MutexLock lock(&mutex_);
  // The authorizer logs these, as rarely as it must, so that clients without a
  // credential cannot fill the log.
  const bool is_stranger =
      status.error_code() == grpc::StatusCode::UNAUTHENTICATED;
  if (logs_calls_ && InfoLogEnabled() && !is_stranger) {
    LogEvent("call", AccessLogFields(status, took));
  }
  if (!is_stranger) RecordUsage(status, took);
  if (spans_ != nullptr) spans_->Add(SpansOf(TraceOf(status, took)));
}

void CallRecord::RecordUsage(const grpc::Status& status, absl::Duration took) {
  const Usage& usage = use_.usage();
  if (caller_.account != nullptr) {
    const bool is_refused =
        status.error_code() == grpc::StatusCode::PERMISSION_DENIED ||
        status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
    caller_.account->AddCall({.calls = 1,
                              .refused = is_refused,
                              .prompt_tokens = usage.prompt_tokens,
                              .cached_tokens = usage.cached_tokens,
                              .generated_tokens = usage.generated_tokens});
  }
  if (usage_log_ == nullptr) return;
  usage_log_->Add(absl::Now(),
                  {{"id", identity_.request_id},
                   {"identity", std::string(caller_.name())},
                   {"rpc", std::string(NameOf(rpc_))},
                   {"status", NameOf(status.error_code())},
                   {"reason", ReasonIn(status)},
                   {"prompt_tokens", int64_t{usage.prompt_tokens}},
                   {"cached_tokens", int64_t{usage.cached_tokens}},
                   {"generated_tokens", int64_t{usage.generated_tokens}},
                   SecondsField("total_seconds", took)});
}

void CallRecord::LogFailure(const grpc::Status& status,
                            absl::Duration took) const {
  const bool is_fault = IsServerFault(status.error_code());
  if (!is_fault && !DebugLogEnabled()) return;
  const std::string line = absl::StrCat(
      NameOf(rpc_), " failed after ", absl::FormatDuration(took), ": ",
      NameOf(status.error_code()), ": ", status.error_message());
  const LogField id = {"id", identity_.request_id};
  const bool is_logged = is_fault && metrics_->error_log().Warning(
                                         line, absl::MakeConstSpan(&id, 1));
  if (!is_logged) LogDebug(line, absl::MakeConstSpan(&id, 1));
}

CallTrace CallRecord::TraceOf(const grpc::Status& status,
                              absl::Duration took) const {
  CallTrace call;
  call.identity = identity_;
  call.rpc = std::string(NameOf(rpc_));
  call.peer = peer_;
  call.model = model_ == nullptr ? "" : model_->name;
  call.operation = OperationOf(rpc_);
  call.status = NameOf(status.error_code());
  call.status_code = status.error_code();
  call.received = received_at_;
  call.took = took;
  call.first_write = first_write_;
  call.settings = settings_;
  if (!use_.has_requests()) return call;
  call.usage = use_.usage();
  // The parts of a document are computed between messages of the client.
  if (rpc_ != Rpc::kScoreDocument) call.times = use_.times();
  for (const FinishReason reason : use_.reasons()) {
    call.finish_reasons.emplace_back(NameOf(reason));
  }
  return call;
}

std::vector<LogField> CallRecord::AccessLogFields(const grpc::Status& status,
                                                  absl::Duration took) const {
  std::vector<LogField> fields = {{"id", identity_.request_id},
                                  {"trace_id", identity_.trace.trace_id},
                                  {"peer", peer_}};
  if (caller_.identity != nullptr) {
    fields.push_back({"identity", caller_.identity->name});
  }
  fields.push_back({"rpc", std::string(NameOf(rpc_))});
  fields.push_back({"status", NameOf(status.error_code())});
  const std::string reason = ReasonIn(status);
  if (!reason.empty()) fields.push_back({"reason", reason});
  if (use_.has_requests()) {
    fields.push_back({"prompt_tokens", use_.usage().prompt_tokens});
    fields.push_back({"cached_tokens", use_.usage().cached_tokens});
    fields.push_back({"generated_tokens", use_.usage().generated_tokens});
    fields.push_back(SecondsField("queue_seconds", use_.times().queue));
    fields.push_back(SecondsField("prefill_seconds", use_.times().prefill));
    fields.push_back(SecondsField("decode_seconds", use_.times().decode));
  }
  fields.push_back(SecondsField("total_seconds", took));
  if (use_.has_requests()) fields.push_back({"finish", use_.ReasonNames()});
  return fields;
}

}  // namespace rwkvd
