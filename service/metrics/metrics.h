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
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace rwkvd {

// The calls of RwkvService.
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
};

inline constexpr int kNumRpcs = 11;

// "rwkv.v1.RwkvService/Generate", ...
absl::string_view NameOf(Rpc rpc);

// What happens at the calls: counters and histograms by RPC and status (names
// of gRPC's A66), and the latencies that OpenTelemetry's conventions for
// generative models define. What happens inside the engine is
// EngineCollector's.
//
// Owned by the server; thread-safe.
class Metrics {
 public:
  Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Names the model in all that is observed from now on. Once.
  void SetModelName(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);

  void CallStarted(Rpc rpc);
  void CallEnded(Rpc rpc, grpc::StatusCode code, absl::Duration took);

  // From a Generate request's receipt until its first token was written.
  void FirstTokenWritten(absl::Duration since_receipt);
  // A Generate request ended well.
  void Generated(const Usage& usage, const Times& times);
  // A Generate or Score request ended well, `took` after its receipt.
  void RequestServed(Rpc rpc, absl::Duration took);

  std::shared_ptr<prometheus::Collectable> collectable() const {
    return registry_;
  }

 private:
  // Of one operation of the model that was named.
  struct ModelSeries {
    prometheus::Histogram* first_token = nullptr;
    prometheus::Histogram* output_token = nullptr;
    prometheus::Histogram* generate_duration = nullptr;
    prometheus::Histogram* score_duration = nullptr;
  };
  ModelSeries series() const ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<prometheus::Registry> registry_;
  std::array<prometheus::Counter*, kNumRpcs> started_;
  prometheus::Family<prometheus::Histogram>& call_seconds_;
  prometheus::Family<prometheus::Histogram>& first_token_seconds_;
  prometheus::Family<prometheus::Histogram>& output_token_seconds_;
  prometheus::Family<prometheus::Histogram>& request_seconds_;

  mutable absl::Mutex mutex_;
  ModelSeries series_ ABSL_GUARDED_BY(mutex_);
};

// One call's clock and its entry in the metrics and the log: made when the
// call arrives, ended once.
//
// Owned by the call; thread-compatible. The metrics outlive it.
class CallRecord {
 public:
  CallRecord(Metrics* metrics, Rpc rpc);

  absl::Time received() const { return received_; }
  void End(const grpc::Status& status);

 private:
  Metrics* const metrics_;
  const Rpc rpc_;
  const absl::Time received_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_METRICS_METRICS_H_
