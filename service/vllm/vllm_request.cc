// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/vllm_request.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "core/engine/validate.h"
#include "core/sampling/params.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/convert/input.h"
#include "service/convert/request_memory.h"
#include "service/convert/response_size.h"
#include "service/convert/sampling.h"
#include "service/vllm/vllm_message_size.h"
#include "service/vllm/vllm_refusals.h"

namespace rwkvd {
namespace {

namespace pb = ::vllm::grpc::engine;

constexpr uint32_t kMaxId = std::numeric_limits<int32_t>::max();
constexpr size_t kMaxVllmIdBytes = 256;

// Ids of another type. FieldError for one that no vocabulary has.
absl::StatusOr<std::vector<int32_t>> IdsOf(
    absl::string_view field,
    const google::protobuf::RepeatedField<uint32_t>& ids) {
  for (int i = 0; i < ids.size(); ++i) {
    if (ids[i] > kMaxId) {
      return FieldError(absl::StrCat(field, "[", i, "]"),
                        absl::StrCat(ids[i], " is no token"));
    }
  }
  return std::vector<int32_t>(ids.begin(), ids.end());
}

// Moves the text out of `proto`.
absl::StatusOr<std::vector<int32_t>> PromptOf(pb::GenerateRequest* proto,
                                              const RequestLimits& limits) {
  if (proto->input_case() != pb::GenerateRequest::kText) {
    return IdsOf("tokenized.input_ids", proto->tokenized().input_ids());
  }
  ::rwkv::v1::Input input;
  input.set_text(std::move(*proto->mutable_text()));
  absl::StatusOr<std::vector<int32_t>> ids =
      TokensFromProto(input, limits, "text", {limits.engine.max_prompt_tokens});
  if (ids.ok()) return ids;
  return RenameField(ids.status(), [](absl::string_view) { return "text"; });
}

absl::Status TruncatePrompt(const pb::SamplingParams& proto,
                            const RequestLimits& limits,
                            std::vector<int32_t>* prompt) {
  if (!proto.has_truncate_prompt_tokens()) return absl::OkStatus();
  int64_t most = proto.truncate_prompt_tokens();
  if (most == -1) most = limits.engine.max_prompt_tokens;
  if (most < 1) {
    return FieldError("sampling_params.truncate_prompt_tokens",
                      absl::StrCat(most, " is neither -1 nor at least 1"));
  }
  const int64_t excess = static_cast<int64_t>(prompt->size()) - most;
  if (excess > 0) prompt->erase(prompt->begin(), prompt->begin() + excess);
  return absl::OkStatus();
}

// Without min_tokens.
::rwkv::v1::Sampling SamplingOf(const pb::SamplingParams& proto) {
  ::rwkv::v1::Sampling sampling;
  sampling.set_order(::rwkv::v1::SAMPLER_ORDER_TEMPERATURE_FIRST);
  if (proto.has_temperature()) sampling.set_temperature(proto.temperature());
  if (proto.top_p() != 0) sampling.set_top_p(proto.top_p());
  sampling.set_top_k(static_cast<int32_t>(std::min(proto.top_k(), kMaxId)));
  sampling.set_min_p(proto.min_p());
  sampling.set_presence_penalty(proto.presence_penalty());
  sampling.set_frequency_penalty(proto.frequency_penalty());
  if (HasRepetitionPenalty(proto)) {
    sampling.set_repetition_penalty(proto.repetition_penalty());
    sampling.set_repetition_window(0);
    sampling.set_penalty_scope(::rwkv::v1::PENALTY_SCOPE_PROMPT_AND_OUTPUT);
  }
  if (proto.has_seed()) {
    sampling.set_seed(static_cast<uint64_t>(int64_t{proto.seed()}));
  }
  return sampling;
}

// By id, so that the request does not depend on the order of the map.
std::vector<LogitBias> BiasesOf(const pb::SamplingParams& proto) {
  const std::map<int32_t, float> sorted(proto.logit_bias().begin(),
                                        proto.logit_bias().end());
  std::vector<LogitBias> biases;
  biases.reserve(sorted.size());
  for (const auto& [id, bias] : sorted) biases.push_back({id, bias});
  return biases;
}

absl::Status SetSampling(const pb::SamplingParams& proto,
                         const Tokenizer& tokenizer, GenerateRequest* request) {
  RWKVD_ASSIGN_OR_RETURN(request->sampling, FromProto(SamplingOf(proto)));
  SamplingParams& sampling = request->sampling;
  sampling.logit_bias = BiasesOf(proto);
  sampling.min_tokens = proto.min_tokens();
  if (sampling.min_tokens == 0) return absl::OkStatus();
  sampling.late_tokens = request->stop_tokens;
  if (!request->ignore_end_of_text && tokenizer.end_of_text().has_value()) {
    sampling.late_tokens.push_back(*tokenizer.end_of_text());
  }
  return absl::OkStatus();
}

// The engine checks their number and sizes.
absl::Status SetStops(const pb::SamplingParams& proto,
                      const RequestLimits& limits, GenerateRequest* request) {
  int64_t bytes = 0;
  for (const std::string& stop : proto.stop()) {
    bytes += static_cast<int64_t>(sizeof(stop) + stop.size());
  }
  RWKVD_RETURN_IF_ERROR(ReserveMore(limits.memory, bytes));
  request->stop_strings.assign(proto.stop().begin(), proto.stop().end());
  RWKVD_ASSIGN_OR_RETURN(
      request->stop_tokens,
      IdsOf("sampling_params.stop_token_ids", proto.stop_token_ids()));
  request->ignore_end_of_text = proto.ignore_eos();
  return absl::OkStatus();
}

absl::Status CheckRange(absl::string_view field, int64_t value,
                        int64_t highest) {
  if (value >= 0 && value <= highest) return absl::OkStatus();
  return FieldError(absl::StrCat("sampling_params.", field),
                    absl::StrCat(value, " is not in [0, ", highest, "]"));
}

// What decides on the size of the answer, so that its error names the field
// that is wrong. The engine checks it, too.
absl::Status CheckSizes(const pb::SamplingParams& proto,
                        const EngineOptions& limits) {
  RWKVD_RETURN_IF_ERROR(CheckRange("max_tokens", proto.max_tokens(),
                                   limits.max_generated_tokens));
  RWKVD_RETURN_IF_ERROR(
      CheckRange("logprobs", proto.logprobs(), limits.max_top_logprobs));
  RWKVD_RETURN_IF_ERROR(CheckRange("prompt_logprobs", proto.prompt_logprobs(),
                                   limits.max_top_logprobs));
  return ValidateSamples("sampling_params.n", std::max<int64_t>(proto.n(), 1),
                         limits);
}

// In bytes; tokens have at least one.
double LongestStop(const GenerateRequest& request) {
  size_t longest = 0;
  for (const std::string& stop : request.stop_strings) {
    longest = std::max(longest, stop.size());
  }
  return static_cast<double>(longest);
}

// `note`: whose limit it is.
absl::Status AnswerTooLarge(double bytes, int64_t max_bytes,
                            absl::string_view note) {
  return FieldError(ErrorReason::kResponseTooLarge, "stream",
                    absl::StrCat("without it, the answer could take ",
                                 std::llround(bytes), " bytes, more than the ",
                                 max_bytes, note, "; set it, or request less"));
}

void SetLogprobs(const pb::SamplingParams& proto, GenerateInput* input) {
  GenerateRequest& request = input->request;
  request.want_logprobs = input->delivery.logprobs = proto.has_logprobs();
  request.top_logprobs = proto.logprobs();
  request.echo = proto.has_prompt_logprobs();
  request.echo_top_logprobs = proto.prompt_logprobs();
}

}  // namespace

absl::StatusOr<GenerateInput> FromVllm(pb::GenerateRequest* proto,
                                       const RequestLimits& limits) {
  RWKVD_RETURN_IF_ERROR(CheckSupported(*proto));
  if (proto->request_id().size() > kMaxVllmIdBytes) {
    return FieldError("request_id",
                      absl::StrCat("has ", proto->request_id().size(),
                                   " bytes, must have 0 to ", kMaxVllmIdBytes));
  }
  const pb::SamplingParams& sampling = proto->sampling_params();
  RWKVD_RETURN_IF_ERROR(CheckSizes(sampling, limits.engine));
  GenerateInput input;
  GenerateRequest& request = input.request;
  RWKVD_ASSIGN_OR_RETURN(request.prompt, PromptOf(proto, limits));
  RWKVD_RETURN_IF_ERROR(TruncatePrompt(sampling, limits, &request.prompt));
  request.max_tokens =
      sampling.has_max_tokens()
          ? int64_t{sampling.max_tokens()}
          : std::min(kDefaultVllmMaxTokens, limits.engine.max_generated_tokens);
  RWKVD_RETURN_IF_ERROR(SetStops(sampling, limits, &request));
  RWKVD_RETURN_IF_ERROR(SetSampling(sampling, limits.tokenizer, &request));
  SetLogprobs(sampling, &input);
  const auto n = static_cast<int32_t>(std::max(sampling.n(), uint32_t{1}));
  input.samples = {n, n};
  return input;
}

absl::Status CheckVllmAnswer(const GenerateInput& input, bool holds_tokens,
                             int64_t max_memory) {
  const GenerateRequest& request = input.request;
  // In double, in which products cannot overflow.
  const auto tokens = static_cast<double>(request.max_tokens);
  double bytes = tokens * OutputWireBytes(request);
  // The message, its end, and what is charged while a token is added.
  double memory = 4 * kNewMessageMemory;
  memory += tokens * OutputTokenMemory(request.top_logprobs);
  if (holds_tokens) {
    memory += std::min(tokens, LongestStop(request)) * kNewMessageMemory;
  }
  if (request.echo) {
    const auto prompt = static_cast<double>(request.prompt.size());
    bytes += prompt * PromptWireBytes(request);
    memory += prompt * PromptTokenMemory(request.echo_top_logprobs);
  }
  memory *= input.samples.generated;
  if (bytes > kDefaultMaxResponseBytes) {
    return AnswerTooLarge(bytes, kDefaultMaxResponseBytes,
                          " that clients accept by default");
  }
  if (memory <= static_cast<double>(max_memory)) return absl::OkStatus();
  return AnswerTooLarge(memory, max_memory,
                        " of memory that this server has for it");
}

absl::Status NameVllmField(const absl::Status& status) {
  return RenameField(status, [](absl::string_view field) -> std::string {
    constexpr char kParams[] = "sampling_params.";
    if (absl::ConsumePrefix(&field, "prompt")) {
      return absl::StrCat("tokenized.input_ids", field);
    }
    if (field == "samples") return absl::StrCat(kParams, "n");
    if (field == "top_logprobs") return absl::StrCat(kParams, "logprobs");
    if (field == "echo" || field == "echo_top_logprobs") {
      return absl::StrCat(kParams, "prompt_logprobs");
    }
    if (absl::ConsumePrefix(&field, "stop_strings")) {
      return absl::StrCat(kParams, "stop", field);
    }
    if (absl::ConsumePrefix(&field, "stop_tokens")) {
      return absl::StrCat(kParams, "stop_token_ids", field);
    }
    absl::ConsumePrefix(&field, "sampling.");
    // The index is that of the sorted biases.
    if (absl::StartsWith(field, "logit_bias")) field = "logit_bias";
    return absl::StrCat(kParams, field);
  });
}

}  // namespace rwkvd
