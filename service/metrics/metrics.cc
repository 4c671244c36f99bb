// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/metrics.h"

#include <cstddef>
#include <utility>

#include "absl/types/span.h"
#include "cli/grpc_status.h"
#include "core/engine/latency_buckets.h"

namespace rwkvd {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// From gRPC proposal A66.
constexpr double kCallSeconds[] = {
    0,     0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002,
    0.003, 0.004,   0.005,   0.006,  0.008,  0.01,   0.013,  0.016, 0.02,
    0.025, 0.03,    0.04,    0.05,   0.065,  0.08,   0.1,    0.13,  0.16,
    0.2,   0.25,    0.3,     0.4,    0.5,    0.65,   0.8,    1,     2,
    5,     10,      20,      50,     100};

Buckets BucketsOf(absl::Span<const double> bounds) {
  return Buckets(bounds.begin(), bounds.end());
}

prometheus::Labels MethodLabel(Rpc rpc) {
  return {{"grpc_method", std::string(NameOf(rpc))}};
}

prometheus::Labels CallLabels(Rpc rpc, grpc::StatusCode code) {
  return {{"grpc_method", std::string(NameOf(rpc))},
          {"grpc_status", NameOf(code)}};
}

prometheus::Labels ModelLabels(const char* operation,
                               const std::string& model) {
  return {{"gen_ai_operation_name", operation},
          {"gen_ai_provider_name", "rwkvd"},
          {"gen_ai_request_model", model},
          {"gen_ai_response_model", model}};
}

// By lane and by reason, as labels.
constexpr const char* kLanes[kNumWorkLanes] = {"small", "large"};
constexpr const char* kRefusals[kNumMessageRefusals] = {
    "memory", "queue_full", "malformed", "not_utf8"};

prometheus::Family<prometheus::Histogram>& HistogramFamily(
    prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

}  // namespace

absl::string_view NameOf(Rpc rpc) {
  switch (rpc) {
    case Rpc::kGenerate:
      return "rwkv.v1.RwkvService/Generate";
    case Rpc::kTokenize:
      return "rwkv.v1.RwkvService/Tokenize";
    case Rpc::kDetokenize:
      return "rwkv.v1.RwkvService/Detokenize";
    case Rpc::kScore:
      return "rwkv.v1.RwkvService/Score";
    case Rpc::kScoreDocument:
      return "rwkv.v1.RwkvService/ScoreDocument";
    case Rpc::kUnpinPrefix:
      return "rwkv.v1.RwkvService/UnpinPrefix";
    case Rpc::kListPinnedPrefixes:
      return "rwkv.v1.RwkvService/ListPinnedPrefixes";
    case Rpc::kPutState:
      return "rwkv.v1.RwkvService/PutState";
    case Rpc::kGetState:
      return "rwkv.v1.RwkvService/GetState";
    case Rpc::kDeleteState:
      return "rwkv.v1.RwkvService/DeleteState";
    case Rpc::kGetModel:
      return "rwkv.v1.RwkvService/GetModel";
    case Rpc::kGetServerInfo:
      return "rwkv.v1.RwkvService/GetServerInfo";
    case Rpc::kGetLoad:
      return "rwkv.v1.RwkvService/GetLoad";
    case Rpc::kVllmGenerate:
      return "vllm.grpc.engine.VllmEngine/Generate";
    case Rpc::kVllmAbort:
      return "vllm.grpc.engine.VllmEngine/Abort";
    case Rpc::kVllmHealthCheck:
      return "vllm.grpc.engine.VllmEngine/HealthCheck";
    case Rpc::kVllmGetModelInfo:
      return "vllm.grpc.engine.VllmEngine/GetModelInfo";
    case Rpc::kVllmGetServerInfo:
      return "vllm.grpc.engine.VllmEngine/GetServerInfo";
    case Rpc::kVllmGetLoads:
      return "vllm.grpc.engine.VllmEngine/GetLoads";
    case Rpc::kVllmGetTokenizer:
      return "vllm.grpc.engine.VllmEngine/GetTokenizer";
  }
  return "";
}

absl::string_view NameOf(GiveUpReason reason) {
  switch (reason) {
    case GiveUpReason::kMemory:
      return "memory";
    case GiveUpReason::kQuota:
      return "quota";
    case GiveUpReason::kUnread:
      return "unread";
    case GiveUpReason::kIdle:
      return "idle";
    case GiveUpReason::kShutdown:
      return "shutdown";
    case GiveUpReason::kSlots:
      return "slots";
  }
  return "";
}

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      call_seconds_(HistogramFamily(
          *registry_, "grpc_server_call_duration_seconds",
          "Duration of calls from arrival to end, by method and status.")),
      first_token_seconds_(HistogramFamily(
          *registry_, "gen_ai_server_time_to_first_token_seconds",
          "Time from the arrival of a request until its first token was "
          "written "
          "to the client.")),
      output_token_seconds_(HistogramFamily(
          *registry_, "gen_ai_server_time_per_output_token_seconds",
          "Average time per token after the first; one observation per "
          "successful request.")),
      request_seconds_(HistogramFamily(
          *registry_, "gen_ai_server_request_duration_seconds",
          "Duration of successful requests from arrival to end.")) {
  auto& started = prometheus::BuildCounter()
                      .Name("grpc_server_call_started_total")
                      .Help("Calls that have arrived, by method.")
                      .Register(*registry_);
  for (int i = 0; i < kNumRpcs; ++i) {
    const Rpc rpc = static_cast<Rpc>(i);
    started_[i] = &started.Add(MethodLabel(rpc));
    // Present from the start, so that rates are defined.
    call_seconds_.Add(CallLabels(rpc, grpc::StatusCode::OK),
                      BucketsOf(kCallSeconds));
  }
  auto& refused = prometheus::BuildCounter()
                      .Name("rwkv_messages_refused_total")
                      .Help(
                          "Request messages that were refused before their "
                          "requests reached the engine, by reason.")
                      .Register(*registry_);
  for (int i = 0; i < kNumMessageRefusals; ++i) {
    refused_[i] = &refused.Add({{"reason", kRefusals[i]}});
  }
  auto& depth = prometheus::BuildGauge()
                    .Name("rwkv_work_queue_depth")
                    .Help("Request messages that wait to be parsed, by size.")
                    .Register(*registry_);
  auto& wait = HistogramFamily(
      *registry_, "rwkv_work_queue_seconds",
      "Time that request messages have waited to be parsed, by size.");
  for (int i = 0; i < kNumWorkLanes; ++i) {
    work_depth_[i] = &depth.Add({{"lane", kLanes[i]}});
    work_wait_[i] = &wait.Add({{"lane", kLanes[i]}}, BucketsOf(kCallSeconds));
  }
  auto& given_up =
      prometheus::BuildCounter()
          .Name("rwkv_calls_given_up_total")
          .Help(
              "Calls that the server ended because their client did not keep "
              "up, by reason: memory (the call held most of the memory for "
              "responses), quota (the same of its identity), unread (the "
              "client did not read), idle (the client did not send), slots "
              "(others waited for its slot).")
          .Register(*registry_);
  for (int i = 0; i < kNumGiveUpReasons; ++i) {
    const auto reason = static_cast<GiveUpReason>(i);
    given_up_[i] = &given_up.Add({{"reason", std::string(NameOf(reason))}});
  }
}

void Metrics::SetModelName(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  const prometheus::Labels generate = ModelLabels("text_completion", name);
  const prometheus::Labels score = ModelLabels("score", name);
  series_.first_token =
      &first_token_seconds_.Add(generate, BucketsOf(kFirstTokenSeconds));
  series_.output_token =
      &output_token_seconds_.Add(generate, BucketsOf(kTokenSeconds));
  series_.generate_duration =
      &request_seconds_.Add(generate, BucketsOf(kRequestSeconds));
  series_.score_duration =
      &request_seconds_.Add(score, BucketsOf(kRequestSeconds));
}

Metrics::ModelSeries Metrics::series() const {
  absl::MutexLock lock(&mutex_);
  return series_;
}

void Metrics::CallStarted(Rpc rpc) {
  started_[static_cast<size_t>(rpc)]->Increment();
}

void Metrics::CallEnded(Rpc rpc, grpc::StatusCode code, absl::Duration took) {
  call_seconds_.Add(CallLabels(rpc, code), BucketsOf(kCallSeconds))
      .Observe(absl::ToDoubleSeconds(took));
}

void Metrics::MessageRefused(MessageRefusal reason) {
  refused_[static_cast<size_t>(reason)]->Increment();
}

void Metrics::WorkQueued(WorkLane lane) {
  work_depth_[static_cast<size_t>(lane)]->Increment();
}

void Metrics::WorkRemoved(WorkLane lane) {
  work_depth_[static_cast<size_t>(lane)]->Decrement();
}

void Metrics::WorkBegun(WorkLane lane, absl::Duration waited) {
  WorkRemoved(lane);
  work_wait_[static_cast<size_t>(lane)]->Observe(absl::ToDoubleSeconds(waited));
}

void Metrics::CallGivenUp(GiveUpReason reason) {
  given_up_[static_cast<size_t>(reason)]->Increment();
}

void Metrics::FirstTokenWritten(absl::Duration since_arrival) {
  if (prometheus::Histogram* histogram = series().first_token) {
    histogram->Observe(absl::ToDoubleSeconds(since_arrival));
  }
}

void Metrics::Generated(const Usage& usage, const Times& times) {
  prometheus::Histogram* const histogram = series().output_token;
  if (histogram == nullptr || usage.generated_tokens < 2) return;
  const absl::Duration all = times.queue + times.prefill + times.decode;
  histogram->Observe(absl::ToDoubleSeconds(all - times.first_token) /
                     static_cast<double>(usage.generated_tokens - 1));
}

void Metrics::RequestServed(Rpc rpc, absl::Duration took) {
  const ModelSeries all = series();
  prometheus::Histogram* const histogram =
      rpc == Rpc::kScore ? all.score_duration : all.generate_duration;
  if (histogram != nullptr) histogram->Observe(absl::ToDoubleSeconds(took));
}

}  // namespace rwkvd
