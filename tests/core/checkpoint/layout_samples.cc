// SPDX-License-Identifier: Apache-2.0
#include "tests/core/checkpoint/layout_samples.h"

#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "core/base/check.h"

namespace rwkvd::testing {
namespace {

constexpr int64_t kVocab = 5;
constexpr int64_t kHidden = 20;
constexpr int64_t kShiftRank = 2;
constexpr int64_t kDecayRank = 7;

class Numberer {
 public:
  explicit Numberer(TestTensors* tensors) : tensors_(tensors) {}

  void Add(const std::string& name, std::vector<int64_t> shape) {
    TestTensor tensor{.shape = std::move(shape)};
    int64_t size = 1;
    for (int64_t dimension : tensor.shape) size *= dimension;
    tensor.values.resize(size);
    std::iota(tensor.values.begin(), tensor.values.end(), next_);
    next_ += static_cast<float>(size);  // whole numbers below 2^24 are exact
    RWKVD_CHECK(tensors_->emplace(name, std::move(tensor)).second);
  }

  void AddNorm(const std::string& name) {
    Add(name + ".weight", {kChannels});
    Add(name + ".bias", {kChannels});
  }

  void AddVectors(const std::string& prefix,
                  const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      Add(prefix + name, {1, 1, kChannels});
    }
  }

  void AddSquares(const std::string& prefix,
                  const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      Add(prefix + name + ".weight", {kChannels, kChannels});
    }
  }

 private:
  TestTensors* tensors_;
  float next_ = 1;
};

void AddTimeMixing4And5(const std::string& att, const std::string& version,
                        Numberer& add) {
  add.AddVectors(att, {"time_mix_k", "time_mix_v", "time_mix_r"});
  add.AddSquares(att, {"key", "value", "receptance", "output"});
  if (version == "4") {
    add.Add(att + "time_decay", {kChannels});
    add.Add(att + "time_first", {kChannels});
    return;
  }
  add.AddNorm(att + "ln_x");
  if (version == "5.0") {
    add.Add(att + "time_decay", {kHeads});
    add.Add(att + "time_first", {kHeads});
    return;
  }
  add.AddVectors(att, {"time_mix_g"});
  add.AddSquares(att, {"gate"});
  if (version == "5.1") {
    add.Add(att + "time_decay", {kHeads});
    add.Add(att + "time_faaaa", {kHeads});
  } else {
    add.Add(att + "time_decay", {kHeads, kHeadSize});
    add.Add(att + "time_faaaa", {kHeads, kHeadSize});
  }
}

void AddTimeMixing6(const std::string& att, Numberer& add) {
  add.AddVectors(att, {"time_maa_x", "time_maa_w", "time_maa_k", "time_maa_v",
                       "time_maa_r", "time_maa_g", "time_decay"});
  add.Add(att + "time_maa_w1", {kChannels, 5 * kShiftRank});
  add.Add(att + "time_maa_w2", {5, kShiftRank, kChannels});
  add.Add(att + "time_decay_w1", {kChannels, kDecayRank});
  add.Add(att + "time_decay_w2", {kDecayRank, kChannels});
  add.Add(att + "time_faaaa", {kHeads, kHeadSize});
  add.AddSquares(att, {"key", "value", "receptance", "gate", "output"});
  add.AddNorm(att + "ln_x");
}

void AddTimeMixing7(const std::string& att, bool is_first, Numberer& add) {
  add.AddVectors(att, {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "a0",
                       "k_k", "k_a"});
  std::vector<std::pair<std::string, int64_t>> loras = {
      {"w", 3}, {"a", 2}, {"g", 7}};
  if (!is_first) {
    add.AddVectors(att, {"v0"});
    loras.push_back({"v", 5});
  }
  for (const auto& [name, rank] : loras) {
    add.Add(absl::StrCat(att, name, "1"), {kChannels, rank});
    add.Add(absl::StrCat(att, name, "2"), {rank, kChannels});
  }
  add.Add(att + "r_k", {kHeads, kHeadSize});
  add.AddSquares(att, {"key", "value", "receptance", "output"});
  add.AddNorm(att + "ln_x");
}

void AddChannelMixing(const std::string& ffn, const std::string& version,
                      Numberer& add) {
  add.Add(ffn + "key.weight", {kHidden, kChannels});
  add.Add(ffn + "value.weight", {kChannels, kHidden});
  if (version == "7") {
    add.AddVectors(ffn, {"x_k"});
    return;
  }
  add.AddSquares(ffn, {"receptance"});
  const std::string mix = version == "6" ? "time_maa_" : "time_mix_";
  add.AddVectors(ffn, {mix + "k", mix + "r"});
}

// Splits [n, ...] into n parts along the first dimension.
std::vector<TestTensor> Split(const TestTensor& tensor, int64_t n) {
  const size_t size = tensor.values.size() / n;
  std::vector<TestTensor> parts(n, tensor);
  for (int64_t i = 0; i < n; ++i) {
    parts[i].shape[0] = tensor.shape[0] / n;
    parts[i].values.assign(tensor.values.begin() + i * size,
                           tensor.values.begin() + (i + 1) * size);
  }
  return parts;
}

// Joins parts along the first dimension.
TestTensor Join(const std::vector<TestTensor>& parts,
                std::vector<int64_t> shape) {
  TestTensor joined{.shape = std::move(shape), .dtype = parts[0].dtype};
  for (const TestTensor& part : parts) {
    joined.values.insert(joined.values.end(), part.values.begin(),
                         part.values.end());
  }
  return joined;
}

TestTensor Flat(TestTensor tensor) {
  tensor.shape = {static_cast<int64_t>(tensor.values.size())};
  return tensor;
}

std::string Block(int64_t layer) { return absl::StrCat("blocks.", layer, "."); }

// Renames the tensors whose names both versions of flash-linear-attention
// change in the same way.
std::string OuterFlaName(const std::string& native) {
  if (native == "head.weight") return "lm_head.weight";
  return "model." + absl::StrReplaceAll(native, {{"emb.", "embeddings."},
                                                 {"ln_out.", "norm."},
                                                 {"blocks.", "layers."},
                                                 {".ln0.", ".pre_norm."},
                                                 {".ln1.", ".attn_norm."},
                                                 {".ln2.", ".ffn_norm."},
                                                 {".ln_x.", ".g_norm."},
                                                 {".att.", ".attn."}});
}

// The names of `native` with `prefix`, except for the head.
TestTensors WithModelPrefix(const TestTensors& native,
                            const std::string& prefix) {
  TestTensors stored;
  for (const auto& [name, tensor] : native) {
    stored[name == "head.weight" ? name : prefix + name] = tensor;
  }
  return stored;
}

TestTensors WithPrefix(const TestTensors& native, const std::string& prefix) {
  TestTensors stored;
  for (const auto& [name, tensor] : native) stored[prefix + name] = tensor;
  return stored;
}

}  // namespace

TestTensors NativeSample(const std::string& version) {
  TestTensors tensors;
  Numberer add(&tensors);
  add.Add("emb.weight", {kVocab, kChannels});
  add.Add("head.weight", {kVocab, kChannels});
  add.AddNorm("ln_out");
  add.AddNorm("blocks.0.ln0");
  for (int64_t i = 0; i < kLayers; ++i) {
    add.AddNorm(Block(i) + "ln1");
    add.AddNorm(Block(i) + "ln2");
    if (version == "6") {
      AddTimeMixing6(Block(i) + "att.", add);
    } else if (version == "7") {
      AddTimeMixing7(Block(i) + "att.", i == 0, add);
    } else {
      AddTimeMixing4And5(Block(i) + "att.", version, add);
    }
    AddChannelMixing(Block(i) + "ffn.", version, add);
  }
  return tensors;
}

TestTensor TransposedTensor(const TestTensor& tensor) {
  TestTensor result = tensor;
  const size_t rank = tensor.shape.size();
  const int64_t rows = tensor.shape[rank - 2], cols = tensor.shape[rank - 1];
  std::swap(result.shape[rank - 2], result.shape[rank - 1]);
  const int64_t matrices = tensor.values.size() / (rows * cols);
  for (int64_t m = 0; m < matrices; ++m) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        result.values[(m * cols + j) * rows + i] =
            tensor.values[(m * rows + i) * cols + j];
      }
    }
  }
  return result;
}

TestTensors AsHuggingFace(const TestTensors& native) {
  TestTensors stored;
  for (const auto& [name, tensor] : native) {
    std::string renamed =
        absl::StrReplaceAll(name, {{"emb.", "embeddings."},
                                   {"blocks.0.ln0.", "blocks.0.pre_ln."},
                                   {".att.", ".attention."},
                                   {".ffn.", ".feed_forward."},
                                   {".time_mix_k", ".time_mix_key"},
                                   {".time_mix_v", ".time_mix_value"},
                                   {".time_mix_r", ".time_mix_receptance"},
                                   {".time_mix_g", ".time_mix_gate"}});
    if (name != "head.weight") renamed = "rwkv." + renamed;
    stored[renamed] = tensor;
  }
  return stored;
}

TestTensors AsFla7(const TestTensors& native) {
  TestTensors stored;
  for (const auto& [name, tensor] : native) {
    std::string renamed = absl::StrReplaceAll(
        OuterFlaName(name), {{".attn.receptance.", ".attn.r_proj."},
                             {".attn.key.", ".attn.k_proj."},
                             {".attn.value.", ".attn.v_proj."},
                             {".attn.output.", ".attn.o_proj."}});
    TestTensor changed = tensor;
    for (const std::string lora : {"w", "a", "v", "g"}) {
      const std::string att = ".attn." + lora;
      const std::string module = absl::StrCat(att, "_lora.lora.");
      absl::string_view rest = renamed;
      if (absl::ConsumeSuffix(&rest, att + "0")) {
        changed = Flat(tensor);
        renamed = absl::StrCat(rest, module, "2.bias");
      } else if (absl::ConsumeSuffix(&rest, att + "1")) {
        changed = TransposedTensor(tensor);
        renamed = absl::StrCat(rest, module, "0.weight");
      } else if (absl::ConsumeSuffix(&rest, att + "2")) {
        changed = TransposedTensor(tensor);
        renamed = absl::StrCat(rest, module, "2.weight");
      }
    }
    for (absl::string_view flat : {".attn.k_k", ".attn.k_a", ".ffn.x_k"}) {
      if (absl::EndsWith(renamed, flat)) changed = Flat(tensor);
    }
    stored[renamed] = changed;
  }
  return stored;
}

TestTensors AsOldFla7(const TestTensors& native) {
  TestTensors stored = AsFla7(native);
  for (int64_t i = 0; i < kLayers; ++i) {
    const std::string x = absl::StrCat("model.layers.", i, ".attn.x_");
    std::vector<TestTensor> rows;
    for (const char* row : {"r", "w", "k", "v", "a", "g"}) {
      rows.push_back(stored.at(x + row));
      stored.erase(x + row);
    }
    stored[x + "x"] = Join(rows, {6, kChannels});
  }
  return stored;
}

TestTensors AsFla6(const TestTensors& native) {
  TestTensors stored;
  for (const auto& [name, tensor] : native) {
    if (absl::StrContains(name, ".att.time_") ||
        absl::StrContains(name, ".ffn.time_")) {
      continue;
    }
    stored[absl::StrReplaceAll(
        OuterFlaName(name),
        {{".attn.receptance.", ".attn.r_proj.linear."},
         {".attn.key.", ".attn.k_proj.linear."},
         {".attn.value.", ".attn.v_proj.linear."},
         {".attn.gate.", ".attn.g_proj.linear."},
         {".attn.output.", ".attn.o_proj."},
         {".ffn.key.", ".ffn.key.linear."},
         {".ffn.receptance.", ".ffn.receptance.linear."}})] = tensor;
  }
  const int64_t r = kShiftRank, c = kChannels;
  for (int64_t i = 0; i < kLayers; ++i) {
    const std::string layer = absl::StrCat("model.layers.", i, ".");
    const std::string time = Block(i) + "att.time_";
    const auto attn = [&](const std::string& name) -> TestTensor& {
      return stored[layer + "attn." + name];
    };
    // The native order is w, k, v, r, g.
    const auto down =
        Split(TransposedTensor(native.at(time + "maa_w1")), 5);  // [r, C] each
    const auto up = Split(native.at(time + "maa_w2"), 5);        // [1, r, C]
    attn("x_proj.0.linear.weight") =
        Join({down[3], down[0], down[1], down[2], down[4]}, {5 * r, c});
    attn("x_proj.2.weight") =
        TransposedTensor(Join({up[3], up[0], up[1], up[2], up[4]}, {5 * r, c}));
    attn("x_proj.0.mu") = Flat(native.at(time + "maa_x"));
    attn("x_bias") = Join({native.at(time + "maa_r"), native.at(time + "maa_w"),
                           native.at(time + "maa_k"), native.at(time + "maa_v"),
                           native.at(time + "maa_g")},
                          {5, c});
    attn("w_proj.linear.lora.0.weight") =
        TransposedTensor(native.at(time + "decay_w1"));
    attn("w_proj.linear.lora.2.weight") =
        TransposedTensor(native.at(time + "decay_w2"));
    attn("w_proj.linear.lora.2.bias") = Flat(native.at(time + "decay"));
    attn("bonus") = native.at(time + "faaaa");
    for (const std::string part : {"key", "receptance"}) {
      stored[layer + "ffn." + part + ".mu"] = Flat(native.at(
          absl::StrCat(Block(i), "ffn.time_maa_", part.substr(0, 1))));
    }
  }
  return stored;
}

TestTensors AsWebRwkv(const TestTensors& native) {
  TestTensors stored;
  for (const auto& [name, tensor] : native) {
    const std::string renamed = absl::StrReplaceAll(
        name, {{"time_faaaa", "time_first"}, {"time_maa", "time_mix"}});
    TestTensor changed = tensor;
    for (absl::string_view part :
         {"time_mix_w1", "time_mix_w2", "time_decay_w1", "time_decay_w2",
          "time_state", ".w1", ".w2", ".a1", ".a2", ".g1", ".g2", ".v1",
          ".v2"}) {
      if (absl::EndsWith(renamed, part)) changed = TransposedTensor(tensor);
    }
    stored[renamed] = changed;
  }
  return stored;
}

TestTensors AsRelease7(const TestTensors& native) {
  return WithModelPrefix(native, "rwkv7.");
}

TestTensors AsModel(const TestTensors& native) {
  return WithModelPrefix(native, "model.");
}

TestTensors AsEmbeddings7(const TestTensors& native) {
  TestTensors stored = AsRelease7(native);
  auto embedding = stored.extract("rwkv7.emb.weight");
  embedding.key() = "rwkv7.embeddings.weight";
  stored.insert(std::move(embedding));
  return stored;
}

TestTensors AsLinear7(const TestTensors& native) {
  TestTensors stored;
  for (const auto& [name, tensor] : native) {
    bool is_lora = false;
    for (const char* end :
         {".w1", ".w2", ".a1", ".a2", ".v1", ".v2", ".g1", ".g2"}) {
      is_lora |= absl::EndsWith(name, end);
    }
    stored[is_lora ? name + ".weight" : name] =
        is_lora ? TransposedTensor(tensor) : tensor;
  }
  return WithModelPrefix(stored, "model.");
}

TestTensors AsCompiled(const TestTensors& native) {
  return WithPrefix(native, "_orig_mod.");
}

TestTensors AsWrapped(const TestTensors& native) {
  TestTensors stored;
  for (const auto& [name, tensor] : native) {
    stored["_forward_module.model." +
           absl::StrReplaceAll(name, {{".att.", "._orig_mod.att."}})] = tensor;
  }
  return stored;
}

}  // namespace rwkvd::testing
