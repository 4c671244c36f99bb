// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/tokenizer_archive.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/types/span.h"
#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/model/config.h"
#include "core/text/write_tokenizer_json.h"
#include "service/chat_template_text.h"
#include "service/vllm/vllm_info.h"
#include "service/vllm/zip_writer.h"

namespace rwkvd {
namespace {

std::string Text(const Json& json) { return json.dump(2) + "\n"; }

// The names of files as in the official releases.
std::string TokenizerConfigOf(const ServedModel& model) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"unk_token", kEndOfTextContent},
                 {"padding_side", "left"},
                 {"clean_up_tokenization_spaces", false}};
  if (!model.tokenizer->end_of_text().has_value()) return Text(config);
  config["eos_token"] = config["pad_token"] = kEndOfTextContent;
  const Json content = {{"content", kEndOfTextContent}, {"lstrip", false},
                        {"normalized", false},          {"rstrip", false},
                        {"single_word", false},         {"special", true}};
  config["added_tokens_decoder"]
        [std::to_string(*model.tokenizer->end_of_text())] = content;
  return Text(config);
}

std::string ConfigOf(const ServedModel& model) {
  const ModelConfig& config = model.model->config();
  const auto end = model.tokenizer->end_of_text();
  Json json = {{"model_type", ModelTypeOf(config.architecture)},
               {"architectures",
                Json::array({ArchitectureClassOf(config.architecture)})},
               {"vocab_size", config.vocab_size},
               {"hidden_size", config.embedding_size},
               {"num_hidden_layers", config.num_layers},
               {"intermediate_size", config.ffn_size},
               {"max_position_embeddings", MaxContextLength(model)}};
  if (end.has_value()) {
    for (const char* name : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
      json[name] = *end;
    }
  }
  return Text(json);
}

std::string Sha256Of(const std::string& bytes) {
  Sha256 digest;
  digest.Update(absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()));
  return digest.Hex();
}

}  // namespace

absl::StatusOr<TokenizerArchive> BuildTokenizerArchive(
    const ServedModel& model) {
  ZipWriter zip;
  if (model.tokenizer_json.empty()) {
    RWKVD_ASSIGN_OR_RETURN(
        const std::string json,
        WriteTokenizerJson(*model.tokenizer, model.model->config().vocab_size));
    zip.Add("tokenizer.json", json);
  } else {
    zip.Add("tokenizer.json", model.tokenizer_json);
  }
  zip.Add("tokenizer_config.json", TokenizerConfigOf(model));
  zip.Add("chat_template.jinja", model.chat_template_text.empty()
                                     ? DefaultChatTemplateText()
                                     : model.chat_template_text);
  zip.Add("config.json", ConfigOf(model));
  TokenizerArchive archive;
  archive.zip = zip.Finish();
  archive.sha256 = Sha256Of(archive.zip);
  return archive;
}

absl::StatusOr<std::shared_ptr<const TokenizerArchive>> TokenizerArchives::Get(
    const ServedModel& model) {
  absl::MutexLock lock(&mutex_);
  if (archive_ != nullptr) return archive_;
  RWKVD_ASSIGN_OR_RETURN(TokenizerArchive archive,
                         BuildTokenizerArchive(model));
  archive_ = std::make_shared<const TokenizerArchive>(std::move(archive));
  return archive_;
}

}  // namespace rwkvd
