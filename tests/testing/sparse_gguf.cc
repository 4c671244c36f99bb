// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/sparse_gguf.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/check.h"
#include "core/checkpoint/ggml_types.h"
#include "tests/testing/gguf_writer.h"

namespace rwkvd::testing {
namespace {

constexpr uint64_t kHeadSize = 64;

uint32_t NumberOf(DType dtype) {
  constexpr uint32_t kMaxNumber = 64;
  for (uint32_t number = 0; number < kMaxNumber; ++number) {
    if (DTypeOfGgml(number) == dtype) return number;
  }
  RWKVD_CHECK(false);
}

// Adds the tensors of one model. `dims` begin with the one that varies fastest.
class Writer {
 public:
  explicit Writer(const SparseGguf& model) : model_(model) {}

  void Add(const std::string& name, std::vector<uint64_t> dims, DType dtype) {
    uint64_t elements = 1;
    for (const uint64_t size : dims) elements *= size;
    const uint64_t bytes = elements / BlockElements(dtype) * BlockBytes(dtype);
    writer_.Zeros(name + ".weight", std::move(dims), NumberOf(dtype), bytes);
  }
  void AddMatrix(const std::string& name, uint64_t cols, uint64_t rows) {
    Add(name, {cols, rows}, model_.matrix);
  }
  void AddVector(const std::string& name) {
    Add(name, {model_.width}, DType::kF32);
  }
  void AddNorm(const std::string& name) {
    AddVector(name);
    writer_.Zeros(name + ".bias", {model_.width}, 0, model_.width * 4);
  }
  void AddLayer(const std::string& layer);
  void AddKeys();

  uint64_t WriteOrDie(const std::string& path) const {
    return writer_.WriteOrDie(path);
  }

 private:
  const SparseGguf model_;
  GgufWriter writer_;
};

void Writer::AddLayer(const std::string& layer) {
  const uint64_t c = model_.width;
  for (const char* name : {"attn_norm", "attn_norm_2", "time_mix_ln"}) {
    AddNorm(layer + name);
  }
  for (const char* name : {"receptance", "key", "value", "output"}) {
    AddMatrix(absl::StrCat(layer, "time_mix_", name), c, c);
  }
  AddMatrix(layer + "channel_mix_key", c, model_.ffn);
  AddMatrix(layer + "channel_mix_value", model_.ffn, c);
  for (const char* name :
       {"time_mix_k_k", "time_mix_k_a", "time_mix_r_k", "channel_mix_lerp_k"}) {
    AddVector(layer + name);
  }
  Add(layer + "time_mix_lerp_fused", {c, 1, 1, 6}, DType::kF32);
  for (const char letter : {'w', 'a', 'v', 'g'}) {
    const std::string name = layer + "time_mix_" + letter;
    if (letter != 'g') AddVector(name + "0");
    Add(name + "1", {c, model_.rank}, DType::kF16);
    Add(name + "2", {model_.rank, c}, DType::kF16);
  }
}

void Writer::AddKeys() {
  std::vector<std::string> tokens = {"<s>"};
  std::vector<int32_t> types = {3};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(absl::StrFormat("\\x%02x", byte));
    types.push_back(1);
  }
  while (tokens.size() < model_.vocab) {
    tokens.push_back(absl::StrCat("[PAD", tokens.size(), "]"));
    types.push_back(5);
  }
  writer_.Text("general.architecture", "rwkv7")
      .U32("rwkv7.wkv.head_size", kHeadSize)
      .Text("tokenizer.ggml.model", "rwkv")
      .Texts("tokenizer.ggml.tokens", tokens)
      .I32s("tokenizer.ggml.token_type", types)
      .Text("tokenizer.chat_template", "rwkv-world");
}

}  // namespace

uint64_t WriteSparseGgufOrDie(const SparseGguf& model,
                              const std::string& path) {
  Writer writer(model);
  writer.AddKeys();
  writer.AddMatrix("token_embd", model.width, model.vocab);
  writer.AddNorm("token_embd_norm");
  for (uint64_t i = 0; i < model.layers; ++i) {
    writer.AddLayer(absl::StrCat("blk.", i, "."));
  }
  writer.AddNorm("output_norm");
  writer.AddMatrix("output", model.width, model.vocab);
  return writer.WriteOrDie(path);
}

}  // namespace rwkvd::testing
