// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_RWKV_GENERATE_PROTOCOL_H_
#define RWKVD_SERVICE_CALLS_RWKV_GENERATE_PROTOCOL_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/calls/delta_buffer.h"
#include "service/calls/generate_protocol.h"
#include "service/convert/token_texts.h"

namespace rwkvd {

// The messages of rwkv.v1.RwkvService/Generate.
class RwkvGenerateProtocol final : public GenerateProtocol {
 public:
  Rpc rpc() const override { return Rpc::kGenerate; }
  absl::StatusOr<GenerateInput> Convert(const ServedModel& model,
                                        RequestMessage* message) override;
  bool finishes_failed_samples() const override { return true; }
  absl::Status NameField(const absl::Status& status) const override {
    return NameGenerateField(status, samples_, num_stop_strings_);
  }
  std::unique_ptr<GenerateMessages> NewMessages(
      int32_t num_samples) const override;
  int64_t MaxBytes(const PromptEvent& event) const override {
    return DeltaBuffer::MaxBytes(event, texts_);
  }
  int64_t MaxBytes(const TokenEvent& event) const override {
    return DeltaBuffer::MaxBytes(event, texts_);
  }
  int64_t MaxBytes(const ::rwkv::v1::Finish& finish) const override {
    return DeltaBuffer::MaxBytes(finish);
  }

 private:
  // Set by Convert.
  SampleCounts samples_;
  int64_t num_stop_strings_ = 0;  // of the message, without stop_texts
  bool with_logprobs_ = false;
  TokenTexts texts_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_RWKV_GENERATE_PROTOCOL_H_
