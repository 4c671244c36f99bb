// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_GENERATE_PROTOCOL_H_
#define RWKVD_SERVICE_CALLS_GENERATE_PROTOCOL_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/sink.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/calls/request_message.h"
#include "service/convert/generate_request.h"
#include "service/metrics/metrics.h"
#include "service/response_memory.h"
#include "service/served_model.h"

namespace rwkvd {

class GenerateCall;

// A serialized message of a response, and whether it has generated tokens.
struct GenerateMessage {
  grpc::ByteBuffer bytes;
  bool has_tokens = false;
};

// The messages of one Generate call that have not been written yet. The caller
// charges the memory before it adds something, with the sizes that
// GenerateProtocol::MaxBytes returns.
//
// Owned by one Generate call; thread-compatible.
class GenerateMessages {
 public:
  virtual ~GenerateMessages() = default;

  virtual void AddPrompt(int32_t sample, const PromptEvent& event,
                         ResponseCharge charge) = 0;
  virtual void AddToken(int32_t sample, const TokenEvent& event,
                        ResponseCharge charge) = 0;
  // Adds the bytes of the sample's state, after its last token.
  virtual void AddState(int32_t sample, std::string bytes,
                        ResponseCharge charge) = 0;
  // Adds the end of the sample.
  virtual void AddFinish(int32_t sample, ::rwkv::v1::Finish finish,
                         ResponseCharge charge) = 0;

  // Removes and returns the oldest message. There is one.
  virtual GenerateMessage Pop() = 0;
  virtual void Clear() = 0;
  // Drops all samples but those in `kept`, and sorts their messages in the
  // order of `kept`.
  virtual void Keep(const std::vector<int32_t>& kept) = 0;

  // Whether there is no message to write now.
  virtual bool empty() const = 0;
  // Whether more bytes are buffered than one call may.
  virtual bool overflown() const = 0;
};

// The messages of one method that generates text. Each of its calls has an
// object: GenerateCall knows no message but through it, so that all methods
// share one path through the engine.
//
// Owned by one Generate call. Convert and Begin are called in this order before
// the engine knows the call; the const methods are thread-safe.
class GenerateProtocol {
 public:
  virtual ~GenerateProtocol() = default;

  virtual Rpc rpc() const = 0;

  // Parses and converts the message of the call. Errors are those of
  // RequestMessage::ParseInto and FromProto. Called once, on a thread of the
  // work pool.
  virtual absl::StatusOr<GenerateInput> Convert(const ServedModel& model,
                                                RequestMessage* message) = 0;

  // Refuses a request whose answer might not be sent, because it is kept until
  // it is complete and could take more than `max_bytes` of memory. Called after
  // Convert.
  virtual absl::Status CheckAnswer(const GenerateInput& /*input*/,
                                   int64_t /*max_bytes*/) const {
    return absl::OkStatus();
  }

  // `call` has been converted, and the engine has room for it. Other threads
  // may find it from now on. The lock of `call` is held.
  virtual void Begin(GenerateCall* /*call*/) {}
  // `call` ends. Called once, also without Begin.
  virtual void End(GenerateCall* /*call*/) {}

  // Whether a sample that an error ends early, such as the end of the server,
  // has its Finish added before the call ends with that error.
  virtual bool finishes_failed_samples() const = 0;

  // Renames the field in an error of the engine, or of the checks of a
  // GenerateInput, to its name on the wire.
  virtual absl::Status NameField(const absl::Status& status) const = 0;

  // No messages yet, for this number of samples.
  virtual std::unique_ptr<GenerateMessages> NewMessages(
      int32_t num_samples) const = 0;

  // The maximum memory for what is added to GenerateMessages.
  virtual int64_t MaxBytes(const PromptEvent& event) const = 0;
  virtual int64_t MaxBytes(const TokenEvent& event) const = 0;
  virtual int64_t MaxBytes(const ::rwkv::v1::Finish& finish) const = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_GENERATE_PROTOCOL_H_
