// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_CHAT_TURN_H_
#define RWKVD_SERVICE_VLLM_CHAT_TURN_H_

#include <string>
#include <vector>

#include "core/engine/request.h"
#include "service/convert/request_limits.h"

namespace rwkvd {

// Gateways render conversations themselves, and send tokens that do not say so.
// A prompt that ends as the chat template of the model begins an answer is
// taken for a conversation. (If the server knows no template: as any built-in
// template does.) What Generate does for a conversation is then done here:
//
//   * The answer ends at the stop sequences of the template, unless the request
//     ignores the end of the text. Returns those that the request did not have.
//   * If later prompts may not repeat the start of the answer, the state before
//     it is kept, too.
std::vector<std::string> PrepareChatTurn(const RequestLimits& limits,
                                         GenerateRequest* request);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_CHAT_TURN_H_
