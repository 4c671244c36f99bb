// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_REQUEST_LIMITS_H_
#define RWKVD_SERVICE_CONVERT_REQUEST_LIMITS_H_

#include "absl/types/span.h"
#include "core/engine/engine_options.h"
#include "core/engine/named_state.h"
#include "core/text/tokenizer.h"
#include "service/served_model.h"

namespace rwkvd {

// The parts of a served model that requests are converted with. The model
// outlives it.
struct RequestLimits {
  const Tokenizer& tokenizer;
  const EngineOptions& engine;
  absl::Span<const NamedState> initial_states;
  // Whether handles of saved states stay valid after the server has stopped.
  bool handles_outlive_server = false;
};

RequestLimits LimitsOf(const ServedModel& model);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_REQUEST_LIMITS_H_
