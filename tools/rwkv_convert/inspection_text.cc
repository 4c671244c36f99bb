// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/json.h"
#include "core/base/quote.h"
#include "core/checkpoint/tensor.h"
#include "tools/rwkv_convert/byte_size.h"
#include "tools/rwkv_convert/inspect.h"

namespace rwkvd {
namespace {

constexpr size_t kLabelWidth = 14;

// What a server needs in addition to Inspection::memory. Its flags decide how
// much that is.
constexpr absl::string_view kOtherMemory[] = {
    "activations", "states of sequences", "caches", "messages"};

using Row = std::vector<std::string>;

// Appends the rows as columns; numbers of the columns in `right` are aligned on
// the right.
void AppendTable(const std::vector<Row>& rows, std::vector<size_t> right,
                 std::string* text) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  for (const Row& row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - row[i].size(), ' ');
      const bool is_right =
          std::find(right.begin(), right.end(), i) != right.end();
      absl::StrAppend(&line, " ", is_right ? padding : "", row[i],
                      is_right ? "" : padding);
    }
    while (line.back() == ' ') line.pop_back();
    absl::StrAppend(text, line, "\n");
  }
}

// Appends "  label         value". The value may contain parts of file names.
void AppendLine(absl::string_view label, absl::string_view value,
                std::string* text) {
  const std::string padding(
      kLabelWidth - std::min(label.size(), kLabelWidth - 1), ' ');
  absl::StrAppend(text, "  ", label, padding, OneLine(value), "\n");
}

std::string Plural(int64_t number, absl::string_view noun) {
  return absl::StrCat(number, " ", noun, number == 1 ? "" : "s");
}

std::string Sizes(const ModelConfig& config) {
  std::string text = absl::StrCat(NameOf(config.architecture), ", ",
                                  Plural(config.num_layers, "layer"),
                                  ", embedding ", config.embedding_size);
  if (config.num_heads > 0) {
    absl::StrAppend(&text, ", ", Plural(config.num_heads, "head"), " of ",
                    config.head_size);
  } else {
    absl::StrAppend(&text, ", attention ", config.attention_size);
  }
  return absl::StrCat(text, ", ffn ", config.ffn_size, ", vocabulary ",
                      config.vocab_size, ", ", config.num_parameters,
                      " parameters");
}

std::string Types(const Inspection& inspection) {
  return absl::StrJoin(
      inspection.types, ", ", [](std::string* out, const TypeUse& use) {
        absl::StrAppend(out, use.type, " ", Plural(use.num_tensors, "tensor"),
                        " ", ShortBytes(use.num_bytes));
      });
}

std::string AdapterLine(const InspectedAdapter& adapter) {
  const std::string rank =
      adapter.min_rank == adapter.max_rank
          ? absl::StrCat(adapter.max_rank)
          : absl::StrCat(adapter.min_rank, "-", adapter.max_rank);
  std::string line =
      absl::StrCat(adapter.name, ": LoRA of ",
                   adapter.num_matrices == 1
                       ? "1 matrix"
                       : absl::StrCat(adapter.num_matrices, " matrices"),
                   ", rank ", rank, adapter.has_magnitudes ? ", DoRA" : "",
                   ", ", Plural(adapter.num_replaced, "replaced tensor"),
                   adapter.has_alpha ? "" : "; needs --adapter_alpha");
  if (!adapter.problem.empty()) {
    absl::StrAppend(&line, "; does not fit: ", adapter.problem);
  }
  return line;
}

void AppendMemory(const Inspection& inspection, std::string* text) {
  if (inspection.memory.empty()) return;
  AppendLine(
      "state",
      absl::StrCat(ShortBytes(inspection.state_bytes), " for each sequence"),
      text);
  absl::StrAppend(text, "\nMemory of the weights\n");
  std::vector<Row> rows = {{"--weights", "process", "mapped file"}};
  for (const ServingMemory& memory : inspection.memory) {
    rows.push_back({memory.weights, ShortBytes(memory.process),
                    ShortBytes(memory.mapped)});
  }
  AppendTable(rows, {1, 2}, text);
  absl::StrAppend(text, "  in addition: ", absl::StrJoin(kOtherMemory, ", "),
                  " (see the log of rwkvd)\n");
}

void AppendTensors(const Inspection& inspection, std::string* text) {
  absl::StrAppend(text, "\nTensors\n");
  std::vector<Row> rows = {{"name", "layers", "type", "shape", "bytes"}};
  for (const TensorGroup& group : inspection.groups) {
    rows.push_back({OneLine(group.name), group.layers, group.type,
                    ShapeString(group.shape), ShortBytes(group.num_bytes)});
  }
  AppendTable(rows, {4}, text);
}

absl::string_view NameOf(Inspection::Kind kind) {
  switch (kind) {
    case Inspection::Kind::kModel:
      return "model";
    case Inspection::Kind::kTunedState:
      return "tuned state";
    case Inspection::Kind::kAdapter:
      return "adapter";
  }
  return "?";
}

Json ToJson(const TensorGroup& group) {
  return {{"name", group.name},           {"layers", group.layers},
          {"type", group.type},           {"shape", group.shape},
          {"tensors", group.num_tensors}, {"bytes", group.num_bytes}};
}

Json ToJson(const TypeUse& use) {
  return {{"type", use.type},
          {"tensors", use.num_tensors},
          {"bytes", use.num_bytes}};
}

Json ToJson(const ServingMemory& memory) {
  return {{"weights", memory.weights},
          {"process_bytes", memory.process},
          {"mapped_bytes", memory.mapped}};
}

Json ToJson(const InspectedAdapter& adapter) {
  return {{"name", adapter.name},
          {"path", adapter.path},
          {"matrices", adapter.num_matrices},
          {"replaced_tensors", adapter.num_replaced},
          {"min_rank", adapter.min_rank},
          {"max_rank", adapter.max_rank},
          {"dora", adapter.has_magnitudes},
          {"has_alpha", adapter.has_alpha},
          {"problem", adapter.problem}};
}

Json ToJson(const ModelConfig& config) {
  return {{"version", std::string(NameOf(config.architecture))},
          {"layers", config.num_layers},
          {"embedding_size", config.embedding_size},
          {"attention_size", config.attention_size},
          {"heads", config.num_heads},
          {"head_size", config.head_size},
          {"ffn_size", config.ffn_size},
          {"vocabulary", config.vocab_size},
          {"parameters", config.num_parameters},
          {"weight_type", config.weight_type}};
}

template <typename Value>
Json ToArray(const std::vector<Value>& values) {
  Json array = Json::array();
  for (const Value& value : values) array.push_back(ToJson(value));
  return array;
}

Json ExcludedMemory() {
  Json names = Json::array();
  for (const absl::string_view name : kOtherMemory) {
    names.push_back(std::string(name));
  }
  return names;
}

}  // namespace

std::string InspectionText(const Inspection& inspection) {
  std::string text = absl::StrCat(OneLine(inspection.path), "\n");
  AppendLine("kind", NameOf(inspection.kind), &text);
  if (inspection.num_files > 0) {
    AppendLine("format",
               absl::StrCat(inspection.format, ", ",
                            Plural(inspection.num_files, "file"), ", ",
                            ShortBytes(inspection.file_bytes)),
               &text);
    AppendLine("names", absl::StrCat(inspection.layout, " layout"), &text);
    AppendLine("weights", Types(inspection), &text);
  }
  if (inspection.config.has_value()) {
    AppendLine("model", Sizes(*inspection.config), &text);
    AppendLine("tokenizer", inspection.tokenizer, &text);
    AppendLine(
        "chat template",
        inspection.chat_template.empty() ? "none" : inspection.chat_template,
        &text);
    AppendLine("copied",
               absl::StrCat(ShortBytes(inspection.copied_bytes),
                            " because of the layout"),
               &text);
  }
  if (!inspection.problem.empty()) {
    AppendLine("not served", inspection.problem, &text);
  }
  for (const InspectedAdapter& adapter : inspection.adapters) {
    AppendLine("adapter", AdapterLine(adapter), &text);
  }
  AppendMemory(inspection, &text);
  if (!inspection.groups.empty()) AppendTensors(inspection, &text);
  return text;
}

std::string InspectionJson(const Inspection& inspection) {
  Json json = {{"kind", std::string(NameOf(inspection.kind))},
               {"path", inspection.path},
               {"format", inspection.format},
               {"files", inspection.num_files},
               {"file_bytes", inspection.file_bytes},
               {"layout", inspection.layout},
               {"tensors", inspection.num_tensors},
               {"tensor_bytes", inspection.tensor_bytes},
               {"types", ToArray(inspection.types)},
               {"tensor_groups", ToArray(inspection.groups)},
               {"copied_bytes", inspection.copied_bytes},
               {"problem", inspection.problem},
               {"tokenizer", inspection.tokenizer},
               {"chat_template", inspection.chat_template},
               {"adapters", ToArray(inspection.adapters)},
               {"memory", ToArray(inspection.memory)},
               {"memory_excludes", ExcludedMemory()},
               {"state_bytes", inspection.state_bytes}};
  if (inspection.config.has_value()) {
    json["model"] = ToJson(*inspection.config);
  }
  // A path may contain bytes that are not UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace rwkvd
