// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>

#include "absl/status/status.h"
#include "core/base/status_macros.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/initial_state.h"
#include "tools/rwkvctl/input.h"
#include "tools/rwkvctl/token_texts.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

void Print(const v1::ContinuationScore& score, const std::string& text) {
  std::printf("%.6f\t%lld\t%s\t%s\n", score.logprob_sum(),
              static_cast<long long>(score.token_count()),
              score.is_greedy() ? "greedy" : "-", text.c_str());
}

absl::StatusOr<int> RunScore(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2) {
    return absl::InvalidArgumentError(
        "score takes a context (which may be \"\") and one or more "
        "continuations");
  }
  v1::ScoreRequest request;
  RWKVD_RETURN_IF_ERROR(
      SetInput(ReadArgument(arguments[0]), request.mutable_context()));
  for (size_t i = 1; i < arguments.size(); ++i) {
    RWKVD_RETURN_IF_ERROR(SetInput(arguments[i], request.add_continuations()));
  }
  request.set_initial_state(InitialState());
  request.set_totals_only(!WantJson());
  request.set_max_response_bytes(std::numeric_limits<int32_t>::max());
  Call call;
  v1::ScoreResponse response;
  const grpc::Status status = v1::RwkvService::NewStub(Connect())->Score(
      call.context(), request, &response);
  if (status.ok() && WantJson()) {
    PrintJson(response);
  } else if (status.ok()) {
    for (int i = 0; i < response.scores_size(); ++i) {
      Print(response.scores(i), arguments[i + 1]);
    }
  }
  return call.ExitCode(status);
}

constexpr absl::string_view kScoreFiles[] = {
    "tools/rwkvctl/score.cc", kInitialStateFile, kTokenTextsFile};

}  // namespace

const Command kScore = {
    "score",
    "CONTEXT CONTINUATION...",
    "compare continuations of a text",
    "Prints for each continuation: the sum of its tokens' log-probabilities "
    "after the\ncontext, its number of tokens, and \"greedy\" if greedy "
    "decoding would generate it.",
    "rwkvctl score \"In the beginning\" \" God created\" \" the whale\"\n"
    "rwkvctl score - \" yes\" \" no\" < question.txt\n"
    "rwkvctl score --tokens 128,64 7 9,9",
    kScoreFiles,
    &RunScore};

}  // namespace rwkvd
