// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/random_checkpoint.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "tests/testing/random_tensors.h"

namespace rwkvd::testing {
namespace {

std::string Block(int64_t layer) { return absl::StrCat("blocks.", layer, "."); }

// Makes a model. Adds the tensors that all versions share, and calls
// add_block(layer, random) for the others of a layer.
template <typename Sizes, typename AddBlockFn>
TestTensors MakeModel(const Sizes& sizes, uint64_t seed, DTypeOf dtype,
                      const AddBlockFn& add_block) {
  TestTensors tensors;
  RandomTensors random(seed, dtype, &tensors);
  const int64_t c = sizes.heads * sizes.head_size;
  random.Matrix("emb.weight", sizes.vocab, c);
  random.LayerNorm("blocks.0.ln0", c);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    random.LayerNorm(Block(i) + "ln1", c);
    random.LayerNorm(Block(i) + "ln2", c);
    for (const char* part : {"receptance", "key", "output"}) {
      random.Matrix(absl::StrCat(Block(i), "att.", part, ".weight"), c, c);
    }
    // Small, as in a trained model, so that the epsilon of ln_x matters.
    random.Normal(Block(i) + "att.value.weight", {c, c}, 0.0f,
                  0.03f / std::sqrt(float(c)));
    random.LayerNorm(Block(i) + "att.ln_x", c);
    random.Matrix(Block(i) + "ffn.key.weight", sizes.ffn, c);
    random.Matrix(Block(i) + "ffn.value.weight", c, sizes.ffn);
    add_block(i, random);
  }
  random.LayerNorm("ln_out", c);
  random.Matrix("head.weight", sizes.vocab, c);
  return tensors;
}

// Token-shift vectors prefix_k, prefix_v, ... for the letters of `parts`.
void AddShifts(const std::string& prefix, absl::string_view parts, int64_t c,
               RandomTensors& random) {
  for (char part : parts) {
    random.Normal(absl::StrCat(prefix, std::string(1, part)), {1, 1, c}, 0.5f,
                  0.25f);
  }
}

void AddRwkv5Block(const std::string& block, const Rwkv5Sizes& sizes,
                   RandomTensors& random) {
  const int64_t h = sizes.heads, s = sizes.head_size, c = h * s;
  AddShifts(block + "att.time_mix_", "kvr", c, random);
  AddShifts(block + "ffn.time_mix_", "kr", c, random);
  random.Matrix(block + "ffn.receptance.weight", c, c);
  const std::vector<int64_t> per_head =
      sizes.minor == 2 ? std::vector<int64_t>{h, s} : std::vector<int64_t>{h};
  random.Normal(block + "att.time_decay", per_head, -1.5f, 1.0f);
  if (sizes.minor == 0) {
    random.Normal(block + "att.time_first", per_head, -0.5f, 1.0f);
    return;
  }
  random.Normal(block + "att.time_faaaa", per_head, 0.5f, 0.7f);
  AddShifts(block + "att.time_mix_", "g", c, random);
  random.Matrix(block + "att.gate.weight", c, c);
}

void AddRwkv6Block(const std::string& block, const Rwkv6Sizes& sizes,
                   RandomTensors& random) {
  const int64_t h = sizes.heads, s = sizes.head_size, c = h * s;
  const int64_t m = sizes.mix_rank, d = sizes.decay_rank;
  AddShifts(block + "att.time_maa_", "xwkvrg", c, random);
  AddShifts(block + "ffn.time_maa_", "kr", c, random);
  random.Matrix(block + "ffn.receptance.weight", c, c);
  random.InOutMatrix(block + "att.time_maa_w1", c, 5 * m);
  random.Normal(block + "att.time_maa_w2", {5, m, c}, 0.0f,
                0.5f / std::sqrt(float(m)));
  random.Normal(block + "att.time_decay", {1, 1, c}, -1.5f, 1.0f);
  random.InOutMatrix(block + "att.time_decay_w1", c, d);
  random.InOutMatrix(block + "att.time_decay_w2", d, c);
  random.Normal(block + "att.time_faaaa", {h, s}, 0.5f, 0.7f);
  random.Matrix(block + "att.gate.weight", c, c);
}

// A LoRA: a vector x0 and the matrices x1 and x2.
void AddLora(const std::string& att, const std::string& part, int64_t c,
             int64_t rank, float mean, RandomTensors& random) {
  if (part != "g") random.Normal(att + part + "0", {1, 1, c}, mean, 1.0f);
  random.InOutMatrix(att + part + "1", c, rank);
  random.InOutMatrix(att + part + "2", rank, c);
}

void AddRwkv7Block(int64_t layer, const Rwkv7Sizes& sizes,
                   RandomTensors& random) {
  const std::string att = Block(layer) + "att.";
  const int64_t h = sizes.heads, s = sizes.head_size, c = h * s;
  AddShifts(att + "x_", "rwkvag", c, random);
  AddShifts(Block(layer) + "ffn.x_", "k", c, random);
  AddLora(att, "w", c, sizes.w_rank, -1.0f, random);
  AddLora(att, "a", c, sizes.a_rank, 0.0f, random);
  AddLora(att, "g", c, sizes.g_rank, 0.0f, random);
  random.Normal(att + "k_k", {1, 1, c}, 0.8f, 0.4f);
  random.Normal(att + "k_a", {1, 1, c}, 1.0f, 0.4f);
  random.Normal(att + "r_k", {h, s}, 0.0f, 10.0f);
  if (layer > 0) {
    AddLora(att, "v", c, sizes.v_rank, 0.5f, random);
  } else if (sizes.first_layer_has_v) {
    random.Normal(att + "v0", {1, 1, c}, 0.0f, 100.0f);
    random.Normal(att + "v1", {c, sizes.v_rank}, 0.0f, 100.0f);
    random.Normal(att + "v2", {sizes.v_rank, c}, 0.0f, 100.0f);
  }
}

}  // namespace

TestTensors RandomRwkv5(const Rwkv5Sizes& sizes, uint64_t seed, DTypeOf dtype) {
  RWKVD_CHECK(sizes.minor >= 0 && sizes.minor <= 2);
  return MakeModel(sizes, seed, dtype,
                   [&](int64_t layer, RandomTensors& random) {
                     AddRwkv5Block(Block(layer), sizes, random);
                   });
}

TestTensors RandomRwkv6(const Rwkv6Sizes& sizes, uint64_t seed, DTypeOf dtype) {
  return MakeModel(sizes, seed, dtype,
                   [&](int64_t layer, RandomTensors& random) {
                     AddRwkv6Block(Block(layer), sizes, random);
                   });
}

TestTensors RandomRwkv7(const Rwkv7Sizes& sizes, uint64_t seed, DTypeOf dtype) {
  return MakeModel(sizes, seed, dtype,
                   [&](int64_t layer, RandomTensors& random) {
                     AddRwkv7Block(layer, sizes, random);
                   });
}

TestTensors RandomRwkv5(const Rwkv5Sizes& sizes, uint64_t seed, DType dtype) {
  return RandomRwkv5(sizes, seed, [&](const std::string&) { return dtype; });
}

TestTensors RandomRwkv6(const Rwkv6Sizes& sizes, uint64_t seed, DType dtype) {
  return RandomRwkv6(sizes, seed, [&](const std::string&) { return dtype; });
}

TestTensors RandomRwkv7(const Rwkv7Sizes& sizes, uint64_t seed, DType dtype) {
  return RandomRwkv7(sizes, seed, [&](const std::string&) { return dtype; });
}

TestTensors RandomCheckpoint(Architecture architecture, const ModelSizes& sizes,
                             uint64_t seed, DType dtype) {
  const auto rwkv5 = [&](int minor) {
    Rwkv5Sizes of_minor = sizes.rwkv5;
    of_minor.minor = minor;
    return RandomRwkv5(of_minor, seed, dtype);
  };
  switch (architecture) {
    case Architecture::kRwkv4:
      return RandomRwkv4(sizes.rwkv4, seed, dtype);
    case Architecture::kRwkv50:
      return rwkv5(0);
    case Architecture::kRwkv51:
      return rwkv5(1);
    case Architecture::kRwkv52:
      return rwkv5(2);
    case Architecture::kRwkv6:
      return RandomRwkv6(sizes.rwkv6, seed, dtype);
    case Architecture::kRwkv7:
      return RandomRwkv7(sizes.rwkv7, seed, dtype);
  }
  RWKVD_CHECK(false);
}

TestTensors RandomCheckpoint(Architecture architecture, uint64_t seed,
                             DType dtype) {
  return RandomCheckpoint(architecture, ModelSizes(), seed, dtype);
}

TestTensors RandomTimeState(int64_t layers, int64_t heads, int64_t head_size,
                            uint64_t seed, DType dtype) {
  TestTensors tensors;
  const auto dtype_of = [&](const std::string&) { return dtype; };
  RandomTensors random(seed, dtype_of, &tensors);
  for (int64_t i = 0; i < layers; ++i) {
    random.Normal(Block(i) + "att.time_state", {heads, head_size, head_size},
                  0.0f, 1.0f);
  }
  return tensors;
}

TestTensors RandomTimeState(const TestTensors& checkpoint, uint64_t seed,
                            DType dtype) {
  int64_t layers = 0, heads = 0;
  for (; checkpoint.count(Block(layers) + "ln1.weight") > 0; ++layers) {
  }
  for (const char* name : {"r_k", "time_faaaa", "time_first"}) {
    const auto found = checkpoint.find(absl::StrCat("blocks.0.att.", name));
    if (found != checkpoint.end()) heads = found->second.shape[0];
  }
  RWKVD_CHECK(heads > 0);
  const int64_t embedding = checkpoint.at("emb.weight").shape[1];
  return RandomTimeState(layers, heads, embedding / heads, seed, dtype);
}

}  // namespace rwkvd::testing
