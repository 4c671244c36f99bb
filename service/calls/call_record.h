// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_CALL_RECORD_H_
#define RWKVD_SERVICE_CALLS_CALL_RECORD_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/engine/request.h"
#include "core/engine/sink.h"
#include "service/calls/call_environment.h"
#include "service/calls/call_use.h"
#include "service/log.h"
#include "service/metrics/metrics.h"
#include "service/telemetry/call_spans.h"

namespace rwkvd {

// Measures one call and records it in the metrics, the log and its trace.
// Constructed when the call arrives; End is called once.
//
// Owned by the call; thread-safe. What the environment refers to outlives it.
class CallRecord {
 public:
  // `peer` is the client's address; see ServerContext::peer.
  CallRecord(const CallEnvironment& environment, Rpc rpc, std::string peer);

  absl::Time received() const { return received_; }

  // A request of the call has ended in the engine; see CallUse.
  void RequestEnded(const FinishEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);
  void PartEnded(const FinishEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);

  // How a Generate call is to be answered.
  void Describe(const GenerateRequest& request, int32_t num_samples)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // A message of the response is about to be passed to gRPC. Adds the identity
  // of the call to the initial metadata, unless that has been sent.
  void Writing(grpc::ServerContextBase* context) ABSL_LOCKS_EXCLUDED(mutex_);

  // The call is about to end: adds its identity to the metadata, unless it has
  // been sent, and the load report to the trailing metadata if the client wants
  // it. Returns `status` with the request id in its details,
  // to be passed to gRPC.
  grpc::Status Finishing(const grpc::Status& status,
                         grpc::ServerContextBase* context)
      ABSL_LOCKS_EXCLUDED(mutex_);

  void End(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void NoteFirstWrite() ABSL_LOCKS_EXCLUDED(mutex_);
  // The line of the access log, which contains nothing of a prompt or an
  // output.
  std::vector<LogField> AccessLogFields(const grpc::Status& status,
                                        absl::Duration took) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Adds what the call has used to the account of its caller, and to the log
  // for accounting.
  void RecordUsage(const grpc::Status& status, absl::Duration took)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  CallTrace TraceOf(const grpc::Status& status, absl::Duration took) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LogFailure(const grpc::Status& status, absl::Duration took) const;

  const ServedModel* const model_;  // null while it is being loaded
  Metrics* const metrics_;
  const bool logs_calls_;
  const bool wants_load_report_;
  const RequestIdentity identity_;
  const Caller caller_;
  UsageLog* const usage_log_;  // null: there is none
  SpanExporter* const spans_;  // null: the call is not sampled
  const Rpc rpc_;
  const std::string peer_;
  const absl::Time received_;
  const absl::Time received_at_;  // by the clock of the system

  std::atomic<bool> has_responded_ = false;  // the identity has been returned

  absl::Mutex mutex_;
  std::optional<GenerationSettings> settings_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Duration> first_write_ ABSL_GUARDED_BY(mutex_);
  CallUse use_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_CALL_RECORD_H_
