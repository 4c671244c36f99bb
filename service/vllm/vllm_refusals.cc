// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/vllm_refusals.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "core/engine/request.h"
#include "core/sampling/params.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"

namespace rwkvd {
namespace {

namespace pb = ::vllm::grpc::engine;

absl::Status NotSupported(absl::string_view field) {
  return FieldError(field, "is not supported by this server");
}

// A later version of the protocol may have more fields. `prefix` is that of the
// message's fields.
absl::Status CheckNoUnknown(absl::string_view prefix,
                            const google::protobuf::Message& message) {
  const google::protobuf::UnknownFieldSet& unknown =
      message.GetReflection()->GetUnknownFields(message);
  if (unknown.empty()) return absl::OkStatus();
  return FieldError(absl::StrCat(prefix, "field ", unknown.field(0).number()),
                    "is not known to this server");
}

// The first constraint that is set; empty if none is.
absl::string_view ConstraintOf(const pb::SamplingParams& params) {
  switch (params.constraint_case()) {
    case pb::SamplingParams::kJsonSchema:
      return "sampling_params.json_schema";
    case pb::SamplingParams::kRegex:
      return "sampling_params.regex";
    case pb::SamplingParams::kGrammar:
      return "sampling_params.grammar";
    case pb::SamplingParams::kStructuralTag:
      return "sampling_params.structural_tag";
    case pb::SamplingParams::kJsonObject:
      return params.json_object() ? "sampling_params.json_object" : "";
    case pb::SamplingParams::kChoice:
      return "sampling_params.choice";
    case pb::SamplingParams::CONSTRAINT_NOT_SET:
      break;
  }
  return "";
}

// Before the lists are copied. The engine checks their elements.
absl::Status CheckListSize(absl::string_view field, int64_t size,
                           int64_t max_size) {
  if (size <= max_size) return absl::OkStatus();
  return FieldError(field, absl::StrCat("has ", size, " entries, must have 0 ",
                                        "to ", max_size));
}

absl::Status CheckParams(const pb::SamplingParams& params) {
  RWKVD_RETURN_IF_ERROR(CheckNoUnknown("sampling_params.", params));
  RWKVD_RETURN_IF_ERROR(CheckListSize(
      "sampling_params.logit_bias",
      static_cast<int64_t>(params.logit_bias().size()), kMaxTokenChoices));
  RWKVD_RETURN_IF_ERROR(CheckListSize("sampling_params.stop_token_ids",
                                      params.stop_token_ids_size(),
                                      kMaxStopTokens));
  const absl::string_view constraint = ConstraintOf(params);
  if (!constraint.empty()) return NotSupported(constraint);
  const bool has_others =
      params.presence_penalty() != 0 || params.frequency_penalty() != 0;
  if (!HasRepetitionPenalty(params) || !has_others) return absl::OkStatus();
  // It counts the tokens of the prompt, which the others do not. The sampler
  // has one scope for all of them.
  return FieldError(ErrorReason::kFieldsConflict,
                    "sampling_params.repetition_penalty",
                    "not together with presence_penalty or frequency_penalty");
}

}  // namespace

bool HasRepetitionPenalty(const pb::SamplingParams& params) {
  return params.repetition_penalty() != 0 && params.repetition_penalty() != 1;
}

absl::Status CheckSupported(const pb::GenerateRequest& request) {
  const std::pair<absl::string_view, bool> refused[] = {
      {"kv_transfer_params", request.has_kv_transfer_params()},
      {"mm_inputs", request.has_mm_inputs()},
      {"kv_transfer_params_json", request.has_kv_transfer_params_json()},
      {"data_parallel_rank", request.data_parallel_rank() != 0},
      {"media_refs", request.has_media_refs()},
      {"extra_mm_inputs", request.extra_mm_inputs_size() > 0}};
  for (const auto& [field, is_set] : refused) {
    if (is_set) return NotSupported(field);
  }
  RWKVD_RETURN_IF_ERROR(CheckNoUnknown("", request));
  RWKVD_RETURN_IF_ERROR(CheckNoUnknown("tokenized.", request.tokenized()));
  return CheckParams(request.sampling_params());
}

}  // namespace rwkvd
