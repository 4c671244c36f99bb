// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/checkpoint_formats.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fixtures.h"
#include "tests/testing/layout_writer.h"
#include "tests/testing/pth_writer.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {
namespace {

constexpr int kNumShards = 3;

std::string WritePth(const std::string& directory, const TestTensors& tensors,
                     const PthOptions& options) {
  const std::string path = directory + "/model.pth";
  WriteFileOrDie(path, PthBytes(tensors, options));
  return path;
}

std::string WriteSt(const std::string& directory, const TestTensors& tensors) {
  const std::string path = directory + "/model.st";
  WriteFileOrDie(path, SafetensorsBytes(tensors));
  return path;
}

// The fields of config.json that readers use.
nlohmann::json HubConfig(const TestTensors& tensors,
                         const std::string& model_type,
                         const std::string& class_name) {
  const auto& embedding = tensors.at("emb.weight").shape;
  const auto& key = tensors.at("blocks.0.ffn.key.weight").shape;
  int64_t layers = 0;
  while (tensors.count("blocks." + std::to_string(layers) + ".ln1.weight")) {
    ++layers;
  }
  return {{"model_type", model_type},
          {"architectures", {class_name}},
          {"vocab_size", embedding[0]},
          {"hidden_size", embedding[1]},
          {"intermediate_size", key[0]},
          {"num_hidden_layers", layers},
          {"norm_eps", 1e-5},
          {"tie_word_embeddings", false}};
}

std::string WriteHub(const std::string& directory, const TestTensors& tensors,
                     const nlohmann::json& config) {
  WriteFileOrDie(directory + "/config.json", config.dump(2));
  WriteCheckpoint(directory, tensors);
  return directory;
}

std::string WriteHuggingFace(const std::string& directory,
                             const TestTensors& tensors,
                             Architecture architecture) {
  const TestTensors renamed = ToHuggingFace(tensors, architecture);
  switch (architecture) {
    case Architecture::kRwkv4:
      return WriteHub(directory, renamed,
                      HubConfig(tensors, "rwkv", "RwkvForCausalLM"));
    case Architecture::kRwkv6:
      return WriteHub(directory, renamed,
                      HubConfig(tensors, "rwkv6", "Rwkv6ForCausalLM"));
    default:
      return WriteHub(directory, renamed,
                      HubConfig(tensors, "rwkv5", "Rwkv5ForCausalLM"));
  }
}

std::string WriteFla(const std::string& directory, const TestTensors& tensors,
                     Architecture architecture, FlaAge age) {
  const bool is_7 = architecture == Architecture::kRwkv7;
  return WriteHub(directory, ToFla(tensors, architecture, age),
                  is_7 ? HubConfig(tensors, "rwkv7", "RWKV7ForCausalLM")
                       : HubConfig(tensors, "rwkv6", "RWKV6ForCausalLM"));
}

}  // namespace

const std::vector<FileFormat>& AllFileFormats() {
  static const auto* const formats = new std::vector<FileFormat>{
      FileFormat::kSafetensors, FileFormat::kSharded,
      FileFormat::kPth,         FileFormat::kPthLegacy,
      FileFormat::kPthTricky,   FileFormat::kPthSharded,
      FileFormat::kHuggingFace, FileFormat::kFla,
      FileFormat::kFlaOld,      FileFormat::kWebRwkv,
      FileFormat::kWebRwkvRust};
  return *formats;
}

absl::string_view NameOf(FileFormat format) {
  switch (format) {
    case FileFormat::kSafetensors:
      return "safetensors";
    case FileFormat::kSharded:
      return "sharded";
    case FileFormat::kPth:
      return "pth";
    case FileFormat::kPthLegacy:
      return "pth_legacy";
    case FileFormat::kPthTricky:
      return "pth_tricky";
    case FileFormat::kPthSharded:
      return "pth_sharded";
    case FileFormat::kHuggingFace:
      return "hugging_face";
    case FileFormat::kFla:
      return "fla";
    case FileFormat::kFlaOld:
      return "fla_old";
    case FileFormat::kWebRwkv:
      return "web_rwkv";
    case FileFormat::kWebRwkvRust:
      return "web_rwkv_rust";
  }
  RWKVD_CHECK(false);
}

bool HasFormat(Architecture architecture, FileFormat format) {
  switch (format) {
    case FileFormat::kHuggingFace:
      return architecture == Architecture::kRwkv4 ||
             architecture == Architecture::kRwkv52 ||
             architecture == Architecture::kRwkv6;
    case FileFormat::kFla:
      return architecture == Architecture::kRwkv6 ||
             architecture == Architecture::kRwkv7;
    case FileFormat::kFlaOld:
    case FileFormat::kWebRwkvRust:
      return architecture == Architecture::kRwkv7;
    case FileFormat::kWebRwkv:
      return architecture != Architecture::kRwkv50;
    default:
      return true;
  }
}

std::vector<VersionAndFormat> AllVersionsAndFormats() {
  std::vector<VersionAndFormat> all;
  for (const Architecture architecture : kAllArchitectures) {
    for (const FileFormat format : AllFileFormats()) {
      if (HasFormat(architecture, format)) {
        all.emplace_back(architecture, format);
      }
    }
  }
  return all;
}

std::string TestName(const VersionAndFormat& parameters) {
  const auto [architecture, format] = parameters;
  std::string name = absl::StrCat(NameOf(architecture), "_", NameOf(format));
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::string WriteCheckpointAs(const std::string& directory,
                              const TestTensors& tensors,
                              Architecture architecture, FileFormat format) {
  RWKVD_CHECK(HasFormat(architecture, format));
  switch (format) {
    case FileFormat::kSafetensors:
      return WriteCheckpoint(directory, tensors);
    case FileFormat::kSharded:
      return WriteCheckpoint(directory, tensors, kNumShards);
    case FileFormat::kPth:
      return WritePth(directory, tensors, {});
    case FileFormat::kPthLegacy:
      return WritePth(directory, tensors, {.legacy = true, .modern = false});
    case FileFormat::kPthTricky:
      return WritePth(directory, tensors,
                      {.wrapped = true,
                       .parameters = true,
                       .shared_storage = true,
                       .transposed = true,
                       .root = "some model"});
    case FileFormat::kPthSharded:
      return WriteShardedPth(directory, tensors, kNumShards);
    case FileFormat::kHuggingFace:
      return WriteHuggingFace(directory, tensors, architecture);
    case FileFormat::kFla:
      return WriteFla(directory, tensors, architecture, FlaAge::kNew);
    case FileFormat::kFlaOld:
      return WriteFla(directory, tensors, architecture, FlaAge::kOld);
    case FileFormat::kWebRwkv:
      return WriteSt(directory, ToWebRwkv(tensors, architecture));
    case FileFormat::kWebRwkvRust:
      return WriteSt(directory,
                     ToWebRwkv(tensors, architecture, WebRwkvConverter::kRust));
  }
  RWKVD_CHECK(false);
}

}  // namespace rwkvd::testing
