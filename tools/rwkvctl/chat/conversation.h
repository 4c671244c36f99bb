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

// A conversation with a server. Each time it is sent as a whole, as one prompt,
// of which the server's state cache knows all but the end: so an answer begins
// as soon in a long conversation as in a short one, and no server need remember
// it.
//
// One thread only. Owns none of the pointers.
class Conversation {
 public:
  // How a conversation is led. A value.
  struct Manner {
    const ChatTemplate* style = nullptr;
    ::rwkv::v1::GenerateRequest request;  // without prompt and stop strings
    absl::Duration timeout = absl::ZeroDuration();  // of a call; 0: none
  };
  using OnResponse = std::function<void(const ::rwkv::v1::GenerateResponse&)>;

  Conversation(Manner manner, ::rwkv::v1::RwkvService::StubInterface* stub,
               Interrupt* interrupt);

  // Says something; `on_response` sees the answer as it comes. If Ctrl-C ends
  // it, what came of it is the answer. Otherwise a call that fails changes
  // nothing, and its status is returned.
  absl::Status Say(const std::string& user, const OnResponse& on_response);

  const ChatTemplate& style() const { return *manner_.style; }
  const Transcript& transcript() const { return transcript_; }
  // Goes on from `transcript` instead. InvalidArgument if its template is
  // unknown.
  absl::Status Replace(Transcript transcript);

  // What the model remembers after all that was said, as the bytes of a state
  // file. FailedPrecondition if nothing was said.
  absl::StatusOr<std::string> State();
  // Goes on from such a state, without knowing what was said before; from the
  // beginning, if it is empty. The status of the server, if it cannot.
  absl::Status StartFrom(std::string state);

 private:
  struct Answer {
    std::string bytes;
    std::vector<int32_t> ids;
    bool interrupted = false;
  };

  absl::StatusOr<std::vector<int32_t>> Tokenize(absl::string_view text);
  absl::StatusOr<std::string> Detokenize(const std::vector<int32_t>& ids);
  // `text` as tokens, the known ones first.
  absl::StatusOr<std::vector<int32_t>> TokensOf(absl::string_view text);
  // What comes after the state that was started from, if there is one.
  std::string AfterStart(std::string text) const;
  // Gives the server the state that was started from.
  absl::Status PutStart();
  // Sends `request`; once more if its state was forgotten meanwhile.
  absl::StatusOr<Answer> Ask(::rwkv::v1::GenerateRequest request,
                             const std::vector<int32_t>& prompt,
                             const OnResponse& on_response);
  absl::StatusOr<Answer> AskOnce(const ::rwkv::v1::GenerateRequest& request,
                                 const OnResponse& on_response);
  // Makes known what was said after `prompt`, of the text `text`.
  void Know(std::vector<int32_t> prompt, std::string text, Answer answer);
  // Sets the deadline of a call.
  void Limit(grpc::ClientContext* context) const;

  Manner manner_;
  ::rwkv::v1::RwkvService::StubInterface* const stub_;
  Interrupt* const interrupt_;
  Transcript transcript_;
  KnownTokens known_;
  std::string start_;         // a state file; empty: none
  std::string start_handle_;  // under which the server keeps it
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_CONVERSATION_H_
