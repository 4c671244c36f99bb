// SPDX-License-Identifier: Apache-2.0
#include "service/convert/responses.h"

#include <algorithm>
#include <string>

#include "absl/strings/string_view.h"
#include "cli/version.h"
#include "core/model/config.h"
#include "core/text/utf8_stream.h"

namespace rwkvd {
namespace {

void ToProto(const TokenLogprob& from, TokenTexts texts, v1::TokenLogprob* to) {
  to->set_id(from.id);
  to->set_logprob(from.logprob);
  texts.Set(from.id, to);
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
    case FinishReason::kFailed:
    case FinishReason::kModelChanged:
      break;  // requests with these reasons send no finish
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

}  // namespace

void AppendToken(const TokenEvent& event, bool with_logprob, TokenTexts texts,
                 v1::Delta* delta) {
  v1::Token* token = delta->add_tokens();
  token->set_id(event.id);
  texts.Set(event.id, token);
  if (with_logprob) token->set_logprob(event.logprob);
  for (const TokenLogprob& top : event.top) {
    ToProto(top, texts, token->add_top_logprobs());
  }
  if (event.sampled_logprob.has_value()) {
    token->set_drawn_logprob(*event.sampled_logprob);
  }
  for (const TokenLogprob& top : event.top_sampled) {
    ToProto(top, texts, token->add_top_drawn_logprobs());
  }
  delta->mutable_bytes()->append(event.bytes.data(), event.bytes.size());
  delta->mutable_text()->append(event.text.data(), event.text.size());
}

void AppendPromptToken(const PromptEvent::Token& token, TokenTexts texts,
                       v1::Delta* delta) {
  v1::Token* const proto = delta->add_prompt_tokens();
  proto->set_id(token.id);
  texts.Set(token.id, proto);
  if (token.logprob.has_value()) proto->set_logprob(*token.logprob);
  for (const TokenLogprob& top : token.top) {
    ToProto(top, texts, proto->add_top_logprobs());
  }
}

void ToProto(const FinishEvent& event, uint64_t seed, v1::Finish* finish) {
  finish->set_reason(ToProto(event.reason));
  finish->set_stop_string(std::string(event.stop_string));
  finish->set_stop_text(ToUtf8(event.stop_string));
  finish->set_bytes(std::string(event.bytes));
  finish->set_text(std::string(event.text));
  ToProto(event.usage, finish->mutable_usage());
  ToProto(event.times, finish->mutable_times());
  finish->set_seed(seed);
}

void ToProto(const ScoreEvent& event, size_t index, TokenTexts texts,
             v1::TokenScore* token) {
  token->set_id(event.tokens[index].id);
  token->set_logprob(event.tokens[index].logprob);
  token->set_is_greedy(event.is_greedy[index]);
  texts.Set(event.tokens[index].id, token);
}

void ToProto(const ScoreEvent& event, bool with_tokens, TokenTexts texts,
             v1::ContinuationScore* score) {
  if (with_tokens) {
    score->mutable_tokens()->Reserve(static_cast<int>(event.tokens.size()));
    for (size_t i = 0; i < event.tokens.size(); ++i) {
      ToProto(event, i, texts, score->add_tokens());
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
  proto->set_accepted_draft_tokens(usage.accepted_draft_tokens);
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

void ToProto(const SavedState& saved, absl::Time now, v1::StateInfo* proto) {
  proto->set_handle(saved.handle);
  proto->set_bytes(saved.bytes);
  proto->set_expires_in_seconds(absl::ToDoubleSeconds(saved.expires - now));
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
  response->set_activations(std::string(NameOf(model.options.activations)));
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
  if (model.chat_template != nullptr) {
    response->set_chat_template(std::string(model.chat_template->name));
    for (const absl::string_view stop : model.chat_template->stop_sequences) {
      response->add_chat_stop_texts(std::string(stop));
    }
  }
  const EngineOptions& limits = model.engine->options();
  response->set_max_prompt_tokens(limits.max_prompt_tokens);
  response->set_max_generated_tokens(limits.max_generated_tokens);
  response->set_max_draft_tokens(limits.max_draft_tokens);
  response->set_fingerprint(model.fingerprint);
  response->set_build(kVersion);
  response->set_isa(model.isa);
  response->set_num_threads(model.pool->num_threads());
}

}  // namespace rwkvd
