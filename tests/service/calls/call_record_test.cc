// SPDX-License-Identifier: Apache-2.0
#include "service/calls/call_record.h"

#include <memory>
#include <sstream>
#include <string>

#include "cli/grpc_status.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

// Collects the lines of the log, without times.
class CallRecordTest : public testing::Test {
 protected:
  CallRecordTest() : before_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(std::move(logger));
    environment_.metrics = &metrics_;
    environment_.identity.request_id = "order-1";
    environment_.identity.trace = NewTrace(false);
    environment_.logs_calls = true;
  }
  ~CallRecordTest() override { spdlog::set_default_logger(before_); }

  CallRecord NewRecord(Rpc rpc) {
    return CallRecord(environment_, rpc, "ipv4:10.0.0.1:4711");
  }
  std::string Exposition() const {
    return prometheus::TextSerializer().Serialize(
        metrics_.collectable()->Collect());
  }

  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream lines_;
  Metrics metrics_;
  CallEnvironment environment_ = {};
};

TEST_F(CallRecordTest, OnlySuccessfulCallsHaveARequestDuration) {
  metrics_.SetModelName("demo");
  NewRecord(Rpc::kScore).End(grpc::Status::OK);
  NewRecord(Rpc::kScore).End(grpc::Status(grpc::StatusCode::CANCELLED, ""));
  NewRecord(Rpc::kTokenize).End(grpc::Status::OK);
  const std::string text = Exposition();
  const std::string count = "gen_ai_server_request_duration_seconds_count";
  const std::string rest =
      ",gen_ai_provider_name=\"rwkvd\",gen_ai_request_model=\"demo\","
      "gen_ai_response_model=\"demo\"}";
  EXPECT_THAT(text, HasSubstr(count + "{gen_ai_operation_name=\"score\"" +
                              rest + " 1\n"));
  EXPECT_THAT(text,
              HasSubstr(count + "{gen_ai_operation_name=\"text_completion\"" +
                        rest + " 0\n"));
  EXPECT_THAT(text, HasSubstr("grpc_status=\"CANCELLED\"} 1\n"));
}

TEST_F(CallRecordTest, CallHasOneLineWithItsIdTokensAndTimes) {
  CallRecord record = NewRecord(Rpc::kGenerate);
  FinishEvent event;
  event.reason = FinishReason::kStopString;
  event.usage = {10, 4, 7};
  event.times = {absl::Milliseconds(1), absl::Milliseconds(20),
                 absl::Milliseconds(300), absl::Milliseconds(25)};
  record.RequestEnded(event);
  record.End(grpc::Status::OK);
  EXPECT_THAT(
      lines_.str(),
      MatchesRegex(
          "info call id=order-1 trace_id=[0-9a-f]{32} peer=ipv4:10.0.0.1:4711 "
          "rpc=rwkv.v1.RwkvService/Generate status=OK prompt_tokens=10 "
          "cached_tokens=4 generated_tokens=7 queue_seconds=0.001000 "
          "prefill_seconds=0.020000 decode_seconds=0.300000 "
          "total_seconds=[0-9.]+ finish=stop_string\n"));
}

TEST_F(CallRecordTest, LineNamesTheIdentity) {
  Identity identity;
  identity.name = "alice";
  environment_.caller.identity = std::make_shared<const Identity>(identity);
  NewRecord(Rpc::kTokenize).End(grpc::Status::OK);
  EXPECT_THAT(lines_.str(), HasSubstr("identity=alice rpc="));
}

TEST_F(CallRecordTest, CallWithoutCredentialHasNoLine) {
  NewRecord(Rpc::kTokenize)
      .End(grpc::Status(grpc::StatusCode::UNAUTHENTICATED, ""));
  EXPECT_THAT(lines_.str(), IsEmpty());
}

TEST_F(CallRecordTest, CallWithoutRequestHasNoTokens) {
  NewRecord(Rpc::kTokenize).End(grpc::Status::OK);
  EXPECT_THAT(lines_.str(),
              AllOf(HasSubstr("/Tokenize status=OK total_seconds"),
                    Not(HasSubstr("tokens=")), Not(HasSubstr("finish="))));
}

// An error may quote what the client has sent.
TEST_F(CallRecordTest, LineOfAFailedCallDoesNotContainTheMessage) {
  NewRecord(Rpc::kGenerate)
      .End(ToGrpcStatus(MakeError(ErrorReason::kFieldInvalid, "secret")));
  EXPECT_THAT(lines_.str(),
              AllOf(HasSubstr("status=INVALID_ARGUMENT reason=FIELD_INVALID "),
                    Not(HasSubstr("secret")), Not(HasSubstr("warning"))));
}

TEST_F(CallRecordTest, FaultOfTheServerIsAWarningWithTheId) {
  NewRecord(Rpc::kGenerate)
      .End(grpc::Status(grpc::StatusCode::INTERNAL, "weights are damaged"));
  EXPECT_THAT(lines_.str(),
              MatchesRegex("warning rwkv.v1.RwkvService/Generate failed after "
                           ".*: INTERNAL: weights are damaged id=order-1\n"
                           "info call id=order-1 .*"));
}

TEST_F(CallRecordTest, WithoutAccessLogThereIsNoLine) {
  environment_.logs_calls = false;
  NewRecord(Rpc::kGenerate).End(grpc::Status::OK);
  EXPECT_THAT(lines_.str(), IsEmpty());
}

}  // namespace
}  // namespace rwkvd
