// SPDX-License-Identifier: Apache-2.0
#include "service/calls/rwkv_generate_protocol.h"

#include <string>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "service/convert/request_limits.h"

namespace rwkvd {
namespace {

// A DeltaBuffer.
class DeltaMessages final : public GenerateMessages {
 public:
  DeltaMessages(int32_t num_samples, bool with_logprobs, TokenTexts texts)
      : with_logprobs_(with_logprobs), texts_(texts), buffer_(num_samples) {}

  void AddPrompt(int32_t sample, const PromptEvent& event,
                 ResponseCharge charge) override {
    buffer_.AddPrompt(sample, event, std::move(charge), texts_);
  }
  void AddToken(int32_t sample, const TokenEvent& event,
                ResponseCharge charge) override {
    buffer_.AddToken(sample, event, with_logprobs_, std::move(charge), texts_);
  }
  void AddState(int32_t sample, std::string bytes,
                ResponseCharge charge) override {
    buffer_.AddState(sample, std::move(bytes), std::move(charge));
  }
  void AddFinish(int32_t sample, ::rwkv::v1::Finish finish,
                 ResponseCharge charge) override {
    buffer_.AddFinish(sample, std::move(finish), std::move(charge));
  }
  GenerateMessage Pop() override {
    DeltaBuffer::Response response = buffer_.Pop();
    return {std::move(response.bytes), response.has_tokens};
  }
  void Clear() override { buffer_.Clear(); }
  void Keep(const std::vector<int32_t>& kept) override { buffer_.Keep(kept); }
  bool empty() const override { return buffer_.empty(); }
  bool overflown() const override { return buffer_.overflown(); }

 private:
  const bool with_logprobs_;
  const TokenTexts texts_;
  DeltaBuffer buffer_;
};

}  // namespace

absl::StatusOr<GenerateInput> RwkvGenerateProtocol::Convert(
    const ServedModel& model, RequestMessage* message) {
  ::rwkv::v1::GenerateRequest proto;
  RWKVD_RETURN_IF_ERROR(message->ParseInto(&proto));
  absl::StatusOr<GenerateInput> input =
      FromProto(proto, LimitsOf(model, &message->reservation()));
  if (!input.ok()) return message->Counted(input.status());
  samples_ = input->samples;
  num_stop_strings_ = input->num_stop_strings;
  with_logprobs_ = input->delivery.logprobs;
  if (input->delivery.token_text) texts_ = TokenTexts(model.tokenizer.get());
  return input;
}

std::unique_ptr<GenerateMessages> RwkvGenerateProtocol::NewMessages(
    int32_t num_samples) const {
  return std::make_unique<DeltaMessages>(num_samples, with_logprobs_, texts_);
}

}  // namespace rwkvd
