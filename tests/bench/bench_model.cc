// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_model.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/match.h"
#include "core/model/load_model.h"

namespace rwkvd::bench {
namespace {

// Memory of the tensors that a step reads. Tensors less than a page apart are
// joined into one region.
std::vector<absl::Span<const std::byte>> RegionsOf(const TensorFile& file) {
  std::vector<absl::Span<const std::byte>> regions;
  for (const auto& [name, tensor] : file.tensors()) {
    if (!absl::StartsWith(name, "emb.")) regions.push_back(tensor.data);
  }
  std::sort(regions.begin(), regions.end(),
            [](const auto& a, const auto& b) { return a.data() < b.data(); });
  std::vector<absl::Span<const std::byte>> joined;
  for (absl::Span<const std::byte> region : regions) {
    if (!joined.empty()) {
      absl::Span<const std::byte>& last = joined.back();
      const std::byte* end = region.data() + region.size();
      if (region.data() <= last.data() + last.size() + 4096) {
        last = {last.data(), std::max(last.size(), size_t(end - last.data()))};
        continue;
      }
    }
    joined.push_back(region);
  }
  return joined;
}

}  // namespace

BenchModel LoadBenchModel(const std::string& name, const std::string& path,
                          ActivationKind activations) {
  auto file = TensorFile::Open(path);
  if (!file.ok()) {
    std::fprintf(stderr, "%s\n", std::string(file.status().message()).c_str());
    std::exit(1);
  }
  BenchModel loaded;
  loaded.name = name;
  loaded.file = *std::move(file);
  auto model = LoadModel(loaded.file, {.activations = activations});
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", std::string(model.status().message()).c_str());
    std::exit(1);
  }
  loaded.model = *std::move(model);
  loaded.regions = RegionsOf(*loaded.file);
  for (const auto& region : loaded.regions) {
    loaded.bytes_per_step += static_cast<int64_t>(region.size());
  }
  const ModelConfig& config = loaded.model->config();
  loaded.operations_per_token =
      2.0 *
      double(config.num_parameters - config.vocab_size * config.embedding_size);
  return loaded;
}

std::vector<Resource> PeaksOf(const BenchModel& model) {
  const std::string& type = model.model->config().weight_type;
  if (type == "F32" || type == "F16") return {Resource::kF32};
  if (type == "BF16") return {Resource::kF32, Resource::kBF16};
  return {Resource::kInt8, Resource::kAmxInt8};
}

Steps::Steps(const Model& model, int64_t sequences, int64_t tokens,
             ThreadPool* pool)
    : model_(model),
      workspace_(model.NewWorkspace(sequences * tokens, pool)),
      tokens_(sequences * tokens),
      logits_(sequences * model.config().vocab_size),
      states_(sequences, model.NewState()) {
  const int64_t vocab = model.config().vocab_size;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    tokens_[i] = static_cast<int32_t>(i * 997 % vocab);
  }
  for (int64_t i = 0; i < sequences; ++i) {
    chunks_.push_back(
        {.tokens = absl::MakeConstSpan(&tokens_[i * tokens], tokens),
         .state = &states_[i],
         .wanted = LogitsWanted::kLast,
         .logits = absl::MakeSpan(&logits_[i * vocab], vocab)});
  }
}

bool Steps::IsSane() const {
  return std::all_of(logits_.begin(), logits_.end(),
                     [](float logit) { return std::isfinite(logit); });
}

}  // namespace rwkvd::bench
