// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_REQUEST_LIMITS_H_
#define RWKVD_SERVICE_CONVERT_REQUEST_LIMITS_H_

#include "absl/types/span.h"
#include "core/base/byte_budget.h"
#include "core/engine/engine_options.h"
#include "core/engine/named_state.h"
#include "core/text/chat/chat_template.h"
#include "core/text/tokenizer.h"
#include "service/served_model.h"

namespace rwkvd {

// What the conversion of a request needs: parts of a served model, and a
// reservation for the memory that the conversion allocates. A value; both
// outlive it.
struct RequestLimits {
  const Tokenizer& tokenizer;
  const EngineOptions& engine;
  absl::Span<const NamedState> initial_states;
  // Whether handles of saved states stay valid after the server has stopped.
  bool handles_outlive_server = false;
  // Resized to what has been allocated. If null, nothing is reserved.
  ByteBudget::Reservation* memory = nullptr;
  // Renders conversations that name no template. Null: there is none.
  const ChatTemplate* chat_template = nullptr;
};

// `memory` already covers the message that is converted.
RequestLimits LimitsOf(const ServedModel& model,
                       ByteBudget::Reservation* memory = nullptr);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_REQUEST_LIMITS_H_
