// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_CHAT_CONVERSATION_H_
#define RWKVD_TOOLS_RWKVCTL_CHAT_CONVERSATION_H_

#include <grpcpp/client_context.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rwkv/v1/rwkv.grpc.pb.h"
#include "tools/rwkvctl/chat/chat_template.h"
#include "tools/rwkvctl/chat/interrupt.h"
#include "tools/rwkvctl/chat/known_tokens.h"
#include "tools/rwkvctl/chat/transcript.h"

namespace rwkvd {

// A conversation with a server. Every request contains the whole conversation
// as its prompt. The server's state cache holds all of it but the end, so that
// answers start as fast in a long conversation as in a short one, although the
// server need not keep the conversation.
//
// One thread only. Owns none of the pointers.
class Conversation {
 public:
  // A value.
  struct Options {
    const ChatTemplate* chat_template = nullptr;
    ::rwkv::v1::GenerateRequest request;  // without prompt and stop strings
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

  const ChatTemplate& chat_template() const { return *options_.chat_template; }
  const Transcript& transcript() const { return transcript_; }
  // Continues from `transcript` instead. InvalidArgument if its template is
  // unknown.
  absl::Status SetTranscript(Transcript transcript);

  // Returns the model's state after the conversation, as the bytes of a state
  // file. FailedPrecondition if the conversation is empty.
  absl::StatusOr<std::string> FetchState();
  // Starts a new conversation from such a state, whose text is unknown, or from
  // the beginning if `state` is empty. Returns the server's status on failure.
  absl::Status StartFromState(std::string state);

 private:
  struct Answer {
    std::string bytes;
    std::vector<int32_t> ids;
    bool interrupted = false;
  };

  absl::StatusOr<std::vector<int32_t>> Tokenize(absl::string_view text);
  absl::StatusOr<std::string> Detokenize(const std::vector<int32_t>& ids);
  // The tokens of `text`: the known ones, followed by those of the rest.
  absl::StatusOr<std::vector<int32_t>> TokensOf(absl::string_view text);
  // Returns `text` as the continuation of the start state, if there is one.
  std::string ContinueStart(std::string text) const;
  // Uploads the start state to the server.
  absl::Status UploadStart();
  // Sends `request` with `prompt`. If the server no longer has the start state,
  // uploads it and sends the request again.
  absl::StatusOr<Answer> Generate(::rwkv::v1::GenerateRequest request,
                                  const std::vector<int32_t>& prompt,
                                  const OnResponse& on_response);
  absl::StatusOr<Answer> GenerateOnce(
      const ::rwkv::v1::GenerateRequest& request,
      const OnResponse& on_response);
  // Stores the tokens of `prompt`, whose text is `text`, and of `answer` as
  // known tokens.
  void Remember(std::vector<int32_t> prompt, std::string text, Answer answer);
  // Sets the deadline of a call.
  void SetDeadline(grpc::ClientContext* context) const;

  Options options_;
  ::rwkv::v1::RwkvService::StubInterface* const stub_;
  Interrupt* const interrupt_;
  Transcript transcript_;
  KnownTokens known_;
  std::string start_;         // bytes of a state file; empty: none
  std::string start_handle_;  // the server's handle of that state
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_CONVERSATION_H_
