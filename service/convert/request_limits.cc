// SPDX-License-Identifier: Apache-2.0
#include "service/convert/request_limits.h"

namespace rwkvd {

RequestLimits LimitsOf(const ServedModel& model,
                       ByteBudget::Reservation* memory) {
  return {*model.tokenizer,
          model.engine->options(),
          model.engine->initial_states(),
          model.states->store().outlives_process(),
          memory,
          model.chat_template};
}

}  // namespace rwkvd
