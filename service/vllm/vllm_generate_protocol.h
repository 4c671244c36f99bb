// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_VLLM_GENERATE_PROTOCOL_H_
#define RWKVD_SERVICE_VLLM_VLLM_GENERATE_PROTOCOL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/calls/generate_protocol.h"
#include "service/vllm/running_calls.h"
#include "service/vllm/vllm_messages.h"
#include "service/vllm/vllm_request.h"

namespace rwkvd {

// The messages of vllm.grpc.engine.VllmEngine/Generate.
class VllmGenerateProtocol final : public GenerateProtocol {
 public:
  // `running`, which outlives this, has the call while it runs. `partition` is
  // that of the caller.
  explicit VllmGenerateProtocol(RunningCalls* running,
                                std::string partition = "")
      : running_(running), partition_(std::move(partition)) {}

  Rpc rpc() const override { return Rpc::kVllmGenerate; }
  absl::StatusOr<GenerateInput> Convert(const ServedModel& model,
                                        RequestMessage* message) override;
  absl::Status CheckAnswer(const GenerateInput& input,
                           int64_t max_bytes) const override;
  void Begin(GenerateCall* call) override;
  void End(GenerateCall* call) override;
  // Gateways take a GenerateComplete for a result, and do not repeat a request
  // that has one.
  bool finishes_failed_samples() const override { return false; }
  absl::Status NameField(const absl::Status& status) const override {
    return NameVllmField(status);
  }
  std::unique_ptr<GenerateMessages> NewMessages(
      int32_t num_samples) const override;
  int64_t MaxBytes(const PromptEvent& event) const override {
    return VllmMessages::MaxBytes(event);
  }
  int64_t MaxBytes(const TokenEvent& event) const override {
    return VllmMessages::MaxBytes(event);
  }
  int64_t MaxBytes(const ::rwkv::v1::Finish& finish) const override {
    return VllmMessages::MaxBytes(finish);
  }

 private:
  RunningCalls* const running_;
  const std::string partition_;
  bool is_running_ = false;  // set by Begin
  // Set by Convert.
  std::string request_id_;
  VllmAnswer answer_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_VLLM_GENERATE_PROTOCOL_H_
