// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_CONVERSATION_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_CONVERSATION_H_

#include <grpcpp/client_context.h>

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "tools/rwkvctl/chat/interrupt.h"
#include "tools/rwkvctl/chat/transcript.h"

namespace rwkvd {

// A conversation with a server. Every request contains the whole conversation
// as its prompt, which the server renders with a chat template. The server's
// state cache holds all of it but the end, so that answers start as fast in a
// long conversation as in a short one, although the server need not keep the
// conversation.
//
// One thread only. Owns none of the pointers.
class Conversation {
 public:
  // A value.
  struct Options {
    std::string chat_template;  // its name
    ::rwkv::v1::ChatThinking thinking = ::rwkv::v1::CHAT_THINKING_UNSPECIFIED;
    ::rwkv::v1::GenerateRequest request;            // without prompt
    absl::Duration timeout = absl::ZeroDuration();  // per call; 0: none
  };
  using OnResponse = std::function<void(const ::rwkv::v1::GenerateResponse&)>;

  Conversation(Options options, ::rwkv::v1::RwkvService::StubInterface* stub,
               Interrupt* interrupt);

  // Sends the user's message, passes the answer to `on_response` as it arrives,
  // and adds both to the transcript. If Ctrl-C stops the answer, the part that
  // arrived becomes the answer. On any other failure, returns the status of the
  // call and changes nothing.
  absl::Status Say(const std::string& user, const OnResponse& on_response);

  // Returns the part of every answer that its prompt contains, such as
  // "<think". Asks the server once for each template; returns its error if it
  // does not know the template or the mode of thinking.
  absl::StatusOr<std::string> AnswerStart();

  const Transcript& transcript() const { return transcript_; }
  // Continues from `transcript` instead. If it has another template, returns
  // the errors of AnswerStart, and then changes nothing.
  absl::Status SetTranscript(Transcript transcript);

  // Returns the transcript as the model reads it. Empty if there is none.
  absl::StatusOr<std::string> RenderedText();

  // Returns the model's state after the conversation, as the bytes of a state
  // file. FailedPrecondition if the conversation is empty.
  absl::StatusOr<std::string> FetchState();
  // Starts a new conversation from such a state, whose text is unknown, or from
  // the beginning if `state` is empty. Returns the server's status on failure.
  absl::Status StartFromState(std::string state);

 private:
  struct Answer {
    std::string text;
    bool interrupted = false;
  };

  absl::StatusOr<::rwkv::v1::TokenizeResponse> Tokenize(
      const ::rwkv::v1::TokenizeRequest& request);
  // Uploads the start state to the server.
  absl::Status UploadStart();
  // Sends `request` with `prompt`. If the server no longer has the start state,
  // uploads it and sends the request again.
  absl::StatusOr<Answer> Generate(::rwkv::v1::GenerateRequest request,
                                  ::rwkv::v1::Conversation prompt,
                                  const OnResponse& on_response);
  absl::StatusOr<Answer> GenerateOnce(
      const ::rwkv::v1::GenerateRequest& request,
      const OnResponse& on_response);
  // Sets the deadline of a call.
  void SetDeadline(grpc::ClientContext* context) const;

  Options options_;
  ::rwkv::v1::RwkvService::StubInterface* const stub_;
  Interrupt* const interrupt_;
  Transcript transcript_;
  // Of the transcript's template, once the server has been asked.
  std::optional<std::string> answer_start_;
  std::string start_;         // bytes of a state file; empty: none
  std::string start_handle_;  // the server's handle of that state
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_CONVERSATION_H_
