// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/adapter_files.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "core/base/file_error.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/hub_cache.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeightFiles[] = {"adapter_model.safetensors",
                                        "adapter_model.bin"};
// What RWKV-PEFT writes next to the adapters of PiSSA. These look like those of
// LoRA, but are relative to a base model from which this file was subtracted.
constexpr const char* kPissaFiles[] = {"init_pissa.pth", "init_lora.pth"};

bool Exists(const fs::path& path) {
  std::error_code ignored;  // opening the file reports it
  return fs::exists(path, ignored);
}

absl::StatusOr<AdapterFiles> FindInFolder(const fs::path& folder) {
  const FileError error(folder.native());
  if (!Exists(folder / kAdapterConfigFile)) {
    return error("expected ", kAdapterConfigFile,
                 " in the folder of an adapter, found none; if its tool writes "
                 "no such file, name the file of weights");
  }
  for (const char* name : kWeightFiles) {
    if (!Exists(folder / name)) continue;
    return AdapterFiles{(folder / name).string(),
                        (folder / kAdapterConfigFile).string()};
  }
  return error("expected ", kWeightFiles[0], " or ", kWeightFiles[1],
               " in the folder of an adapter, found neither");
}

// A file of weights in a folder of PEFT belongs to its configuration.
AdapterFiles FindNextTo(const fs::path& weights) {
  const fs::path config = weights.parent_path() / kAdapterConfigFile;
  const bool is_peft =
      absl::StartsWith(weights.filename().native(), "adapter_model.");
  return {weights.string(), is_peft && Exists(config) ? config.string() : ""};
}

}  // namespace

absl::StatusOr<AdapterFiles> FindAdapterFiles(const std::string& path) {
  std::error_code ignored;  // opening the file reports it
  if (!fs::is_directory(path, ignored)) return FindNextTo(path);
  RWKVD_ASSIGN_OR_RETURN(const std::string folder, FindSnapshot(path));
  return FindInFolder(folder);
}

absl::Status CheckNotPissa(const std::string& weights) {
  for (const char* name : kPissaFiles) {
    if (!Exists(fs::path(weights).parent_path() / name)) continue;
    return FileError(weights)(
        "is next to ", name,
        ", so it is an adapter of PiSSA, which is not supported; merge it into "
        "the weights with the tool that trained it");
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
