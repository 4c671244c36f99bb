// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/vllm_generate_protocol.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "service/convert/request_limits.h"
#include "service/vllm/chat_turn.h"

namespace rwkvd {

absl::StatusOr<GenerateInput> VllmGenerateProtocol::Convert(
    const ServedModel& model, RequestMessage* message) {
  ::vllm::grpc::engine::GenerateRequest proto;
  RWKVD_RETURN_IF_ERROR(message->ParseInto(&proto));
  const RequestLimits limits = LimitsOf(model, &message->reservation());
  absl::StatusOr<GenerateInput> input = FromVllm(&proto, limits);
  if (!input.ok()) return message->Counted(input.status());
  request_id_ = std::move(*proto.mutable_request_id());
  GenerateRequest& request = input->request;
  std::vector<std::string> hidden_stops = PrepareChatTurn(limits, &request);
  answer_ = {.stream = proto.stream(),
             .with_logprobs = request.want_logprobs,
             .top_prompt_logprobs = request.echo_top_logprobs,
             .prompt_tokens = static_cast<int64_t>(request.prompt.size()),
             .hidden_stops = std::move(hidden_stops),
             .tokenizer = model.tokenizer.get()};
  return input;
}

absl::Status VllmGenerateProtocol::CheckAnswer(const GenerateInput& input,
                                               int64_t max_bytes) const {
  if (answer_.stream) return absl::OkStatus();
  return CheckVllmAnswer(input, !answer_.hidden_stops.empty(),
                         std::min(max_bytes, VllmMessages::kMaxPendingBytes));
}

void VllmGenerateProtocol::Begin(GenerateCall* call) {
  if (request_id_.empty()) return;
  is_running_ = true;
  running_->Add(RunningCalls::KeyOf(partition_, request_id_), call);
}

void VllmGenerateProtocol::End(GenerateCall* call) {
  if (!is_running_) return;
  running_->Remove(RunningCalls::KeyOf(partition_, request_id_), call);
}

std::unique_ptr<GenerateMessages> VllmGenerateProtocol::NewMessages(
    int32_t num_samples) const {
  return std::make_unique<VllmMessages>(answer_, num_samples);
}

}  // namespace rwkvd
