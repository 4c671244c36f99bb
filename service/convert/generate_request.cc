// SPDX-License-Identifier: Apache-2.0
#include "service/convert/generate_request.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "core/engine/validate.h"
#include "service/convert/chat_input.h"
#include "service/convert/input.h"
#include "service/convert/request_memory.h"
#include "service/convert/sampling.h"
#include "service/states/initial_states.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// The contract's default for max_tokens; less if the server allows less.
constexpr int64_t kDefaultMaxTokens = 256;

absl::StatusOr<PinRequest> PinFromProto(const v1::Pin& proto) {
  PinRequest pin;
  pin.name = proto.name();
  if (proto.has_ttl_seconds()) {
    RWKVD_ASSIGN_OR_RETURN(
        pin.time_to_live,
        TimeToLiveFromProto("pin.ttl_seconds", proto.ttl_seconds()));
  }
  return pin;
}

absl::StatusOr<SampleCounts> SamplesFromProto(const v1::GenerateRequest& proto,
                                              const EngineOptions& engine) {
  SampleCounts samples;
  if (proto.has_n()) samples.returned = proto.n();
  samples.generated = proto.has_best_of() ? proto.best_of() : samples.returned;
  // The engine checks the samples that it generates.
  if (!proto.has_best_of()) return samples;
  RWKVD_RETURN_IF_ERROR(ValidateSamples("n", samples.returned, engine));
  if (samples.generated >= samples.returned) return samples;
  return FieldError(
      "best_of",
      absl::StrCat(samples.generated, " is less than n, ", samples.returned));
}

absl::Status SetLogprobs(const v1::GenerateRequest& proto,
                         GenerateInput* input) {
  GenerateRequest& request = input->request;
  request.top_logprobs = proto.top_logprobs();
  request.echo_top_logprobs = proto.echo_top_logprobs();
  request.echo = proto.echo() || request.echo_top_logprobs > 0;
  request.want_sampled_logprobs = proto.drawn_logprobs();
  request.top_sampled_logprobs = proto.top_drawn_logprobs();
  const bool keeps_best = input->samples.returned < input->samples.generated;
  if (keeps_best && request.echo) {
    return FieldError(ErrorReason::kFieldsConflict, "echo",
                      "not together with best_of");
  }
  input->delivery.logprobs = proto.logprobs() || request.top_logprobs > 0;
  input->delivery.token_text = proto.token_text();
  request.want_logprobs = input->delivery.logprobs || keeps_best;
  return absl::OkStatus();
}

// Sets the prompt. Returns the template that has rendered it, or null if it is
// not a conversation.
absl::StatusOr<const ChatTemplate*> SetPrompt(const v1::GenerateRequest& proto,
                                              const RequestLimits& limits,
                                              GenerateRequest* request) {
  const TokenLimit limit = {limits.engine.max_prompt_tokens};
  const v1::Input& prompt = proto.prompt();
  if (!prompt.has_conversation()) {
    RWKVD_ASSIGN_OR_RETURN(request->prompt,
                           TokensFromProto(prompt, limits, "prompt", limit));
    return nullptr;
  }
  RWKVD_ASSIGN_OR_RETURN(
      ChatTokens chat,
      ChatFromProto(prompt.conversation(), limits, "prompt", limit));
  request->prompt = std::move(chat.ids);
  request->save_point = chat.save_point;
  return chat.chat_template;
}

// Adds the stop sequences of a template that are not there yet.
void AddChatStops(const ChatTemplate& chat_template,
                  std::vector<std::string>* stop_strings) {
  for (const absl::string_view stop : chat_template.stop_sequences) {
    if (!absl::c_linear_search(*stop_strings, stop)) {
      stop_strings->emplace_back(stop);
    }
  }
}

// The engine checks their number and sizes.
absl::Status SetStopStrings(const v1::GenerateRequest& proto,
                            const RequestLimits& limits,
                            GenerateRequest* request) {
  int64_t bytes = 0;
  for (const auto* list : {&proto.stop_strings(), &proto.stop_texts()}) {
    for (const std::string& text : *list) {
      bytes += static_cast<int64_t>(sizeof(text) + text.size());
    }
  }
  RWKVD_RETURN_IF_ERROR(ReserveMore(limits.memory, bytes));
  request->stop_strings.reserve(
      static_cast<size_t>(proto.stop_strings_size() + proto.stop_texts_size()));
  request->stop_strings.assign(proto.stop_strings().begin(),
                               proto.stop_strings().end());
  request->stop_strings.insert(request->stop_strings.end(),
                               proto.stop_texts().begin(),
                               proto.stop_texts().end());
  return absl::OkStatus();
}

absl::Status SetStates(const v1::GenerateRequest& proto,
                       const RequestLimits& limits, GenerateInput* input) {
  input->request.resume = proto.resume();
  input->state_handle = proto.state_handle();
  if (!proto.state_handle().empty() && !proto.initial_state().empty()) {
    return FieldError(ErrorReason::kFieldsConflict, "initial_state",
                      "not together with state_handle");
  }
  const v1::ReturnState& wanted = proto.return_state();
  input->delivery.state_as_handle = wanted.as_handle();
  if (wanted.has_ttl_seconds()) {
    RWKVD_ASSIGN_OR_RETURN(
        input->delivery.time_to_live,
        TimeToLiveFromProto("return_state.ttl_seconds", wanted.ttl_seconds()));
  }
  input->request.snapshot_at_end = wanted.at_end();
  input->request.snapshot_on_drain = wanted.on_drain();
  if (!wanted.on_drain()) return absl::OkStatus();
  if (input->samples.returned < input->samples.generated) {
    return FieldError(ErrorReason::kFieldsConflict, "return_state.on_drain",
                      "a request with best_of cannot be resumed");
  }
  if (wanted.as_handle() && !limits.handles_outlive_server) {
    return FieldError(ErrorReason::kHandlesNotDurable, "return_state.on_drain",
                      "this server's handles become invalid when it stops; ask "
                      "for the state itself");
  }
  return absl::OkStatus();
}

// The name on the wire of a stop string with the index in `rest`, "3]".
std::string StopField(absl::string_view rest, int64_t num_stop_strings) {
  int64_t index = 0;
  absl::ConsumeSuffix(&rest, "]");
  if (!absl::SimpleAtoi(rest, &index) || index < num_stop_strings) {
    return absl::StrCat("stop_strings[", rest, "]");
  }
  return absl::StrCat("stop_texts[", index - num_stop_strings, "]");
}

}  // namespace

absl::StatusOr<GenerateInput> FromProto(const v1::GenerateRequest& proto,
                                        const RequestLimits& limits) {
  GenerateInput input;
  GenerateRequest& request = input.request;
  RWKVD_ASSIGN_OR_RETURN(const ChatTemplate* const chat_template,
                         SetPrompt(proto, limits, &request));
  RWKVD_ASSIGN_OR_RETURN(
      request.initial_state,
      FindInitialState(limits.initial_states, proto.initial_state()));
  request.max_tokens =
      proto.has_max_tokens()
          ? proto.max_tokens()
          : std::min(kDefaultMaxTokens, limits.engine.max_generated_tokens);
  RWKVD_ASSIGN_OR_RETURN(request.sampling, FromProto(proto.sampling()));
  RWKVD_RETURN_IF_ERROR(SetStopStrings(proto, limits, &request));
  if (chat_template != nullptr && !proto.ignore_chat_stops()) {
    AddChatStops(*chat_template, &request.stop_strings);
  }
  input.num_stop_strings = proto.stop_strings_size();
  request.stop_tokens.assign(proto.stop_tokens().begin(),
                             proto.stop_tokens().end());
  if (proto.has_pin()) {
    RWKVD_ASSIGN_OR_RETURN(request.pin, PinFromProto(proto.pin()));
  }
  RWKVD_ASSIGN_OR_RETURN(input.samples, SamplesFromProto(proto, limits.engine));
  RWKVD_RETURN_IF_ERROR(SetLogprobs(proto, &input));
  RWKVD_RETURN_IF_ERROR(SetStates(proto, limits, &input));
  return input;
}

absl::Status NameGenerateField(const absl::Status& status,
                               const SampleCounts& samples,
                               int64_t num_stop_strings) {
  return RenameField(status, [&](absl::string_view field) -> std::string {
    if (field == "samples") {
      return samples.generated == samples.returned ? "n" : "best_of";
    }
    if (field == "top_sampled_logprobs") return "top_drawn_logprobs";
    if (field == "stop_strings" && num_stop_strings == 0) return "stop_texts";
    if (absl::ConsumePrefix(&field, "stop_strings[")) {
      return StopField(field, num_stop_strings);
    }
    if (absl::ConsumePrefix(&field, "prompt[")) {
      return absl::StrCat("prompt.tokens.ids[", field);
    }
    return std::string(field);
  });
}

}  // namespace rwkvd
