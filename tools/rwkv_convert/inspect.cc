// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/inspect.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/share_folders.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/file_format.h"
#include "core/checkpoint/merge_adapters.h"
#include "core/checkpoint/stored_name.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/load_model.h"
#include "core/quantize/weight_kind.h"
#include "core/text/load_tokenizer.h"
#include "tools/rwkv_convert/shard_plan.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr WeightKind kWeightKinds[] = {
    WeightKind::kAsStored, WeightKind::kInt8, WeightKind::kInt8Mixed,
    WeightKind::kInt4, WeightKind::kInt4Mixed};

constexpr const char* kTemplateFiles[] = {"chat_template.jinja",
                                          "chat_template.json"};

// The type and shape of tensors that form a group, and their name with "*"
// instead of the layer.
using GroupKey = std::tuple<std::string, std::string, std::vector<int64_t>>;

// "0-23", or "0, 3-5" if there are gaps.
std::string Ranges(const std::set<int64_t>& numbers) {
  std::string text;
  for (auto at = numbers.begin(); at != numbers.end();) {
    const int64_t first = *at;
    int64_t last = first;
    while (++at != numbers.end() && *at == last + 1) ++last;
    absl::StrAppend(&text, text.empty() ? "" : ", ", first);
    if (last > first) absl::StrAppend(&text, "-", last);
  }
  return text;
}

std::vector<TensorGroup> GroupTensors(const TensorFile& file) {
  std::vector<TensorGroup> groups;
  std::vector<std::set<int64_t>> layers;
  std::map<GroupKey, size_t> known;
  for (const Tensor* tensor : InOrderOfUse(file)) {
    const std::optional<LayerName> split = SplitLayerName(tensor->name);
    int64_t layer = 0;
    const bool has_layer =
        split.has_value() && absl::SimpleAtoi(split->number, &layer);
    std::string name = has_layer ? NativeName("*", split->part) : tensor->name;
    std::string type(NameOf(tensor->dtype));
    const auto [entry, is_new] =
        known.try_emplace(GroupKey{name, type, tensor->shape}, groups.size());
    if (is_new) {
      groups.push_back({std::move(name), std::move(type), tensor->shape});
      layers.emplace_back();
    }
    TensorGroup& group = groups[entry->second];
    ++group.num_tensors;
    group.num_bytes += tensor->num_bytes();
    if (has_layer) layers[entry->second].insert(layer);
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    groups[i].layers = Ranges(layers[i]);
  }
  return groups;
}

std::vector<TypeUse> CountTypes(const TensorFile& file) {
  std::map<std::string, TypeUse> by_type;
  for (const auto& [name, tensor] : file.tensors()) {
    const std::string type(NameOf(tensor.dtype));
    TypeUse& use = by_type[type];
    use.type = type;
    ++use.num_tensors;
    use.num_bytes += tensor.num_bytes();
  }
  std::vector<TypeUse> types;
  for (auto& [type, use] : by_type) types.push_back(std::move(use));
  std::stable_sort(types.begin(), types.end(),
                   [](const TypeUse& a, const TypeUse& b) {
                     return a.num_bytes > b.num_bytes;
                   });
  return types;
}

// Whether a server widens the tensor to F32 when it loads it.
bool IsVector(const Tensor& tensor) {
  const size_t rank = Squeezed(tensor).shape.size();
  for (absl::string_view per_head :
       {".r_k", ".time_faaaa", ".time_decay", ".time_first"}) {
    if (absl::EndsWith(tensor.name, per_head)) return true;
  }
  return rank <= 1 && tensor.dtype != DType::kU8;
}

int64_t BytesOf(DType dtype, const std::vector<int64_t>& shape) {
  return Tensor{.dtype = dtype, .shape = shape}.num_bytes();
}

ServingMemory MemoryFor(WeightKind weights, const TensorFile& file) {
  ServingMemory memory = {
      .weights = std::string(NameOf(weights)),
      .process = file.copied_bytes() + file.replaced_bytes()};
  for (const auto& [name, tensor] : file.tensors()) {
    if (IsVector(tensor)) {
      memory.process += tensor.num_elements() * 4;
      continue;
    }
    const auto& shape = tensor.shape;
    const auto form = shape.size() == 2
                          ? FormOf(weights, name, shape[0], shape[1])
                          : std::nullopt;
    if (!form.has_value()) {
      // Blocks are packed for the kernels, at about the same size.
      const bool is_packed = IsBlockType(tensor.dtype) && name != "emb.weight";
      (is_packed ? memory.process : memory.mapped) += tensor.num_bytes();
      continue;
    }
    memory.process +=
        BytesOf(DType::kU8, QuantsShape(*form, shape[0], shape[1])) +
        BytesOf(DType::kBF16, ScalesShape(*form, shape[0], shape[1]));
  }
  // Copies are not in the file.
  memory.mapped = std::max<int64_t>(
      memory.mapped - file.copied_bytes() - file.replaced_bytes(), 0);
  return memory;
}

// The size of a state: docs/memory.md.
int64_t StateBytes(const ModelConfig& config) {
  const int64_t per_layer =
      config.architecture == Architecture::kRwkv4
          ? 2 * config.embedding_size + 3 * config.attention_size
          : 2 * config.embedding_size +
                config.num_heads * config.head_size * config.head_size;
  return config.num_layers * per_layer * 4;
}

bool IsTunedState(const TensorFile& file) {
  const auto& tensors = file.tensors();
  return !tensors.empty() &&
         std::all_of(tensors.begin(), tensors.end(), [](const auto& entry) {
           return absl::EndsWith(entry.first, ".att.time_state");
         });
}

std::string DescribeTokenizer(const TensorFile& file, int64_t vocab_size) {
  const auto embedded = file.embedded_tokenizer();
  if (!embedded.ok()) {
    return absl::StrCat("none: ", embedded.status().message());
  }
  const absl::StatusOr<ChosenTokenizer> chosen = ChooseTokenizer(
      {.directory = file.directory(),
       .model_vocab_size = vocab_size,
       .embedded = {embedded->model, embedded->tokens, embedded->types},
       .file = file.path(),
       .share_folders = ShareFolders("")});
  if (!chosen.ok()) return absl::StrCat("none: ", chosen.status().message());
  const absl::Status fit = CheckFit(*chosen->tokenizer, vocab_size);
  return absl::StrCat(chosen->source, ", ", chosen->tokenizer->size(),
                      " tokens",
                      chosen->is_guess ? " (the folder contains none)" : "",
                      fit.ok() ? "" : absl::StrCat("; ", fit.message()));
}

// The file with the chat template.
std::string FindTemplate(const TensorFile& file) {
  const auto embedded = file.chat_template();
  if (embedded.ok() && embedded->has_value()) return file.path();
  for (const char* name : kTemplateFiles) {
    const std::string path = (fs::path(file.directory()) / name).string();
    std::error_code ignored;  // a file that cannot be examined is not listed
    if (fs::exists(path, ignored)) return path;
  }
  return "";
}

InspectedAdapter Describe(const Adapter& adapter, bool has_alpha) {
  InspectedAdapter result = {
      .name = adapter.name(),
      .path = adapter.path(),
      .num_matrices = static_cast<int64_t>(adapter.updates().size()),
      .num_replaced = static_cast<int64_t>(adapter.replacements().size()),
      .has_alpha = has_alpha || adapter.has_config()};
  for (const LowRankUpdate& update : adapter.updates()) {
    const int64_t rank = update.a.shape[0];
    result.max_rank = std::max(result.max_rank, rank);
    result.min_rank =
        result.min_rank == 0 ? rank : std::min(result.min_rank, rank);
    result.has_magnitudes |= update.magnitude.has_value();
  }
  return result;
}

// Opens an adapter whose alpha may be unknown.
absl::StatusOr<Adapter> OpenAnyAdapter(const AdapterPath& where,
                                       std::optional<double> alpha) {
  return Adapter::Open(where, alpha.value_or(0));
}

absl::StatusOr<Inspection> InspectAdapter(const std::string& path,
                                          std::optional<double> alpha) {
  RWKVD_ASSIGN_OR_RETURN(const AdapterPath where, ParseAdapterPath(path));
  RWKVD_ASSIGN_OR_RETURN(const Adapter adapter, OpenAnyAdapter(where, alpha));
  Inspection result;
  result.kind = Inspection::Kind::kAdapter;
  result.path = adapter.path();
  result.adapters.push_back(Describe(adapter, alpha.has_value()));
  return result;
}

void InspectModel(const std::shared_ptr<const TensorFile>& opened,
                  Inspection& result) {
  const TensorFile& file = *opened;
  absl::StatusOr<ModelConfig> config = DeduceConfig(file);
  if (!config.ok()) {
    result.problem = std::string(config.status().message());
    return;
  }
  result.config = *std::move(config);
  result.problem = std::string(CheckTensors(opened).message());
  result.state_bytes = StateBytes(*result.config);
  result.tokenizer = DescribeTokenizer(file, result.config->vocab_size);
  for (const WeightKind weights : kWeightKinds) {
    if (!CheckQuantizable(file, weights).ok()) continue;
    result.memory.push_back(MemoryFor(weights, file));
  }
}

}  // namespace

absl::StatusOr<Inspection> Inspect(const std::string& path,
                                   absl::Span<const AdapterPath> adapters,
                                   std::optional<double> adapter_alpha) {
  const auto file = TensorFile::Open(path);
  if (!file.ok()) {
    auto adapter = InspectAdapter(path, adapter_alpha);
    return adapter.ok() ? std::move(adapter) : file.status();
  }
  Inspection result;
  result.path = (*file)->path();
  for (const auto& mapped : (*file)->files()) {
    ++result.num_files;
    result.file_bytes += static_cast<int64_t>(mapped->bytes().size());
    result.format = std::string(FormatName(*mapped));
  }
  result.layout = std::string(NameOf((*file)->layout()));
  result.num_tensors = static_cast<int64_t>((*file)->tensors().size());
  result.tensor_bytes = (*file)->tensor_bytes();
  result.types = CountTypes(**file);
  result.groups = GroupTensors(**file);
  result.copied_bytes = (*file)->copied_bytes();
  if (IsTunedState(**file)) {
    result.kind = Inspection::Kind::kTunedState;
    return result;
  }
  result.chat_template = FindTemplate(**file);
  InspectModel(*file, result);
  for (const AdapterPath& where : adapters) {
    RWKVD_ASSIGN_OR_RETURN(const Adapter adapter,
                           OpenAnyAdapter(where, adapter_alpha));
    InspectedAdapter inspected = Describe(adapter, adapter_alpha.has_value());
    inspected.problem = std::string(CheckPlacement(**file, adapter).message());
    result.adapters.push_back(std::move(inspected));
  }
  return result;
}

}  // namespace rwkvd
