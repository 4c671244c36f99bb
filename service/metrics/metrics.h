// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_METRICS_METRICS_H_
#define RWKVD_SERVICE_METRICS_METRICS_H_

#include <grpcpp/support/status.h>

#include <array>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/engine/sink.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "service/log.h"

namespace rwkvd {

// The calls of RwkvService and of VllmEngine.
enum class Rpc {
  kGenerate,
  kTokenize,
  kDetokenize,
  kScore,
  kScoreDocument,
  kGetModel,
  kUnpinPrefix,
  kListPinnedPrefixes,
  kPutState,
  kGetState,
  kDeleteState,
  kGetServerInfo,
  kGetLoad,
  kVllmGenerate,
  kVllmAbort,
  kVllmHealthCheck,
  kVllmGetModelInfo,
  kVllmGetServerInfo,
  kVllmGetLoads,
  kVllmGetTokenizer,
};

inline constexpr int kNumRpcs = 20;

// "rwkv.v1.RwkvService/Generate", ...
absl::string_view NameOf(Rpc rpc);

// The queues of WorkPool: for small request messages and for large ones.
enum class WorkLane { kSmall, kLarge };

inline constexpr int kNumWorkLanes = 2;

// Why a request message was refused before its request reached the engine.
enum class MessageRefusal {
  kMemory,     // the budget for requests has too little left
  kQueueFull,  // too many messages wait to be parsed
  kMalformed,  // not a message of the contract
  kNotUtf8,    // a field of type string is not valid UTF-8
};

inline constexpr int kNumMessageRefusals = 4;

// Why the server ends a call that waits for its client.
enum class GiveUpReason {
  kMemory,    // the budget for responses is exhausted, and the call holds most
  kQuota,     // the same of its identity's share
  kUnread,    // the client does not read
  kIdle,      // the client does not send
  kSlots,     // the client does not read or send, and others wait for its slot
  kShutdown,  // the server ends
};

inline constexpr int kNumGiveUpReasons = 6;

// The value of metric labels, such as "unread".
absl::string_view NameOf(GiveUpReason reason);

// Metrics of the calls: counters and histograms by RPC and status, named as in
// gRPC proposal A66, and the latencies that OpenTelemetry's semantic
// conventions for generative models define. EngineCollector has the metrics of
// the engine.
//
// Owned by the server; thread-safe.
class Metrics {
 public:
  Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Sets the name of the model in the labels of the latencies, which are not
  // observed before. Called once.
  void SetModelName(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);

  void CallStarted(Rpc rpc);
  void CallEnded(Rpc rpc, grpc::StatusCode code, absl::Duration took);

  void MessageRefused(MessageRefusal reason);
  // A task has been added to the lane's queue, has left it unprocessed, or
  // begins after it has `waited` there.
  void WorkQueued(WorkLane lane);
  void WorkRemoved(WorkLane lane);
  void WorkBegun(WorkLane lane, absl::Duration waited);
  void CallGivenUp(GiveUpReason reason);

  // The first token of a Generate request has been written.
  void FirstTokenWritten(absl::Duration since_arrival);
  // A Generate request has succeeded.
  void Generated(const Usage& usage, const Times& times);
  // A Generate or Score request has succeeded, `took` after its arrival.
  void RequestServed(Rpc rpc, absl::Duration took);

  // For calls that ended with an error of the server's own.
  LimitedLog& error_log() { return error_log_; }

  std::shared_ptr<prometheus::Collectable> collectable() const {
    return registry_;
  }

 private:
  // The latencies with the labels of the model; null before it is known.
  struct ModelSeries {
    prometheus::Histogram* first_token = nullptr;
    prometheus::Histogram* output_token = nullptr;
    prometheus::Histogram* generate_duration = nullptr;
    prometheus::Histogram* score_duration = nullptr;
  };
  ModelSeries series() const ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<prometheus::Registry> registry_;
  std::array<prometheus::Counter*, kNumRpcs> started_;
  std::array<prometheus::Counter*, kNumMessageRefusals> refused_;
  std::array<prometheus::Gauge*, kNumWorkLanes> work_depth_;
  std::array<prometheus::Histogram*, kNumWorkLanes> work_wait_;
  std::array<prometheus::Counter*, kNumGiveUpReasons> given_up_;
  prometheus::Family<prometheus::Histogram>& call_seconds_;
  prometheus::Family<prometheus::Histogram>& first_token_seconds_;
  prometheus::Family<prometheus::Histogram>& output_token_seconds_;
  prometheus::Family<prometheus::Histogram>& request_seconds_;

  LimitedLog error_log_;

  mutable absl::Mutex mutex_;
  ModelSeries series_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_METRICS_H_
