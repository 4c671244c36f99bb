// SPDX-License-Identifier: Apache-2.0
#include "service/convert/convert.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "cli/version.h"
#include "core/base/status_macros.h"
#include "core/engine/field_error.h"
#include "core/engine/validate.h"
#include "core/model/config.h"
#include "service/convert/convert_sampling.h"
#include "service/convert/convert_states.h"
#include "service/states/initial_states.h"

namespace rwkvd {
namespace {

// Of the contract; less if the server allows less.
constexpr int64_t kDefaultMaxTokens = 256;

// `field` names the input in errors.
absl::StatusOr<std::vector<int32_t>> ReadInput(const v1::Input& input,
                                               const Tokenizer& tokenizer,
                                               absl::string_view field) {
  const auto encode = [&](absl::string_view bytes, absl::string_view form) {
    auto ids = tokenizer.Encode(bytes);
    if (ids.ok()) return ids;
    return absl::StatusOr<std::vector<int32_t>>(absl::Status(
        ids.status().code(),
        absl::StrCat(field, ".", form, ": ", ids.status().message())));
  };
  switch (input.input_case()) {
    case v1::Input::kText:
      return encode(input.text(), "text");
    case v1::Input::kBytes:
      return encode(input.bytes(), "bytes");
    case v1::Input::kTokens:
      return std::vector<int32_t>(input.tokens().ids().begin(),
                                  input.tokens().ids().end());
    case v1::Input::INPUT_NOT_SET:
      break;
  }
  return std::vector<int32_t>();
}

absl::StatusOr<PinRequest> ReadPin(const v1::Pin& proto) {
  PinRequest pin;
  pin.name = proto.name();
  if (proto.has_ttl_seconds()) {
    RWKVD_ASSIGN_OR_RETURN(
        pin.time_to_live,
        ReadTimeToLive("pin.ttl_seconds", proto.ttl_seconds()));
  }
  return pin;
}

void ToProto(const TokenLogprob& from, v1::TokenLogprob* to) {
  to->set_id(from.id);
  to->set_logprob(from.logprob);
}

v1::FinishReason ToProto(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopString:
      return v1::FINISH_REASON_STOP_STRING;
    case FinishReason::kStopToken:
      return v1::FINISH_REASON_STOP_TOKEN;
    case FinishReason::kEndOfText:
      return v1::FINISH_REASON_END_OF_TEXT;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case FinishReason::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
    case FinishReason::kScored:
    case FinishReason::kRefused:
      break;  // these have no finish message
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

// `prefix` comes before the names of the item's fields.
absl::StatusOr<ScoreItem> ReadItem(
    const v1::Input& context,
    const google::protobuf::RepeatedPtrField<v1::Input>& continuations,
    const Tokenizer& tokenizer, absl::string_view prefix) {
  ScoreItem item;
  RWKVD_ASSIGN_OR_RETURN(
      item.context,
      ReadInput(context, tokenizer, absl::StrCat(prefix, "context")));
  for (const v1::Input& continuation : continuations) {
    const size_t index = item.continuations.size();
    RWKVD_ASSIGN_OR_RETURN(
        std::vector<int32_t> tokens,
        ReadInput(continuation, tokenizer,
                  absl::StrCat(prefix, "continuations[", index, "]")));
    item.continuations.push_back(std::move(tokens));
  }
  return item;
}

absl::StatusOr<std::vector<ScoreItem>> ReadItems(const v1::ScoreRequest& proto,
                                                 const Tokenizer& tokenizer) {
  std::vector<ScoreItem> items;
  if (proto.items().empty()) {
    RWKVD_ASSIGN_OR_RETURN(
        ScoreItem item,
        ReadItem(proto.context(), proto.continuations(), tokenizer, ""));
    items.push_back(std::move(item));
    return items;
  }
  if (proto.has_context() || !proto.continuations().empty()) {
    return absl::InvalidArgumentError(
        "items: not beside context and continuations");
  }
  for (const v1::ScoreItem& item : proto.items()) {
    const std::string prefix = absl::StrCat("items[", items.size(), "].");
    RWKVD_ASSIGN_OR_RETURN(
        ScoreItem native,
        ReadItem(item.context(), item.continuations(), tokenizer, prefix));
    items.push_back(std::move(native));
  }
  return items;
}

}  // namespace

absl::Status NameGenerateField(const absl::Status& status) {
  return RenameField(status, [](absl::string_view field) -> std::string {
    if (field == "samples") return "n";
    if (field == "top_sampled_logprobs") return "top_drawn_logprobs";
    if (absl::ConsumePrefix(&field, "prompt[")) {
      return absl::StrCat("prompt.tokens[", field);
    }
    return std::string(field);
  });
}

absl::Status NameScoreField(const absl::Status& status, bool has_items) {
  return RenameField(status, [has_items](absl::string_view field) {
    if (!has_items) absl::ConsumePrefix(&field, "items[0].");
    // A list of tokens is an Input on the wire, with the tokens in `tokens`.
    const size_t continuation = field.find("continuations[");
    if (continuation != absl::string_view::npos) {
      const size_t end = field.find(']', continuation) + 1;
      return absl::StrCat(field.substr(0, end), ".tokens", field.substr(end));
    }
    return absl::StrReplaceAll(field, {{"context[", "context.tokens["}});
  });
}

RequestLimits LimitsOf(const ServedModel& model) {
  return {*model.tokenizer, model.model->config().vocab_size,
          model.engine->options(), model.engine->initial_states()};
}

absl::StatusOr<GenerateRequest> FromProto(const v1::GenerateRequest& proto,
                                          const RequestLimits& limits) {
  GenerateRequest request;
  RWKVD_ASSIGN_OR_RETURN(request.prompt,
                         ReadInput(proto.prompt(), limits.tokenizer, "prompt"));
  RWKVD_ASSIGN_OR_RETURN(
      request.initial_state,
      FindInitialState(limits.initial_states, proto.initial_state()));
  request.max_tokens =
      proto.has_max_tokens()
          ? proto.max_tokens()
          : std::min(kDefaultMaxTokens, limits.engine.max_generated_tokens);
  RWKVD_ASSIGN_OR_RETURN(request.sampling, FromProto(proto.sampling()));
  request.stop_strings.assign(proto.stop_strings().begin(),
                              proto.stop_strings().end());
  request.stop_tokens.assign(proto.stop_tokens().begin(),
                             proto.stop_tokens().end());
  request.top_logprobs = proto.top_logprobs();
  request.want_logprobs = proto.logprobs() || request.top_logprobs > 0;
  request.echo_top_logprobs = proto.echo_top_logprobs();
  request.echo = proto.echo() || request.echo_top_logprobs > 0;
  request.want_sampled_logprobs = proto.drawn_logprobs();
  request.top_sampled_logprobs = proto.top_drawn_logprobs();
  if (proto.has_pin()) {
    RWKVD_ASSIGN_OR_RETURN(request.pin, ReadPin(proto.pin()));
  }
  RWKVD_RETURN_IF_ERROR(
      NameGenerateField(Validate(request, limits.engine, limits.vocab_size)));
  return request;
}

absl::StatusOr<SampleCounts> SamplesFromProto(const v1::GenerateRequest& proto,
                                              const RequestLimits& limits) {
  SampleCounts samples;
  if (proto.has_n()) samples.returned = proto.n();
  RWKVD_RETURN_IF_ERROR(ValidateSamples("n", samples.returned, limits.engine));
  samples.drawn = proto.has_best_of() ? proto.best_of() : samples.returned;
  RWKVD_RETURN_IF_ERROR(
      ValidateSamples("best_of", samples.drawn, limits.engine));
  if (samples.drawn >= samples.returned) return samples;
  return absl::InvalidArgumentError(absl::StrCat(
      "best_of: ", samples.drawn, " is less than n, ", samples.returned));
}

absl::StatusOr<ScoreRequest> FromProto(const v1::ScoreRequest& proto,
                                       const RequestLimits& limits) {
  ScoreRequest request;
  RWKVD_ASSIGN_OR_RETURN(
      request.initial_state,
      FindInitialState(limits.initial_states, proto.initial_state()));
  RWKVD_ASSIGN_OR_RETURN(request.items, ReadItems(proto, limits.tokenizer));
  RWKVD_RETURN_IF_ERROR(
      NameScoreField(Validate(request, limits.engine, limits.vocab_size),
                     !proto.items().empty()));
  return request;
}

absl::StatusOr<std::vector<int32_t>> FromProto(const v1::Input& part,
                                               const RequestLimits& limits) {
  RWKVD_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                         ReadInput(part, limits.tokenizer, "part"));
  RWKVD_RETURN_IF_ERROR(ValidatePart(tokens, limits.engine, limits.vocab_size));
  return tokens;
}

void AppendToken(const TokenEvent& event, bool with_logprob, v1::Delta* delta) {
  v1::Token* token = delta->add_tokens();
  token->set_id(event.id);
  if (with_logprob) token->set_logprob(event.logprob);
  for (const TokenLogprob& top : event.top) {
    ToProto(top, token->add_top_logprobs());
  }
  if (event.sampled_logprob.has_value()) {
    token->set_drawn_logprob(*event.sampled_logprob);
  }
  for (const TokenLogprob& top : event.top_sampled) {
    ToProto(top, token->add_top_drawn_logprobs());
  }
  delta->mutable_bytes()->append(event.bytes.data(), event.bytes.size());
  delta->mutable_text()->append(event.text.data(), event.text.size());
}

void AppendPromptToken(const PromptEvent::Token& token, v1::Delta* delta) {
  v1::Token* const proto = delta->add_prompt_tokens();
  proto->set_id(token.id);
  if (token.logprob.has_value()) proto->set_logprob(*token.logprob);
  for (const TokenLogprob& top : token.top) {
    ToProto(top, proto->add_top_logprobs());
  }
}

void ToProto(const FinishEvent& event, uint64_t seed, v1::Finish* finish) {
  finish->set_reason(ToProto(event.reason));
  finish->set_stop_string(std::string(event.stop_string));
  finish->set_bytes(std::string(event.bytes));
  finish->set_text(std::string(event.text));
  ToProto(event.usage, finish->mutable_usage());
  ToProto(event.times, finish->mutable_times());
  finish->set_seed(seed);
}

void ToProto(const ScoreEvent& event, size_t index, v1::TokenScore* token) {
  token->set_id(event.tokens[index].id);
  token->set_logprob(event.tokens[index].logprob);
  token->set_is_greedy(event.is_greedy[index]);
}

void ToProto(const ScoreEvent& event, bool with_tokens,
             v1::ContinuationScore* score) {
  if (with_tokens) {
    score->mutable_tokens()->Reserve(static_cast<int>(event.tokens.size()));
    for (size_t i = 0; i < event.tokens.size(); ++i) {
      ToProto(event, i, score->add_tokens());
    }
  }
  score->set_logprob_sum(event.logprob_sum);
  score->set_token_count(static_cast<int64_t>(event.tokens.size()));
  score->set_is_greedy(std::all_of(event.is_greedy.begin(),
                                   event.is_greedy.end(),
                                   [](bool is_greedy) { return is_greedy; }));
}

void ToProto(const Usage& usage, v1::Usage* proto) {
  proto->set_prompt_tokens(usage.prompt_tokens);
  proto->set_cached_tokens(usage.cached_tokens);
  proto->set_generated_tokens(usage.generated_tokens);
}

void ToProto(const Times& times, v1::Times* proto) {
  proto->set_queue_seconds(absl::ToDoubleSeconds(times.queue));
  proto->set_prefill_seconds(absl::ToDoubleSeconds(times.prefill));
  proto->set_decode_seconds(absl::ToDoubleSeconds(times.decode));
  if (times.first_token != absl::InfiniteDuration()) {
    proto->set_time_to_first_token_seconds(
        absl::ToDoubleSeconds(times.first_token));
  }
}

void ToProto(absl::Span<const PinnedPrefix> pinned, absl::Time now,
             v1::ListPinnedPrefixesResponse* response) {
  for (const PinnedPrefix& prefix : pinned) {
    v1::PinnedPrefix* out = response->add_prefixes();
    out->set_name(prefix.name);
    out->set_token_count(prefix.num_tokens);
    out->set_bytes(prefix.bytes);
    if (prefix.expires != absl::InfiniteFuture()) {
      out->set_expires_in_seconds(absl::ToDoubleSeconds(prefix.expires - now));
    }
  }
}

void ToProto(const ServedModel& model, v1::GetModelResponse* response) {
  const ModelConfig& config = model.model->config();
  response->set_name(model.name);
  response->set_architecture(std::string(NameOf(config.architecture)));
  response->set_num_layers(config.num_layers);
  response->set_embedding_size(config.embedding_size);
  response->set_attention_size(config.attention_size);
  response->set_num_heads(config.num_heads);
  response->set_head_size(config.head_size);
  response->set_ffn_size(config.ffn_size);
  response->set_vocab_size(config.vocab_size);
  response->set_num_parameters(config.num_parameters);
  response->set_weight_type(config.weight_type);
  response->set_layout(model.layout);
  const Tokenizer& tokenizer = *model.tokenizer;
  response->set_tokenizer(std::string(tokenizer.kind()));
  response->set_tokenizer_size(tokenizer.size());
  if (tokenizer.end_of_text().has_value()) {
    response->set_end_of_text_token(*tokenizer.end_of_text());
  }
  const absl::Span<const NamedState> states = model.engine->initial_states();
  response->set_state_bytes(static_cast<int64_t>(states[0].state.bytes()));
  response->set_default_initial_state(states[0].name);
  for (const NamedState& state : states) {
    response->add_initial_states(state.name);
  }
  const EngineOptions& limits = model.engine->options();
  response->set_max_prompt_tokens(limits.max_prompt_tokens);
  response->set_max_generated_tokens(limits.max_generated_tokens);
  response->set_fingerprint(model.fingerprint);
  response->set_build(kVersion);
  response->set_isa(model.isa);
  response->set_num_threads(model.pool->num_threads());
}

}  // namespace rwkvd
