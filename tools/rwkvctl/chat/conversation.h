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

 private:
  struct Answer {
    std::string bytes;
    std::vector<int32_t> ids;
    bool interrupted = false;
  };

  absl::StatusOr<std::vector<int32_t>> Tokenize(absl::string_view text);
  absl::StatusOr<std::string> Detokenize(const std::vector<int32_t>& ids);
  absl::StatusOr<Answer> Ask(const std::vector<int32_t>& prompt,
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
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_CHAT_CONVERSATION_H_
