// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_TELEMETRY_SPAN_EXPORTER_H_
#define RWKVD_SERVICE_TELEMETRY_SPAN_EXPORTER_H_

#include <grpcpp/client_context.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/event.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"
#include "service/log.h"

namespace rwkvd {

namespace otlp = ::opentelemetry::proto::collector::trace::v1;

// Sends spans to a collector by OTLP over gRPC, in batches, on a thread of its
// own. A thread that adds spans never waits: while the collector does not keep
// up, spans are dropped, and counted.
//
// Owned by the server; outlives all calls. Thread-safe.
class SpanExporter {
 public:
  // The most bytes of spans that wait.
  static constexpr int64_t kMaxWaitingBytes = 1 << 20;
  // The most memory that the exporter takes, with a batch that is being sent.
  static constexpr int64_t kMaxMemory = 3 * kMaxWaitingBytes;

  struct Options {
    // How long spans wait for others of their batch.
    absl::Duration batch_delay = absl::Seconds(1);
    // How long the collector may take for a batch.
    absl::Duration export_timeout = absl::Seconds(10);
    // The pause before the first repetition; each further one is twice as long.
    absl::Duration first_retry = absl::Seconds(1);
  };

  // Since the start; in spans.
  struct Figures {
    int64_t exported = 0;
    int64_t queue_full = 0;  // dropped, because too many waited
    int64_t failed = 0;      // dropped, because the collector was not reached
    int64_t rejected = 0;    // dropped by the collector
  };

  // `endpoint` is host:port or unix:path. Does not wait for the collector,
  // which may start later.
  SpanExporter(const std::string& endpoint, const Options& options);
  // Drops what still waits.
  ~SpanExporter();
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  // Adds the spans of one call.
  void Add(const otlp::ScopeSpans& spans) ABSL_LOCKS_EXCLUDED(mutex_);

  // Sends what waits, for at most `grace`, and ends. Spans that are added later
  // are dropped.
  void Flush(absl::Duration grace) ABSL_LOCKS_EXCLUDED(mutex_);

  Figures figures() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // The spans of one call, serialized.
  struct Waiting {
    std::string bytes;
    int64_t num_spans = 0;
  };

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for spans. Returns false if there are none left and the exporter
  // ends.
  bool WaitForSpans() ABSL_LOCKS_EXCLUDED(mutex_);
  // The next batch; not empty.
  otlp::ExportTraceServiceRequest TakeBatch(int64_t* num_spans)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Sends a batch, also repeatedly.
  void Send(const otlp::ExportTraceServiceRequest& batch, int64_t num_spans)
      ABSL_LOCKS_EXCLUDED(mutex_);
  grpc::Status TrySend(const otlp::ExportTraceServiceRequest& batch,
                       otlp::ExportTraceServiceResponse* response)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string endpoint_;
  const Options options_;
  const std::string instance_id_;
  const std::unique_ptr<otlp::TraceService::Stub> stub_;
  LimitedLog log_{absl::Minutes(1)};
  Event ending_;  // no more repetitions and delays

  mutable absl::Mutex mutex_;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;       // nothing more is added
  bool abandon_ ABSL_GUARDED_BY(mutex_) = false;    // what waits is dropped
  bool has_ended_ ABSL_GUARDED_BY(mutex_) = false;  // the thread has
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mutex_) = nullptr;  // under way
  Figures figures_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_TELEMETRY_SPAN_EXPORTER_H_
