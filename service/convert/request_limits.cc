// SPDX-License-Identifier: Apache-2.0
#include "service/convert/request_limits.h"

namespace rwkvd {

RequestLimits LimitsOf(const ServedModel& model) {
  return {*model.tokenizer, model.engine->options(),
          model.engine->initial_states(),
          model.states->store().outlives_process()};
}

}  // namespace rwkvd
