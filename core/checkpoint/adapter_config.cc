// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/adapter_config.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/file_error.h"
#include "core/base/json.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

constexpr JsonLimits kLimits = {.max_bytes = 1 << 20, .max_depth = 16};

// Initial values of A and B that leave the base model as it is. Others, such as
// "pissa", train against a changed base model.
constexpr absl::string_view kHarmlessInits[] = {"gaussian", "eva",
                                                "orthogonal"};

// Fields that concern training, or whose effect init_lora_weights decides.
constexpr absl::string_view kIgnoredFields[] = {
    "use_rslora",   "use_dora",       "loftq_config",  "eva_config",
    "corda_config", "lora_ga_config", "velora_config", "runtime_config"};

// Fields that have no effect as long as they are null, false or empty.
constexpr absl::string_view kUnsupportedFields[] = {
    "fan_in_fan_out",          "lora_bias",         "layer_replication",
    "alora_invocation_tokens", "target_parameters", "trainable_token_indices"};

bool Contains(absl::Span<const absl::string_view> names,
              absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Whether a field is null, false or empty.
bool IsOff(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  return value.is_structured() && value.empty();
}

absl::Status CheckType(const Json& json, const FileError& error) {
  const auto type = json.find("peft_type");
  if (type == json.end() || !type->is_string()) {
    return error("expected a field \"peft_type\" with a string, got ",
                 type == json.end() ? "none" : type->type_name());
  }
  const std::string name = type->get<std::string>();
  if (name == "LORA") return absl::OkStatus();
  return error("expected an adapter of the type LORA, got ", Quoted(name),
               "; merge it into the weights with the tool that trained it");
}

absl::Status CheckInit(const Json& json, const FileError& error) {
  const auto init = json.find("init_lora_weights");
  if (init == json.end() || init->is_null() || init->is_boolean()) {
    return absl::OkStatus();
  }
  if (!init->is_string()) {
    return error(
        "\"init_lora_weights\": expected a string, true or false, got ",
        init->type_name());
  }
  const std::string name = init->get<std::string>();
  if (Contains(kHarmlessInits, name)) return absl::OkStatus();
  return error("\"init_lora_weights\": ", Quoted(name),
               " was trained with changed weights of the base model, which "
               "this adapter does not contain; convert it to LORA with the "
               "tool that trained it");
}

// Refuses what merging would ignore, also fields that this code does not know.
absl::Status CheckFeatures(const Json& json, const FileError& error) {
  for (const auto& [name, value] : json.items()) {
    const bool is_feature =
        Contains(kUnsupportedFields, name) ||
        (!Contains(kIgnoredFields, name) &&
         (absl::StartsWith(name, "use_") || absl::EndsWith(name, "_config")));
    if (!is_feature || IsOff(value)) continue;
    return error(Quoted(name),
                 " is set, which is not supported; merge the adapter into the "
                 "weights with the tool that trained it");
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ReadBool(const Json& json, const char* name,
                              const FileError& error) {
  const auto field = json.find(name);
  if (field == json.end() || field->is_null()) return false;
  if (field->is_boolean()) return field->get<bool>();
  return error(Quoted(name), ": expected true or false, got ",
               field->type_name());
}

std::string Shown(const Json& value) {
  return value.is_number() ? value.dump() : value.type_name();
}

absl::StatusOr<int64_t> ReadRank(const Json& value, absl::string_view where,
                                 const FileError& error) {
  if (value.is_number_unsigned()) {
    const uint64_t rank = value.get<uint64_t>();
    if (rank >= 1 && rank <= kMaxAdapterRank) return rank;
  }
  return error(where, ": expected a whole number from 1 to ", kMaxAdapterRank,
               ", got ", Shown(value));
}

absl::StatusOr<double> ReadAlpha(const Json& value, absl::string_view where,
                                 const FileError& error) {
  if (value.is_number()) return value.get<double>();
  return error(where, ": expected a number, got ", value.type_name());
}

// Reads an object of patterns. `json` keeps the order of its keys.
absl::StatusOr<ModulePatterns> ReadPatterns(
    const nlohmann::ordered_json& json, const char* name,
    absl::StatusOr<double> (*read)(const Json&, absl::string_view,
                                   const FileError&),
    const FileError& error) {
  ModulePatterns patterns;
  const auto field = json.find(name);
  if (field == json.end() || field->is_null()) return patterns;
  if (!field->is_object()) {
    return error(Quoted(name), ": expected an object, got ",
                 field->type_name());
  }
  for (const auto& [expression, value] : field->items()) {
    const std::string where =
        absl::StrCat(Quoted(name), ": ", Quoted(expression));
    RWKVD_ASSIGN_OR_RETURN(const double number, read(value, where, error));
    const absl::Status added = patterns.Add(expression, number);
    if (!added.ok()) return error(Quoted(name), ": ", added.message());
  }
  return patterns;
}

absl::Status ReadAllPatterns(absl::string_view text, const FileError& error,
                             AdapterConfig* config) {
  // ParseJson has accepted the text, but has sorted the keys.
  const auto json = nlohmann::ordered_json::parse(
      text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  const auto read_rank = [](const Json& value, absl::string_view where,
                            const FileError& in) -> absl::StatusOr<double> {
    RWKVD_ASSIGN_OR_RETURN(const int64_t rank, ReadRank(value, where, in));
    return static_cast<double>(rank);
  };
  RWKVD_ASSIGN_OR_RETURN(config->rank_pattern,
                         ReadPatterns(json, "rank_pattern", read_rank, error));
  RWKVD_ASSIGN_OR_RETURN(config->alpha_pattern,
                         ReadPatterns(json, "alpha_pattern", ReadAlpha, error));
  return absl::OkStatus();
}

// The field `name`, which must exist.
absl::StatusOr<Json> Required(const Json& json, const char* name,
                              const FileError& error) {
  const auto field = json.find(name);
  if (field == json.end()) return error("expected a field ", Quoted(name));
  return *field;
}

}  // namespace

absl::StatusOr<AdapterConfig::Use> AdapterConfig::UseFor(
    absl::string_view module) const {
  RWKVD_ASSIGN_OR_RETURN(const std::optional<double> own_rank,
                         rank_pattern.Find(module));
  RWKVD_ASSIGN_OR_RETURN(const std::optional<double> own_alpha,
                         alpha_pattern.Find(module));
  const double used_rank = own_rank.value_or(static_cast<double>(rank));
  return Use{static_cast<int64_t>(used_rank),
             own_alpha.value_or(alpha) /
                 (is_rank_stabilized ? std::sqrt(used_rank) : used_rank)};
}

absl::StatusOr<AdapterConfig> ParseAdapterConfig(absl::string_view text,
                                                 absl::string_view path) {
  const FileError error(path);
  RWKVD_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path, kLimits));
  if (!json.is_object()) {
    return error("expected a JSON object, got ", json.type_name());
  }
  RWKVD_RETURN_IF_ERROR(CheckType(json, error));
  RWKVD_RETURN_IF_ERROR(CheckInit(json, error));
  RWKVD_RETURN_IF_ERROR(CheckFeatures(json, error));
  AdapterConfig config;
  RWKVD_ASSIGN_OR_RETURN(const Json rank, Required(json, "r", error));
  RWKVD_ASSIGN_OR_RETURN(config.rank, ReadRank(rank, "\"r\"", error));
  RWKVD_ASSIGN_OR_RETURN(const Json alpha, Required(json, "lora_alpha", error));
  RWKVD_ASSIGN_OR_RETURN(config.alpha,
                         ReadAlpha(alpha, "\"lora_alpha\"", error));
  RWKVD_ASSIGN_OR_RETURN(config.is_rank_stabilized,
                         ReadBool(json, "use_rslora", error));
  RWKVD_ASSIGN_OR_RETURN(config.has_magnitudes,
                         ReadBool(json, "use_dora", error));
  RWKVD_RETURN_IF_ERROR(ReadAllPatterns(text, error, &config));
  return config;
}

}  // namespace rwkvd
