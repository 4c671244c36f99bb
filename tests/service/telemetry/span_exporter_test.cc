// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/span_exporter.h"

#include <grpcpp/server_builder.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A collector that keeps the names of the spans that it receives.
class Collector final : public otlp::TraceService::Service {
 public:
  // What the collector answers to its call number n, from 0.
  using Answer =
      std::function<grpc::Status(int n, otlp::ExportTraceServiceResponse*)>;

  explicit Collector(Answer answer = nullptr) : answer_(std::move(answer)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Collector() override { server_->Shutdown(); }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  grpc::Status Export(grpc::ServerContext*,
                      const otlp::ExportTraceServiceRequest* request,
                      otlp::ExportTraceServiceResponse* response) override {
    absl::MutexLock lock(&mutex_);
    const grpc::Status status =
        answer_ == nullptr ? grpc::Status::OK : answer_(num_calls_, response);
    ++num_calls_;
    if (!status.ok()) return status;
    for (const otlp::ResourceSpans& resource : request->resource_spans()) {
      for (const otlp::KeyValue& attribute : resource.resource().attributes()) {
        resource_.push_back(attribute.key());
      }
      for (const otlp::ScopeSpans& scope : resource.scope_spans()) {
        for (const otlp::Span& span : scope.spans()) {
          names_.push_back(span.name());
        }
      }
    }
    return status;
  }

  std::vector<std::string> names() {
    absl::MutexLock lock(&mutex_);
    return names_;
  }
  std::vector<std::string> resource() {
    absl::MutexLock lock(&mutex_);
    return resource_;
  }
  int num_calls() {
    absl::MutexLock lock(&mutex_);
    return num_calls_;
  }

 private:
  const Answer answer_;
  absl::Mutex mutex_;
  int num_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> names_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> resource_ ABSL_GUARDED_BY(mutex_);
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

otlp::ScopeSpans SpanNamed(const std::string& name) {
  otlp::ScopeSpans spans;
  spans.add_spans()->set_name(name);
  return spans;
}

constexpr SpanExporter::Options kQuick = {.batch_delay = absl::ZeroDuration(),
                                          .first_retry = absl::Milliseconds(1)};
constexpr absl::Duration kPatience = absl::Minutes(1);

TEST(SpanExporterTest, SpansOfSeveralCallsArriveInOneBatch) {
  Collector collector;
  // No batch is sent before the flush.
  SpanExporter exporter(collector.address(), {.batch_delay = absl::Hours(1)});
  exporter.Add(SpanNamed("a"));
  exporter.Add(SpanNamed("b"));
  exporter.Flush(kPatience);
  EXPECT_THAT(collector.names(), ElementsAre("a", "b"));
  EXPECT_EQ(collector.num_calls(), 1);
  EXPECT_THAT(
      collector.resource(),
      ElementsAre("service.name", "service.version", "service.instance.id"));
  EXPECT_EQ(exporter.figures().exported, 2);
}

TEST(SpanExporterTest, BusyCollectorGetsTheBatchAgain) {
  Collector collector([](int n, otlp::ExportTraceServiceResponse*) {
    return n < 2 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "busy")
                 : grpc::Status::OK;
  });
  SpanExporter exporter(collector.address(), kQuick);
  exporter.Add(SpanNamed("a"));
  while (exporter.figures().exported == 0) std::this_thread::yield();
  EXPECT_THAT(collector.names(), ElementsAre("a"));
  EXPECT_EQ(collector.num_calls(), 3);
  EXPECT_EQ(exporter.figures().failed, 0);
}

TEST(SpanExporterTest, SpansThatTheCollectorRefusesAreDropped) {
  Collector collector([](int, otlp::ExportTraceServiceResponse*) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no");
  });
  SpanExporter exporter(collector.address(), kQuick);
  exporter.Add(SpanNamed("a"));
  exporter.Flush(kPatience);
  EXPECT_EQ(collector.num_calls(), 1) << "there is no use in sending it again";
  EXPECT_EQ(exporter.figures().failed, 1);
  EXPECT_EQ(exporter.figures().exported, 0);
}

TEST(SpanExporterTest, PartialSuccessIsCounted) {
  Collector collector([](int, otlp::ExportTraceServiceResponse* response) {
    response->mutable_partial_success()->set_rejected_spans(1);
    return grpc::Status::OK;
  });
  SpanExporter exporter(collector.address(), {.batch_delay = absl::Hours(1)});
  exporter.Add(SpanNamed("a"));
  exporter.Add(SpanNamed("b"));
  exporter.Flush(kPatience);
  EXPECT_EQ(exporter.figures().exported, 1);
  EXPECT_EQ(exporter.figures().rejected, 1);
}

TEST(SpanExporterTest, CollectorThatDoesNotAnswerLosesSpansAndNobodyWaits) {
  absl::Notification has_begun, may_go_on;
  Collector collector([&](int n, otlp::ExportTraceServiceResponse*) {
    if (n == 0) has_begun.Notify();
    may_go_on.WaitForNotification();
    return grpc::Status::OK;
  });
  SpanExporter exporter(collector.address(), kQuick);
  exporter.Add(SpanNamed("first"));
  has_begun.WaitForNotification();  // and does not return
  const otlp::ScopeSpans large = SpanNamed(std::string(100 << 10, 'x'));
  for (int i = 0; i < 20; ++i) exporter.Add(large);
  const int64_t dropped = exporter.figures().queue_full;
  EXPECT_EQ(dropped, 20 - SpanExporter::kMaxWaitingBytes / (100 << 10));
  may_go_on.Notify();
  exporter.Flush(kPatience);
  EXPECT_EQ(exporter.figures().exported, 1 + 20 - dropped);
}

TEST(SpanExporterTest, FlushGivesUpAfterItsGrace) {
  absl::Notification has_begun, may_go_on;
  Collector collector([&](int n, otlp::ExportTraceServiceResponse*) {
    if (n == 0) has_begun.Notify();
    may_go_on.WaitForNotification();
    return grpc::Status::OK;
  });
  SpanExporter exporter(collector.address(), kQuick);
  exporter.Add(SpanNamed("a"));
  has_begun.WaitForNotification();
  exporter.Add(SpanNamed("b"));
  exporter.Flush(absl::Milliseconds(1));  // returns
  EXPECT_EQ(exporter.figures().failed, 2);
  exporter.Add(SpanNamed("late"));
  EXPECT_EQ(exporter.figures().queue_full, 1);
  may_go_on.Notify();
}

TEST(SpanExporterTest, AbsentCollectorDelaysNothing) {
  SpanExporter exporter("unix:/nonexistent/socket", kQuick);
  exporter.Add(SpanNamed("a"));
  exporter.Flush(absl::ZeroDuration());
  EXPECT_EQ(exporter.figures().failed, 1);
}

}  // namespace
}  // namespace rwkvd
