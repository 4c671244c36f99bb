// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/layout_writer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/check.h"

namespace rwkvd::testing {
namespace {

using Renaming = std::vector<std::pair<const char*, const char*>>;

// Splits a name into block and leaf: "blocks.1." and "att.key.weight".
std::pair<std::string, std::string> SplitBlock(const std::string& name) {
  if (!absl::StartsWith(name, "blocks.")) return {"", name};
  const size_t end = name.find('.', std::string("blocks.").size()) + 1;
  return {name.substr(0, end), name.substr(end)};
}

TestTensor Flat(const TestTensor& tensor) {
  return Reshaped(tensor, {static_cast<int64_t>(tensor.values.size())});
}

// Stacks tensors of one shape along a new first dimension.
TestTensor Stacked(const std::vector<TestTensor>& parts) {
  TestTensor stacked{.shape = parts[0].shape, .dtype = parts[0].dtype};
  stacked.shape.insert(stacked.shape.begin(), parts.size());
  for (const TestTensor& part : parts) {
    stacked.values.insert(stacked.values.end(), part.values.begin(),
                          part.values.end());
  }
  return stacked;
}

// Reorders the row blocks of a matrix: block i becomes the former block
// order[i].
TestTensor RowBlocks(const TestTensor& matrix, const std::vector<int>& order) {
  TestTensor result{.shape = matrix.shape, .dtype = matrix.dtype};
  const size_t size = matrix.values.size() / order.size();
  for (int block : order) {
    result.values.insert(result.values.end(),
                         matrix.values.begin() + block * size,
                         matrix.values.begin() + (block + 1) * size);
  }
  return result;
}

// Names outside time mixing and channel mixing, which both versions share.
std::string FlaName(const std::string& name) {
  return absl::StrReplaceAll(name, {{"emb.weight", "model.embeddings.weight"},
                                    {"head.weight", "lm_head.weight"},
                                    {"ln_out.", "model.norm."},
                                    {"blocks.", "model.layers."},
                                    {".ln0.", ".pre_norm."},
                                    {".ln1.", ".attn_norm."},
                                    {".ln2.", ".ffn_norm."},
                                    {".att.", ".attn."},
                                    {"ln_x.", "g_norm."}});
}

// Renames parts of LoRAs, such as w1 to w_lora.lora.0.weight; "" for other
// leaves.
std::string Fla7LoraName(const std::string& leaf) {
  if (leaf.size() != 2 || !absl::StrContains("wavg", leaf[0])) return "";
  const std::string lora = absl::StrCat(leaf.substr(0, 1), "_lora.lora.");
  if (leaf[1] == '0') return lora + "2.bias";
  return lora + (leaf[1] == '1' ? "0.weight" : "2.weight");
}

void AddFla7(const std::string& name, const TestTensor& tensor, FlaAge age,
             TestTensors& fla) {
  const auto [block, rest] = SplitBlock(name);
  const std::string leaf = absl::StartsWith(rest, "att.") ? rest.substr(4) : "";
  const std::string lora = Fla7LoraName(leaf);
  if (!lora.empty()) {
    if (block == "blocks.0." && leaf[0] == 'v') return;  // ignored
    fla[FlaName(block + "att.") + lora] =
        leaf[1] == '0' ? Flat(tensor) : TransposedCopy(tensor);
  } else if (age == FlaAge::kOld && absl::StartsWith(leaf, "x_")) {
    return;  // part of x_x
  } else if (leaf == "k_k" || leaf == "k_a" || rest == "ffn.x_k") {
    fla[FlaName(name)] = Flat(tensor);
  } else {
    fla[absl::StrReplaceAll(FlaName(name),
                            {{"attn.receptance.", "attn.r_proj."},
                             {"attn.key.", "attn.k_proj."},
                             {"attn.value.", "attn.v_proj."},
                             {"attn.output.", "attn.o_proj."}})] = tensor;
  }
}

// Joins the token shifts of a block, in the order of `parts`, to one tensor.
TestTensor StackedShifts(const TestTensors& tensors, const std::string& prefix,
                         absl::string_view parts) {
  std::vector<TestTensor> shifts;
  for (char part : parts) {
    shifts.push_back(Flat(tensors.at(prefix + part)));
  }
  return Stacked(shifts);
}

// Changes the order of blocks from w, k, v, r, g to r, w, k, v, g.
const std::vector<int>& Fla6Order() {
  static const auto* const order = new std::vector<int>{3, 0, 1, 2, 4};
  return *order;
}

void AddFla6Shift(const std::string& attn, const std::string& leaf,
                  const TestTensor& tensor, TestTensors& fla) {
  const int64_t c = tensor.shape.back();
  if (leaf == "time_maa_x") fla[attn + "x_proj.0.mu"] = Flat(tensor);
  if (leaf == "time_maa_w1") {
    fla[attn + "x_proj.0.linear.weight"] =
        RowBlocks(TransposedCopy(tensor), Fla6Order());
  }
  if (leaf == "time_maa_w2") {
    const int64_t rows = tensor.shape[0] * tensor.shape[1];
    fla[attn + "x_proj.2.weight"] =
        TransposedCopy(RowBlocks(Reshaped(tensor, {rows, c}), Fla6Order()));
  }
}

void AddFla6(const std::string& name, const TestTensor& tensor,
             TestTensors& fla) {
  const auto [block, rest] = SplitBlock(name);
  const std::string attn = FlaName(block + "att.");
  if (absl::StartsWith(rest, "att.time_maa_")) {
    AddFla6Shift(attn, rest.substr(4), tensor, fla);
  } else if (rest == "att.time_decay") {
    fla[attn + "w_proj.linear.lora.2.bias"] = Flat(tensor);
  } else if (rest == "att.time_decay_w1") {
    fla[attn + "w_proj.linear.lora.0.weight"] = TransposedCopy(tensor);
  } else if (rest == "att.time_decay_w2") {
    fla[attn + "w_proj.linear.lora.2.weight"] = TransposedCopy(tensor);
  } else if (absl::StartsWith(rest, "ffn.time_maa_")) {
    fla[FlaName(block) + "ffn." +
        (absl::EndsWith(rest, "_k") ? "key.mu" : "receptance.mu")] =
        Flat(tensor);
  } else {
    fla[absl::StrReplaceAll(
        FlaName(name),
        {{"attn.receptance.", "attn.r_proj.linear."},
         {"attn.key.", "attn.k_proj.linear."},
         {"attn.value.", "attn.v_proj.linear."},
         {"attn.gate.", "attn.g_proj.linear."},
         {"attn.output.", "attn.o_proj."},
         {"attn.time_faaaa", "attn.bonus"},
         {"ffn.key.weight", "ffn.key.linear.weight"},
         {"ffn.receptance.weight", "ffn.receptance.linear.weight"}})] = tensor;
  }
}

// Repeats the value of each head for each of its channels.
TestTensor SpreadOverChannels(const TestTensor& tensor, int64_t head_size) {
  TestTensor spread{.shape = {tensor.shape[0], head_size},
                    .dtype = tensor.dtype};
  for (float value : tensor.values) {
    spread.values.insert(spread.values.end(), head_size, value);
  }
  return spread;
}

bool IsTransposedByWebRwkv(const std::string& leaf,
                           WebRwkvConverter converter) {
  for (const char* name : {"time_mix_w1", "time_mix_w2", "time_decay_w1",
                           "time_decay_w2", "time_state"}) {
    if (leaf == name) return true;
  }
  return converter == WebRwkvConverter::kPython && leaf.size() == 2 &&
         absl::StrContains("wavg", leaf[0]) && leaf[1] != '0';
}

}  // namespace

TestTensors ToHuggingFace(const TestTensors& tensors,
                          Architecture architecture) {
  RWKVD_CHECK(architecture != Architecture::kRwkv7);
  Renaming renaming = {{"emb.", "embeddings."},
                       {".ln0.", ".pre_ln."},
                       {".att.", ".attention."},
                       {".ffn.", ".feed_forward."}};
  if (architecture != Architecture::kRwkv6) {
    renaming.insert(renaming.end(), {{"time_mix_k", "time_mix_key"},
                                     {"time_mix_v", "time_mix_value"},
                                     {"time_mix_r", "time_mix_receptance"},
                                     {"time_mix_g", "time_mix_gate"}});
  }
  TestTensors result;
  for (const auto& [name, tensor] : tensors) {
    result[name == "head.weight"
               ? name
               : "rwkv." + absl::StrReplaceAll(name, renaming)] = tensor;
  }
  return result;
}

TestTensors ToFla(const TestTensors& tensors, Architecture architecture,
                  FlaAge age) {
  const bool is_7 = architecture == Architecture::kRwkv7;
  RWKVD_CHECK(is_7 || architecture == Architecture::kRwkv6);
  TestTensors fla;
  for (const auto& [name, tensor] : tensors) {
    if (is_7) {
      AddFla7(name, tensor, age, fla);
    } else {
      AddFla6(name, tensor, fla);
    }
    const auto [block, rest] = SplitBlock(name);
    const std::string att = block + "att.", attn = FlaName(att);
    if (is_7 && rest == "att.x_r" && age == FlaAge::kOld) {
      fla[attn + "x_x"] = StackedShifts(tensors, att + "x_", "rwkvag");
    }
    if (!is_7 && rest == "att.time_maa_r") {
      fla[attn + "x_bias"] = StackedShifts(tensors, att + "time_maa_", "rwkvg");
    }
  }
  return fla;
}

TestTensors ToWebRwkv(const TestTensors& tensors, Architecture architecture,
                      WebRwkvConverter converter) {
  RWKVD_CHECK(architecture != Architecture::kRwkv50);
  const int64_t embedding = tensors.at("emb.weight").shape[1];
  TestTensors result;
  for (const auto& [name, tensor] : tensors) {
    const std::string new_name = absl::StrReplaceAll(
        absl::AsciiStrToLower(name),
        {{"time_faaaa", "time_first"}, {"time_maa", "time_mix"}});
    const std::string leaf = new_name.substr(new_name.rfind('.') + 1);
    TestTensor& to = result[new_name];
    to = Rounded(tensor, DType::kF16);
    if (IsTransposedByWebRwkv(leaf, converter)) to = TransposedCopy(to);
    if (architecture == Architecture::kRwkv51 &&
        (leaf == "time_decay" || leaf == "time_first")) {
      to = SpreadOverChannels(to, embedding / tensor.shape[0]);
    }
  }
  return result;
}

}  // namespace rwkvd::testing
