// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/shard_plan.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/base/json.h"
#include "core/checkpoint/stored_blocks.h"
#include "core/checkpoint/stored_name.h"

namespace rwkvd {
namespace {

constexpr int64_t kAlignment = 64;
constexpr size_t kMinDigits = 5;  // of the number of a shard

// The position of a tensor in the order of use: -1 for the embedding, then the
// number of the layer, then the maximum.
int64_t Depth(absl::string_view name) {
  if (name == "emb.weight") return -1;
  int64_t layer = std::numeric_limits<int64_t>::max();
  if (const std::optional<LayerName> split = SplitLayerName(name)) {
    static_cast<void>(absl::SimpleAtoi(split->number, &layer));
  }
  return layer;
}

void SortForAlignment(Shard& shard) {
  const auto rank = [](const SafetensorsWriter::Entry& entry) {
    const bool is_scales = absl::EndsWith(entry.name, ".scales");
    // The size of quants is a multiple of 64 bytes; scales stay with them.
    const size_t element = is_scales ? SizeOf(DType::kU8) : SizeOf(entry.dtype);
    const bool has_rest = entry.num_bytes() % kAlignment != 0;
    return std::tuple(has_rest, -static_cast<int>(element));
  };
  std::stable_sort(
      shard.begin(), shard.end(),
      [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
}

using Entries = std::vector<SafetensorsWriter::Entry>;

// The tensors that `tensor` is stored as.
Entries EntriesOf(const Tensor& tensor, const Target& target) {
  const auto form = FormAfter(tensor, target.weights);
  if (!form.has_value()) {
    const DType dtype = DTypeAfter(tensor, target.dtype);
    if (!IsBlockType(dtype)) return {{tensor.name, dtype, tensor.shape}};
    return {{StoredBlocksName(tensor), DType::kU8, StoredBlocksShape(tensor)}};
  }
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  return {
      {QuantsName(tensor.name, *form), DType::kU8,
       QuantsShape(*form, rows, cols)},
      {ScalesName(tensor.name), DType::kBF16, ScalesShape(*form, rows, cols)}};
}

// Removes the digits at the front; true if they are at least kMinDigits.
bool ConsumeNumber(absl::string_view* text) {
  size_t digits = 0;
  while (digits < text->size() && absl::ascii_isdigit((*text)[digits])) {
    ++digits;
  }
  text->remove_prefix(digits);
  return digits >= kMinDigits;
}

}  // namespace

std::vector<const Tensor*> InOrderOfUse(const TensorFile& source) {
  std::vector<const Tensor*> order;
  for (const auto& [name, tensor] : source.tensors()) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(),
                   [](const Tensor* a, const Tensor* b) {
                     return Depth(a->name) < Depth(b->name);
                   });
  return order;
}

std::vector<Shard> PlanShards(const TensorFile& source, const Target& target,
                              int64_t max_bytes) {
  std::vector<Shard> shards;
  int64_t room = 0;
  for (const Tensor* tensor : InOrderOfUse(source)) {
    Entries entries = EntriesOf(*tensor, target);
    const int64_t bytes = TotalBytes({entries});
    if (shards.empty() || bytes > room) {
      shards.emplace_back();
      room = max_bytes;
    }
    room -= bytes;
    std::move(entries.begin(), entries.end(),
              std::back_inserter(shards.back()));
  }
  for (Shard& shard : shards) SortForAlignment(shard);
  return shards;
}

int64_t TotalBytes(absl::Span<const Shard> shards) {
  int64_t bytes = 0;
  for (const Shard& shard : shards) {
    for (const SafetensorsWriter::Entry& entry : shard) {
      bytes += entry.num_bytes();
    }
  }
  return bytes;
}

std::vector<std::string> ShardNames(absl::string_view stem, size_t num) {
  if (num == 1) return {kSingleFile};
  std::vector<std::string> names;
  for (size_t i = 1; i <= num; ++i) {
    names.push_back(
        absl::StrFormat("%s-%05d-of-%05d.safetensors", stem, i, num));
  }
  return names;
}

bool IsOutputName(absl::string_view name) {
  if (name == kSingleFile || name == kIndexFile) return true;
  if (!absl::ConsumePrefix(&name, "model-")) return false;
  if (name.size() > 2 && absl::ascii_islower(name[0]) && name[1] == '-') {
    name.remove_prefix(2);  // "model-b-00001-of-..."
  }
  return ConsumeNumber(&name) && absl::ConsumePrefix(&name, "-of-") &&
         ConsumeNumber(&name) && name == ".safetensors";
}

std::string IndexText(absl::Span<const Shard> shards,
                      absl::Span<const std::string> names) {
  Json map = Json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const SafetensorsWriter::Entry& entry : shards[i]) {
      map[entry.name] = names[i];
    }
  }
  const Json index = {{"metadata", {{"total_size", TotalBytes(shards)}}},
                      {"weight_map", std::move(map)}};
  // The names are in the shards already, so they are UTF-8.
  return index.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace rwkvd
