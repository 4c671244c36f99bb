// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/adapter.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/adapter_config.h"
#include "core/checkpoint/adapter_files.h"
#include "core/checkpoint/adapter_name.h"
#include "core/checkpoint/file_format.h"
#include "core/checkpoint/stored_name.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxNameBytes = 64;

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

absl::string_view TextOf(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()),
          file.bytes().size()};
}

// The tensors of one module that are not whole tensors, by part.
struct Parts {
  std::array<std::optional<Tensor>, 5> tensors;

  std::optional<Tensor>& Of(AdapterPart part) {
    return tensors[static_cast<size_t>(part)];
  }
  const std::optional<Tensor>& Of(AdapterPart part) const {
    return tensors[static_cast<size_t>(part)];
  }
};

// The name of a part in messages.
absl::string_view NameOf(AdapterPart part) {
  constexpr absl::string_view kNames[] = {
      "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B",
      "lora_magnitude_vector"};
  return kNames[static_cast<size_t>(part)];
}

}  // namespace

// Sorts the tensors of one adapter. Owned by one Open call.
class Adapter::Reader {
 public:
  Reader(const std::string& path, const std::optional<AdapterConfig>& config,
         std::optional<double> alpha)
      : error_(path), config_(config), alpha_(alpha) {}

  absl::Status Read(std::vector<Tensor> stored, Adapter* adapter) {
    for (Tensor& tensor : stored) {
      RWKVD_RETURN_IF_ERROR(Sort(std::move(tensor), adapter));
    }
    for (const auto& [module, parts] : modules_) {
      RWKVD_ASSIGN_OR_RETURN(LowRankUpdate update, UpdateOf(module, parts));
      adapter->updates_.push_back(std::move(update));
    }
    return CheckIsAdapter(*adapter);
  }

 private:
  absl::Status Sort(Tensor tensor, Adapter* adapter) {
    const absl::string_view other = OtherAdapterKind(tensor.name);
    if (!other.empty()) {
      return error_.In("tensor", tensor.name)(
          "is of an adapter of ", other,
          ", expected LoRA; merge it into the weights with the tool that "
          "trained it");
    }
    if (static_cast<int>(tensor.dtype) >= kNumFloatTypes) {
      return error_.In("tensor", tensor.name)(
          "expected numbers, F32, F16 or BF16, got ", NameOf(tensor.dtype));
    }
    AdapterName name = SplitAdapterName(tensor.name);
    // The base model has dropped it, too.
    if (IsUnusedWeight(name.module)) return absl::OkStatus();
    if (name.part == AdapterPart::kWhole) {
      const NativePlace place = PlaceOf(name.module);
      if (place.is_transposed && tensor.shape.size() == 2) {
        tensor = Transposed(tensor, 0, 1);
      }
      tensor.name = place.name;
      adapter->replacements_.push_back(std::move(tensor));
      return absl::OkStatus();
    }
    std::optional<Tensor>& part = modules_[name.module].Of(name.part);
    if (part.has_value()) {
      return error_.In("tensor", tensor.name)("is ", NameOf(name.part), " of ",
                                              Quoted(name.module), ", as is ",
                                              Quoted(part->name));
    }
    part = std::move(tensor);
    return absl::OkStatus();
  }

  // The matrix A or B of a module.
  absl::StatusOr<Tensor> Matrix(const std::string& module, const Parts& parts,
                                AdapterPart part) const {
    const std::optional<Tensor>& tensor = parts.Of(part);
    if (!tensor.has_value()) {
      return error_("expected tensor ", NameOf(part), " of ", Quoted(module),
                    ", found none");
    }
    if (tensor->shape.size() != 2 || tensor->num_elements() == 0) {
      return error_.In("tensor", tensor->name)("expected a matrix, got shape ",
                                               ShapeString(tensor->shape));
    }
    return *tensor;
  }

  absl::StatusOr<LowRankUpdate> UpdateOf(const std::string& module,
                                         const Parts& parts) const {
    const bool is_embedding = parts.Of(AdapterPart::kEmbeddingA).has_value() ||
                              parts.Of(AdapterPart::kEmbeddingB).has_value();
    RWKVD_ASSIGN_OR_RETURN(
        const Tensor a,
        Matrix(module, parts,
               is_embedding ? AdapterPart::kEmbeddingA : AdapterPart::kA));
    RWKVD_ASSIGN_OR_RETURN(
        const Tensor b,
        Matrix(module, parts,
               is_embedding ? AdapterPart::kEmbeddingB : AdapterPart::kB));
    if (a.shape[0] != b.shape[1]) {
      return error_.In("tensor", b.name)(
          "expected ", a.shape[0], " columns, as many as ", Quoted(a.name),
          " has rows, got shape ", ShapeString(b.shape));
    }
    const NativePlace place = PlaceOf(module + ".weight");
    // An embedding is the transpose of what a layer would store.
    const bool is_transposed = is_embedding || place.is_transposed;
    LowRankUpdate update = {.target = place.name,
                            .a = a,
                            .b = b,
                            .magnitude = parts.Of(AdapterPart::kMagnitude),
                            .stored = a.name};
    RWKVD_ASSIGN_OR_RETURN(update.scale, ScaleOf(module, a));
    RWKVD_RETURN_IF_ERROR(CheckMagnitude(update, is_transposed));
    if (is_transposed) {
      update.a = Transposed(b, 0, 1);
      update.b = Transposed(a, 0, 1);
    }
    return update;
  }

  absl::StatusOr<double> ScaleOf(const std::string& module,
                                 const Tensor& a) const {
    const int64_t rank = a.shape[0];
    if (!config_.has_value()) {
      if (alpha_.has_value()) return *alpha_ / static_cast<double>(rank);
      return error_(
          "does not contain alpha; set it with --adapter_alpha to the value of "
          "the training");
    }
    const absl::StatusOr<AdapterConfig::Use> use = config_->UseFor(module);
    if (!use.ok())
      return error_(kAdapterConfigFile, ": ", use.status().message());
    if (use->rank == rank) return use->scale;
    return error_.In("tensor", a.name)(
        "expected ", use->rank, " rows, the rank that ", kAdapterConfigFile,
        " says, got shape ", ShapeString(a.shape));
  }

  absl::Status CheckMagnitude(const LowRankUpdate& update,
                              bool is_transposed) const {
    const FileError error = error_.In("tensor", update.stored);
    const bool expected = config_.has_value() ? config_->has_magnitudes : false;
    if (update.magnitude.has_value() != expected) {
      return expected ? error(
                            "expected a lora_magnitude_vector, since \"use_"
                            "dora\" is true, found none")
                      : error(
                            "has a lora_magnitude_vector, expected none "
                            "unless \"use_dora\" is true in ",
                            kAdapterConfigFile);
    }
    if (expected && is_transposed) {
      return error(
          "expected no DoRA of a matrix that is used transposed, such as the "
          "embedding; it is not supported");
    }
    if (expected && update.magnitude->num_elements() != update.b.shape[0]) {
      return error_.In("tensor", update.magnitude->name)(
          "expected ", update.b.shape[0], " elements, got shape ",
          ShapeString(update.magnitude->shape));
    }
    return absl::OkStatus();
  }

  absl::Status CheckIsAdapter(const Adapter& adapter) const {
    if (!adapter.updates_.empty()) return absl::OkStatus();
    const auto is_state = [](const Tensor& tensor) {
      return absl::EndsWith(tensor.name, ".att.time_state");
    };
    if (std::any_of(adapter.replacements_.begin(), adapter.replacements_.end(),
                    is_state)) {
      return error_(
          "contains no LoRA matrices but a tuned state, which is an initial "
          "state and no adapter");
    }
    return error_("expected tensors NAME.lora_A and NAME.lora_B, found none");
  }

  const FileError error_;
  const std::optional<AdapterConfig>& config_;
  const std::optional<double> alpha_;
  std::map<std::string, Parts> modules_;  // in order of their names
};

absl::StatusOr<AdapterPath> ParseAdapterPath(absl::string_view text) {
  AdapterPath where;
  const size_t equals = text.find('=');
  if (equals != text.npos && IsName(text.substr(0, equals))) {
    where.name = std::string(text.substr(0, equals));
    text.remove_prefix(equals + 1);
  }
  where.path = std::string(text);
  if (where.path.empty()) {
    return absl::InvalidArgumentError("expected [NAME=]PATH, got no path");
  }
  if (where.name.empty()) {
    fs::path path = fs::path(where.path).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    where.name = path.stem().string();
  }
  return where;
}

absl::StatusOr<Adapter> Adapter::Open(const AdapterPath& where,
                                      std::optional<double> alpha) {
  RWKVD_ASSIGN_OR_RETURN(const AdapterFiles files,
                         FindAdapterFiles(where.path));
  std::optional<AdapterConfig> config;
  if (files.config.empty()) {
    RWKVD_RETURN_IF_ERROR(CheckNotPissa(files.weights));
  } else {
    RWKVD_ASSIGN_OR_RETURN(const auto text, MappedFile::Open(files.config));
    RWKVD_ASSIGN_OR_RETURN(config,
                           ParseAdapterConfig(TextOf(*text), files.config));
  }
  Adapter adapter;
  adapter.name_ = where.name;
  adapter.path_ = files.weights;
  adapter.has_config_ = config.has_value();
  RWKVD_ASSIGN_OR_RETURN(adapter.file_, MappedFile::Open(files.weights));
  RWKVD_ASSIGN_OR_RETURN(std::vector<Tensor> stored,
                         ParseTensors(*adapter.file_));
  RWKVD_RETURN_IF_ERROR(
      Reader(adapter.path_, config, alpha).Read(std::move(stored), &adapter));
  return adapter;
}

absl::StatusOr<std::vector<Adapter>> OpenAdapters(
    absl::Span<const AdapterPath> paths, std::optional<double> alpha) {
  std::vector<Adapter> adapters;
  for (const AdapterPath& where : paths) {
    RWKVD_ASSIGN_OR_RETURN(Adapter adapter, Adapter::Open(where, alpha));
    adapters.push_back(std::move(adapter));
  }
  const bool uses_alpha =
      std::any_of(adapters.begin(), adapters.end(),
                  [](const Adapter& adapter) { return !adapter.has_config(); });
  if (alpha.has_value() && !uses_alpha) {
    return absl::InvalidArgumentError(
        "--adapter_alpha: expected an adapter without adapter_config.json, "
        "found none");
  }
  return adapters;
}

}  // namespace rwkvd
