// SPDX-License-Identifier: Apache-2.0
#include "service/options/load_options.h"

#include <optional>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "core/text/chat/chat_template.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(std::string, model, "",
          "Required. The model: a .safetensors, .st, .pth or .gguf file (the "
          "first one, if it is split), a "
          "model.safetensors.index.json or pytorch_model.bin.index.json, or a "
          "folder with one of these or with all shards of one model. A "
          "repository in the cache of the Hugging Face hub is such a folder, "
          "too.");
ABSL_FLAG(std::string, tokenizer, "",
          "The tokenizer: the path of a World vocabulary (.txt) or of a "
          "tokenizer.json, or one of the words world, 20b, bytes, and none for "
          "a model of token ids alone. If empty, the server uses the one in "
          "a GGUF file, or looks for it in the folder of the model; if there "
          "is none, a model with 65536, "
          "50277 or 256 tokens gets world, 20b or bytes.");
ABSL_FLAG(bool, allow_tokenizer_mismatch, false,
          "Serve a model with a tokenizer that cannot belong to it: its "
          "largest id is beyond the model's vocabulary, or it has far fewer "
          "tokens.");
ABSL_FLAG(std::string, chat_template, "auto",
          "The format of conversations: official, g1, world or raven "
          "(docs/chat.md). auto: the one that a GGUF file or the folder of the "
          "model contains, if it is one of these; otherwise requests have to "
          "name one, or conversations are refused.");
ABSL_FLAG(std::string, share_dir, "",
          "The folder with the vocabularies of --tokenizer=world and 20b. If "
          "empty: ../share/rwkvd next to the folder of the program, "
          ".cache/share in the checkout that contains the program, or "
          "/usr/share/rwkvd.");
ABSL_FLAG(std::string, model_name, "",
          "The name of the model in responses and metrics. If empty, the name "
          "of the model's file or folder.");
ABSL_FLAG(std::string, weights, "as_stored",
          "The type of the large weight matrices: as_stored, int8, "
          "\"int8,mixed\" (int8, except the head, ffn.key and ffn.value), "
          "int4, or \"int4,mixed\" (int4, with the head in int8). Matrices are "
          "quantized during loading; rwkv-convert --weights does that once, "
          "in advance. as_stored maps the file without copying it.");
ABSL_FLAG(std::string, activations, "auto",
          "How the activations that quantized matrices are multiplied by are "
          "rounded. auto: to int16, or to int8 where rounding the weights has "
          "cost more. int8: always to int8; prompts and batches are faster "
          "and less precise (docs/numerics.md). f32: not at all in a GGUF "
          "file; its matrices are widened to f32 in memory, up to twelve times "
          "their size.");
ABSL_FLAG(float, group_norm_epsilon, rwkvd::kGroupNormEpsilon,
          "The epsilon that is added to the variance in the group "
          "normalization of RWKV-5 to RWKV-7. The default is that of the "
          "official implementations. rwkv.cpp's small test models of RWKV-5 "
          "need 1e-5.");
ABSL_FLAG(bool, preload, false,
          "Read the model's files once before the server reports SERVING, so "
          "that the first requests do not wait for the disk. A weight that is "
          "NaN or infinite then stops the start.");
ABSL_FLAG(bool, verify_files, false,
          "Compare the model's files with the SHA-256 digests of a "
          "release-manifest.json in their folder, and .pth files with the "
          "CRC-32 checksums that they contain, before the server reports "
          "SERVING. It does not start if one differs.");

namespace rwkvd {
namespace {

bool IsUtf8(absl::string_view text) {
  return ValidUtf8Length(text) == text.size();
}

absl::Status CheckModel(absl::string_view model) {
  if (!model.empty()) return absl::OkStatus();
  return FlagError("model",
                   "required: the file or folder of the model (--help lists "
                   "the flags)");
}

// The name of the model leaves the server in responses and in metrics, which
// must be UTF-8.
absl::Status CheckModelName(const LoadOptions& options) {
  if (!IsUtf8(options.model_name)) {
    return FlagError("model_name", Quoted(options.model_name), " is not UTF-8");
  }
  if (!options.model_name.empty() || IsUtf8(options.model)) {
    return absl::OkStatus();
  }
  return FlagError(
      "model", Quoted(options.model),
      " is not UTF-8, so it gives the model no name; set --model_name");
}

// Returns a name, or nothing for "auto".
absl::StatusOr<std::string> ParseChatTemplate(absl::string_view text) {
  if (text == "auto") return std::string();
  if (FindChatTemplate(text).ok()) return std::string(text);
  return FlagError("chat_template", Quoted(text), " is not auto or one of ",
                   ChatTemplateNames());
}

absl::StatusOr<WeightKind> ParseWeights(absl::string_view text) {
  const std::optional<WeightKind> kind = WeightKindFromName(text);
  if (kind.has_value()) return *kind;
  return FlagError("weights", Quoted(text),
                   " is not as_stored, int8, int8,mixed, int4 or int4,mixed");
}

absl::StatusOr<ActivationKind> ParseActivations(absl::string_view text) {
  const std::optional<ActivationKind> kind = ActivationKindFromName(text);
  if (kind.has_value()) return *kind;
  return FlagError("activations", Quoted(text), " is not auto, int8 or f32");
}

absl::Status CheckEpsilon(float value) {
  if (value > 0 && value <= 1) return absl::OkStatus();
  return FlagError("group_norm_epsilon", value, " is not in (0, 1]");
}

}  // namespace

absl::Status ReadLoadFlags(LoadOptions* options) {
  options->model = absl::GetFlag(FLAGS_model);
  options->tokenizer = absl::GetFlag(FLAGS_tokenizer);
  options->allow_tokenizer_mismatch =
      absl::GetFlag(FLAGS_allow_tokenizer_mismatch);
  options->share_dir = absl::GetFlag(FLAGS_share_dir);
  options->model_name = absl::GetFlag(FLAGS_model_name);
  options->group_norm_epsilon = absl::GetFlag(FLAGS_group_norm_epsilon);
  options->preload = absl::GetFlag(FLAGS_preload);
  options->verify_files = absl::GetFlag(FLAGS_verify_files);
  RWKVD_RETURN_IF_ERROR(CheckModel(options->model));
  RWKVD_RETURN_IF_ERROR(CheckModelName(*options));
  RWKVD_ASSIGN_OR_RETURN(options->chat_template,
                         ParseChatTemplate(absl::GetFlag(FLAGS_chat_template)));
  RWKVD_ASSIGN_OR_RETURN(options->weights,
                         ParseWeights(absl::GetFlag(FLAGS_weights)));
  RWKVD_ASSIGN_OR_RETURN(options->activations,
                         ParseActivations(absl::GetFlag(FLAGS_activations)));
  return CheckEpsilon(options->group_norm_epsilon);
}

}  // namespace rwkvd
