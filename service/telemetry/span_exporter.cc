// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/span_exporter.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/grpc_status.h"
#include "cli/version.h"
#include "core/base/monotonic_clock.h"
#include "service/telemetry/trace_context.h"

namespace rwkvd {
namespace {

// The most bytes of a batch, unless the spans of one call have more.
constexpr int64_t kMaxBatchBytes = 128 << 10;

// What a waiting call takes in addition to its bytes.
constexpr int64_t kOverhead = 64;

constexpr int kMaxAttempts = 4;
constexpr int kMaxAnswerBytes = 64 << 10;
constexpr int kMaxReconnectMs = 10'000;

std::shared_ptr<grpc::Channel> NewChannel(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(),
                                   arguments);
}

// Whether the collector may accept the same spans later, by OTLP.
bool IsTransient(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return true;
    default:
      return false;
  }
}

void AddAttribute(const char* key, std::string value,
                  otlp::Resource* resource) {
  otlp::KeyValue* const attribute = resource->add_attributes();
  attribute->set_key(key);
  attribute->mutable_value()->set_string_value(std::move(value));
}

}  // namespace

SpanExporter::SpanExporter(const std::string& endpoint, const Options& options)
    : endpoint_(endpoint),
      options_(options),
      instance_id_(RandomHex(32)),
      stub_(otlp::TraceService::NewStub(NewChannel(endpoint))),
      thread_([this] { Run(); }) {}

SpanExporter::~SpanExporter() {
  Flush(absl::ZeroDuration());
  thread_.join();
}

void SpanExporter::Add(const otlp::ScopeSpans& spans) {
  Waiting waiting = {spans.SerializeAsString(), spans.spans_size()};
  const auto bytes = static_cast<int64_t>(waiting.bytes.size()) + kOverhead;
  absl::MutexLock lock(&mutex_);
  if (stop_ || bytes > kMaxWaitingBytes - waiting_bytes_) {
    figures_.queue_full += waiting.num_spans;
    return;
  }
  waiting_bytes_ += bytes;
  waiting_.push_back(std::move(waiting));
}

void SpanExporter::Flush(absl::Duration grace) {
  ending_.Notify();
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  const bool has_ended = PollUntil(
      [this] {
        absl::MutexLock lock(&mutex_);
        return has_ended_;
      },
      grace);
  if (has_ended) return;
  absl::MutexLock lock(&mutex_);
  abandon_ = true;
  if (call_ != nullptr) call_->TryCancel();
  mutex_.Await(absl::Condition(&has_ended_));
}

SpanExporter::Figures SpanExporter::figures() const {
  absl::MutexLock lock(&mutex_);
  return figures_;
}

void SpanExporter::Run() {
  while (WaitForSpans()) {
    int64_t num_spans = 0;
    const otlp::ExportTraceServiceRequest batch = TakeBatch(&num_spans);
    Send(batch, num_spans);
  }
  absl::MutexLock lock(&mutex_);
  for (const Waiting& waiting : waiting_) {
    figures_.failed += waiting.num_spans;
  }
  waiting_.clear();
  has_ended_ = true;
}

bool SpanExporter::WaitForSpans() {
  const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stop_ || !waiting_.empty();
  };
  {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&has_work));
  }
  PollUntil(
      [this] {
        absl::MutexLock lock(&mutex_);
        return stop_ || waiting_bytes_ >= kMaxBatchBytes;
      },
      options_.batch_delay);
  absl::MutexLock lock(&mutex_);
  return !waiting_.empty() && !abandon_;
}

otlp::ExportTraceServiceRequest SpanExporter::TakeBatch(int64_t* num_spans) {
  otlp::ExportTraceServiceRequest batch;
  otlp::ResourceSpans* const spans = batch.add_resource_spans();
  otlp::Resource* const resource = spans->mutable_resource();
  AddAttribute("service.name", "rwkvd", resource);
  AddAttribute("service.version", kVersion, resource);
  AddAttribute("service.instance.id", instance_id_, resource);
  otlp::ScopeSpans* const scope = spans->add_scope_spans();
  scope->mutable_scope()->set_name("rwkvd");
  scope->mutable_scope()->set_version(kVersion);
  int64_t batch_bytes = 0;
  absl::MutexLock lock(&mutex_);
  while (!waiting_.empty()) {
    const Waiting& next = waiting_.front();
    const auto bytes = static_cast<int64_t>(next.bytes.size()) + kOverhead;
    if (batch_bytes > 0 && batch_bytes + bytes > kMaxBatchBytes) break;
    batch_bytes += bytes;
    waiting_bytes_ -= bytes;
    scope->MergeFromString(next.bytes);
    *num_spans += next.num_spans;
    waiting_.pop_front();
  }
  return batch;
}

void SpanExporter::Send(const otlp::ExportTraceServiceRequest& batch,
                        int64_t num_spans) {
  absl::Duration pause = options_.first_retry;
  grpc::Status status;
  otlp::ExportTraceServiceResponse response;
  for (int attempt = 1;; ++attempt, pause *= 2) {
    response.Clear();
    status = TrySend(batch, &response);
    const bool ends = status.ok() || !IsTransient(status.error_code()) ||
                      attempt == kMaxAttempts;
    if (ends || ending_.WaitFor(pause)) break;
  }
  const int64_t rejected = std::clamp<int64_t>(
      response.partial_success().rejected_spans(), 0, num_spans);
  {
    absl::MutexLock lock(&mutex_);
    if (status.ok()) {
      figures_.exported += num_spans - rejected;
      figures_.rejected += rejected;
    } else {
      figures_.failed += num_spans;
    }
  }
  if (!status.ok()) {
    log_.Warning(absl::StrCat("--otlp_endpoint: ", num_spans,
                              " spans could not be sent to ", endpoint_, ": ",
                              NameOf(status.error_code()), ": ",
                              status.error_message()));
  } else if (rejected > 0) {
    log_.Warning(absl::StrCat(
        "--otlp_endpoint: ", endpoint_, " rejected ", rejected, " of ",
        num_spans, " spans: ", response.partial_success().error_message()));
  }
}

grpc::Status SpanExporter::TrySend(const otlp::ExportTraceServiceRequest& batch,
                                   otlp::ExportTraceServiceResponse* response) {
  grpc::ClientContext context;
  context.set_deadline(
      absl::ToChronoTime(absl::Now() + options_.export_timeout));
  {
    absl::MutexLock lock(&mutex_);
    if (abandon_) return grpc::Status(grpc::StatusCode::ABORTED, "ending");
    call_ = &context;
  }
  grpc::Status status = stub_->Export(&context, batch, response);
  absl::MutexLock lock(&mutex_);
  call_ = nullptr;
  return status;
}

}  // namespace rwkvd
