// SPDX-License-Identifier: Apache-2.0
#include "tests/load/load_answer.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace rwkvd::testing {
namespace {

namespace v1 = ::rwkv::v1;
using grpc::StatusCode;

bool IsBeginning(const std::vector<std::string>& part,
                 const std::vector<std::string>& whole) {
  return part.size() <= whole.size() &&
         std::equal(part.begin(), part.end(), whole.begin());
}

bool Explains(Behavior::Kind behavior, StatusCode code) {
  switch (behavior) {
    case Behavior::Kind::kCancel:
      return code == StatusCode::CANCELLED;
    case Behavior::Kind::kDeadline:
      return code == StatusCode::DEADLINE_EXCEEDED;
    case Behavior::Kind::kRefused:
      return code == StatusCode::RESOURCE_EXHAUSTED ||
             code == StatusCode::UNAVAILABLE;
    case Behavior::Kind::kCut:
      return code == StatusCode::UNAVAILABLE;
    default:
      return false;
  }
}

// Compares what must be equal in both finishes: everything except times and
// cached tokens.
std::string DifferenceOf(const v1::Finish& alone, const v1::Finish& finish) {
  if (finish.reason() != alone.reason()) return "a different finish reason";
  if (finish.stop_string() != alone.stop_string())
    return "a different stop string";
  if (finish.seed() != alone.seed()) return "a different seed";
  if (finish.usage().prompt_tokens() != alone.usage().prompt_tokens() ||
      finish.usage().generated_tokens() != alone.usage().generated_tokens()) {
    return "different token counts";
  }
  return "";
}

std::string FindProblemWithWhole(const LoadAnswer& alone,
                                 const LoadAnswer& answer) {
  if (answer.tokens != alone.tokens) return "different tokens than alone";
  if (answer.bytes != alone.bytes) return "different bytes than alone";
  if (answer.text != alone.text) return "different text than alone";
  return DifferenceOf(*alone.finish, *answer.finish);
}

}  // namespace

void LoadAnswer::Add(const v1::GenerateResponse& response) {
  if (finish.has_value()) after_finish = true;
  if (response.has_finish()) {
    finish = response.finish();
    bytes += finish->bytes();
    text += finish->text();
    return;
  }
  for (const v1::Token& token : response.delta().tokens()) {
    tokens.push_back(token.SerializeAsString());
  }
  bytes += response.delta().bytes();
  text += response.delta().text();
}

std::string FindProblem(const LoadAnswer& alone, const LoadAnswer& answer,
                        Behavior::Kind behavior) {
  if (answer.after_finish) return "a message after the finish";
  const bool is_whole = answer.finish.has_value() &&
                        answer.finish->reason() != v1::FINISH_REASON_CANCELLED;
  if (answer.status.ok() && !is_whole) return "status OK without a finish";
  if (!answer.status.ok() && !Explains(behavior, answer.status.error_code())) {
    return absl::StrCat("status ", answer.status.error_code(), ": ",
                        answer.status.error_message());
  }
  if (is_whole) return FindProblemWithWhole(alone, answer);
  if (!IsBeginning(answer.tokens, alone.tokens)) {
    return "tokens that do not begin the answer alone";
  }
  // The withheld bytes at the end of a partial answer may split a character.
  if (!absl::StartsWith(alone.bytes, answer.bytes)) {
    return "bytes that do not begin the answer alone";
  }
  return "";
}

}  // namespace rwkvd::testing
