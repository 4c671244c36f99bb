// SPDX-License-Identifier: Apache-2.0
#include "tests/load/load_answer.h"

#include "gtest/gtest.h"

namespace rwkvd::testing {
namespace {

namespace v1 = ::rwkv::v1;
using grpc::StatusCode;
using Kind = Behavior::Kind;

v1::GenerateResponse Delta(int id, const char* bytes) {
  v1::GenerateResponse response;
  response.mutable_delta()->add_tokens()->set_id(id);
  response.mutable_delta()->set_bytes(bytes);
  response.mutable_delta()->set_text(bytes);
  return response;
}

v1::GenerateResponse Finish(v1::FinishReason reason, int tokens) {
  v1::GenerateResponse response;
  response.mutable_finish()->set_reason(reason);
  response.mutable_finish()->mutable_usage()->set_generated_tokens(tokens);
  return response;
}

LoadAnswer Answer(const std::vector<v1::GenerateResponse>& responses,
                  StatusCode code = StatusCode::OK) {
  LoadAnswer answer;
  for (const v1::GenerateResponse& response : responses) answer.Add(response);
  answer.status = grpc::Status(code, "");
  return answer;
}

const v1::GenerateResponse kEnd = Finish(v1::FINISH_REASON_LENGTH, 2);

LoadAnswer Alone() { return Answer({Delta(1, "a"), Delta(2, "b"), kEnd}); }

bool IsRight(const LoadAnswer& answer, Kind behavior) {
  return FindProblem(Alone(), answer, behavior).empty();
}

TEST(LoadAnswerTest, EqualAnswerIsRightWithAnyBehavior) {
  for (Kind kind : {Kind::kPlain, Kind::kSlow, Kind::kCancel, Kind::kDeadline,
                    Kind::kCut}) {
    EXPECT_TRUE(IsRight(Alone(), kind));
  }
}

TEST(LoadAnswerTest, PartialAnswerIsRightWithTheStatusOfItsBehavior) {
  for (const auto& [kind, code] :
       {std::pair(Kind::kCancel, StatusCode::CANCELLED),
        std::pair(Kind::kDeadline, StatusCode::DEADLINE_EXCEEDED),
        std::pair(Kind::kCut, StatusCode::UNAVAILABLE)}) {
    EXPECT_TRUE(IsRight(Answer({Delta(1, "a")}, code), kind));
    EXPECT_TRUE(IsRight(Answer({}, code), kind));
    // The complete answer arrived before.
    EXPECT_TRUE(
        IsRight(Answer({Delta(1, "a"), Delta(2, "b"), kEnd}, code), kind));
    EXPECT_FALSE(IsRight(Answer({Delta(1, "a")}, code), Kind::kPlain));
    EXPECT_FALSE(IsRight(Answer({Delta(2, "a")}, code), kind));
    EXPECT_FALSE(IsRight(Answer({Delta(1, "b")}, code), kind));
    EXPECT_FALSE(IsRight(Answer({Delta(1, "a")}, StatusCode::INTERNAL), kind));
  }
}

TEST(LoadAnswerTest, FinishMustComeOnceAndLast) {
  EXPECT_FALSE(IsRight(Answer({Delta(1, "a"), Delta(2, "b"), kEnd, kEnd}),
                       Kind::kPlain));
  EXPECT_FALSE(
      IsRight(Answer({Delta(1, "a"), kEnd, Delta(2, "b")}), Kind::kPlain));
  EXPECT_FALSE(IsRight(Answer({Delta(1, "a"), Delta(2, "b")}), Kind::kPlain));
  EXPECT_FALSE(
      IsRight(Answer({Delta(1, "a"), Finish(v1::FINISH_REASON_CANCELLED, 1)}),
              Kind::kCancel));
}

TEST(LoadAnswerTest, AnyDifferenceOfACompleteAnswerIsFound) {
  EXPECT_FALSE(
      IsRight(Answer({Delta(1, "a"), Delta(3, "b"), kEnd}), Kind::kSlow));
  EXPECT_FALSE(
      IsRight(Answer({Delta(1, "a"), Delta(2, "c"), kEnd}), Kind::kSlow));
  EXPECT_FALSE(IsRight(Answer({Delta(1, "a"), kEnd}), Kind::kSlow));
  EXPECT_FALSE(IsRight(Answer({Delta(1, "a"), Delta(2, "b"),
                               Finish(v1::FINISH_REASON_STOP_TOKEN, 2)}),
                       Kind::kSlow));
  EXPECT_FALSE(IsRight(Answer({Delta(1, "a"), Delta(2, "b"),
                               Finish(v1::FINISH_REASON_LENGTH, 3)}),
                       Kind::kSlow));
  v1::GenerateResponse other = Delta(1, "a");
  other.mutable_delta()->mutable_tokens(0)->set_logprob(-1e-300);
  EXPECT_FALSE(IsRight(Answer({other, Delta(2, "b"), kEnd}), Kind::kSlow));
}

}  // namespace
}  // namespace rwkvd::testing
