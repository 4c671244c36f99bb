// SPDX-License-Identifier: Apache-2.0
#include "service/served_model.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/cpu_quota.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/tensor_file.h"
#include "core/kernels/kernels.h"
#include "core/model/load_model.h"
#include "core/text/load_tokenizer.h"

namespace rwkvd {
namespace {

const KernelTable& ChooseKernels(const std::string& isa) {
  if (isa == "auto") return BestKernels();
  const KernelTable* kernels = FindKernels(isa);
  RWKVD_CHECK(kernels != nullptr);  // ParseOptions has looked
  return *kernels;
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> OpenTokenizer(
    const Options& options, const TensorFile& file, int64_t vocab_size) {
  if (!options.tokenizer.empty()) return LoadTokenizer(options.tokenizer);
  return FindTokenizer(file.directory(), vocab_size);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServedModel>> LoadServedModel(
    const Options& options) {
  RWKVD_ASSIGN_OR_RETURN(std::shared_ptr<const TensorFile> file,
                         TensorFile::Open(options.model));
  const KernelTable& kernels = ChooseKernels(options.isa);
  auto served = std::make_unique<ServedModel>();
  RWKVD_ASSIGN_OR_RETURN(served->model, LoadModel(file, {.kernels = &kernels}));
  const ModelConfig& config = served->model->config();
  RWKVD_ASSIGN_OR_RETURN(served->tokenizer,
                         OpenTokenizer(options, *file, config.vocab_size));
  RWKVD_RETURN_IF_ERROR(CheckFit(*served->tokenizer, config));
  served->name = options.model_name.empty() ? NameOfPath(options.model)
                                            : options.model_name;
  served->fingerprint = file->Fingerprint();
  served->isa = kernels.name;
  served->pool = std::make_unique<ThreadPool>(
      options.threads > 0 ? options.threads : UsableCpus());
  served->engine =
      std::make_unique<Engine>(options.engine, served->model.get(),
                               served->tokenizer.get(), served->pool.get());
  return served;
}

absl::Status CheckFit(const Tokenizer& tokenizer, const ModelConfig& config) {
  if (tokenizer.size() <= config.vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the tokenizer's largest id, ", tokenizer.size() - 1,
      ", does not fit the model's vocabulary of ", config.vocab_size));
}

std::string NameOfPath(const std::string& path) {
  std::filesystem::path name = std::filesystem::path(path).lexically_normal();
  if (!name.has_filename()) name = name.parent_path();
  if (name.extension() == ".safetensors") return name.stem().string();
  if (name.extension() == ".json") name = name.parent_path();
  return name.filename().empty() ? "model" : name.filename().string();
}

}  // namespace rwkvd
