// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/hub_config.h"

#include <filesystem>
#include <memory>
#include <system_error>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/base/json.h"
#include "core/base/mapped_file.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

constexpr JsonLimits kLimits = {.max_bytes = 1 << 20, .max_depth = 16};

// Sets `*value` to the field `name` unless it is absent or null.
template <typename T>
absl::Status Read(const Json& config, absl::string_view path, const char* name,
                  T* value) {
  const auto field = config.find(name);
  if (field == config.end() || field->is_null()) return absl::OkStatus();
  const auto error = [&](absl::string_view expected) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": \"", name, "\": expected ", expected, ", got ",
                     field->type_name()));
  };
  if constexpr (std::is_same_v<T, std::string>) {
    if (!field->is_string()) return error("a string");
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!field->is_boolean()) return error("true or false");
  } else {
    static_assert(std::is_same_v<T, int64_t>);
    if (!field->is_number_unsigned() || field->get<uint64_t>() > INT32_MAX) {
      return error("a whole number from 0 to 2^31-1");
    }
  }
  *value = field->get<T>();
  return absl::OkStatus();
}

// Reads the two fields by which different classes say that the LayerNorm after
// the embedding is fused with it. deep_embedding says so only if it is true.
absl::Status ReadFusedNorm(const Json& json, absl::string_view path,
                           HubConfig& config) {
  bool deep_embedding = false, is_fused = false;
  RWKVD_RETURN_IF_ERROR(Read(json, path, "deep_embedding", &deep_embedding));
  RWKVD_RETURN_IF_ERROR(
      Read(json, path, "embedding_layer_norm_fused", &is_fused));
  const auto fused = json.find("embedding_layer_norm_fused");
  const bool says_fused = fused != json.end() && !fused->is_null();
  if (deep_embedding && says_fused && !is_fused) {
    return absl::InvalidArgumentError(
        absl::StrCat(path,
                     ": \"deep_embedding\": true contradicts "
                     "\"embedding_layer_norm_fused\": false"));
  }
  if (says_fused || deep_embedding) {
    config.embedding_norm_is_fused = is_fused || deep_embedding;
  }
  return absl::OkStatus();
}

std::string QuantMethod(const Json& json) {
  const auto config = json.find("quantization_config");
  if (config == json.end() || config->is_null()) return "";
  if (!config->is_object()) return "?";
  const auto method = config->find("quant_method");
  return method != config->end() && method->is_string()
             ? method->get<std::string>()
             : "?";
}

}  // namespace

absl::StatusOr<HubConfig> ParseHubConfig(absl::string_view text,
                                         absl::string_view path) {
  RWKVD_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path, kLimits));
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a JSON object, got ", json.type_name()));
  }
  HubConfig config;
  RWKVD_RETURN_IF_ERROR(Read(json, path, "model_type", &config.model_type));
  RWKVD_RETURN_IF_ERROR(Read(json, path, "hidden_size", &config.hidden_size));
  RWKVD_RETURN_IF_ERROR(
      Read(json, path, "num_hidden_layers", &config.num_hidden_layers));
  RWKVD_RETURN_IF_ERROR(Read(json, path, "vocab_size", &config.vocab_size));
  RWKVD_RETURN_IF_ERROR(
      Read(json, path, "tie_word_embeddings", &config.tie_word_embeddings));
  RWKVD_RETURN_IF_ERROR(Read(json, path, "norm_first", &config.norm_first));
  RWKVD_RETURN_IF_ERROR(ReadFusedNorm(json, path, config));
  config.quant_method = QuantMethod(json);
  return config;
}

absl::StatusOr<HubConfig> FindHubConfig(const std::string& directory) {
  namespace fs = std::filesystem;
  const std::string path = (fs::path(directory) / "config.json").string();
  std::error_code ignored;  // opening the file reports it
  if (fs::symlink_status(path, ignored).type() == fs::file_type::not_found) {
    return HubConfig();
  }
  RWKVD_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  const absl::Span<const std::byte> bytes = file->bytes();
  return ParseHubConfig(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                        bytes.size()),
      path);
}

absl::Status CheckNotQuantized(const HubConfig& config,
                               absl::string_view path) {
  if (config.quant_method.empty()) return absl::OkStatus();
  return FileError(path)(
      "config.json says that ", Quoted(config.quant_method),
      " quantized the weights, which is not supported; use the checkpoint from "
      "before the quantization");
}

}  // namespace rwkvd
