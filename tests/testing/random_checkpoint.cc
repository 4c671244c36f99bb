// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/random_checkpoint.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "tests/testing/drawer.h"

namespace rwkvd::testing {
namespace {

std::string Block(int64_t layer) { return absl::StrCat("blocks.", layer, "."); }

// All but the blocks' own parts.
template <typename Sizes, typename DrawBlock>
TestTensors DrawNetwork(const Sizes& sizes, uint64_t seed, DTypeOf dtype,
                        const DrawBlock& draw_block) {
  TestTensors tensors;
  Drawer draw(seed, dtype, &tensors);
  const int64_t c = sizes.heads * sizes.head_size;
  draw.Matrix("emb.weight", sizes.vocab, c);
  draw.LayerNorm("blocks.0.ln0", c);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    draw.LayerNorm(Block(i) + "ln1", c);
    draw.LayerNorm(Block(i) + "ln2", c);
    for (const char* part : {"receptance", "key", "output"}) {
      draw.Matrix(absl::StrCat(Block(i), "att.", part, ".weight"), c, c);
    }
    // Small, as in a trained network, so that the epsilon of ln_x matters.
    draw.Normal(Block(i) + "att.value.weight", {c, c}, 0.0f,
                0.03f / std::sqrt(float(c)));
    draw.LayerNorm(Block(i) + "att.ln_x", c);
    draw.Matrix(Block(i) + "ffn.key.weight", sizes.ffn, c);
    draw.Matrix(Block(i) + "ffn.value.weight", c, sizes.ffn);
    draw_block(i, draw);
  }
  draw.LayerNorm("ln_out", c);
  draw.Matrix("head.weight", sizes.vocab, c);
  return tensors;
}

// Token-shift vectors prefix_k, prefix_v, ... for the letters of `parts`.
void DrawShifts(const std::string& prefix, absl::string_view parts, int64_t c,
                Drawer& draw) {
  for (char part : parts) {
    draw.Normal(absl::StrCat(prefix, std::string(1, part)), {1, 1, c}, 0.5f,
                0.25f);
  }
}

void DrawRwkv5Block(const std::string& block, const Rwkv5Sizes& sizes,
                    Drawer& draw) {
  const int64_t h = sizes.heads, s = sizes.head_size, c = h * s;
  DrawShifts(block + "att.time_mix_", "kvr", c, draw);
  DrawShifts(block + "ffn.time_mix_", "kr", c, draw);
  draw.Matrix(block + "ffn.receptance.weight", c, c);
  const std::vector<int64_t> per_head =
      sizes.minor == 2 ? std::vector<int64_t>{h, s} : std::vector<int64_t>{h};
  draw.Normal(block + "att.time_decay", per_head, -1.5f, 1.0f);
  if (sizes.minor == 0) {
    draw.Normal(block + "att.time_first", per_head, -0.5f, 1.0f);
    return;
  }
  draw.Normal(block + "att.time_faaaa", per_head, 0.5f, 0.7f);
  DrawShifts(block + "att.time_mix_", "g", c, draw);
  draw.Matrix(block + "att.gate.weight", c, c);
}

void DrawRwkv6Block(const std::string& block, const Rwkv6Sizes& sizes,
                    Drawer& draw) {
  const int64_t h = sizes.heads, s = sizes.head_size, c = h * s;
  const int64_t m = sizes.mix_rank, d = sizes.decay_rank;
  DrawShifts(block + "att.time_maa_", "xwkvrg", c, draw);
  DrawShifts(block + "ffn.time_maa_", "kr", c, draw);
  draw.Matrix(block + "ffn.receptance.weight", c, c);
  draw.InOutMatrix(block + "att.time_maa_w1", c, 5 * m);
  draw.Normal(block + "att.time_maa_w2", {5, m, c}, 0.0f,
              0.5f / std::sqrt(float(m)));
  draw.Normal(block + "att.time_decay", {1, 1, c}, -1.5f, 1.0f);
  draw.InOutMatrix(block + "att.time_decay_w1", c, d);
  draw.InOutMatrix(block + "att.time_decay_w2", d, c);
  draw.Normal(block + "att.time_faaaa", {h, s}, 0.5f, 0.7f);
  draw.Matrix(block + "att.gate.weight", c, c);
}

// A vector x0 and the two matrices around the bottleneck.
void DrawLora(const std::string& att, const std::string& part, int64_t c,
              int64_t rank, float mean, Drawer& draw) {
  if (part != "g") draw.Normal(att + part + "0", {1, 1, c}, mean, 1.0f);
  draw.InOutMatrix(att + part + "1", c, rank);
  draw.InOutMatrix(att + part + "2", rank, c);
}

void DrawRwkv7Block(int64_t layer, const Rwkv7Sizes& sizes, Drawer& draw) {
  const std::string att = Block(layer) + "att.";
  const int64_t h = sizes.heads, s = sizes.head_size, c = h * s;
  DrawShifts(att + "x_", "rwkvag", c, draw);
  DrawShifts(Block(layer) + "ffn.x_", "k", c, draw);
  DrawLora(att, "w", c, sizes.w_rank, -1.0f, draw);
  DrawLora(att, "a", c, sizes.a_rank, 0.0f, draw);
  DrawLora(att, "g", c, sizes.g_rank, 0.0f, draw);
  draw.Normal(att + "k_k", {1, 1, c}, 0.8f, 0.4f);
  draw.Normal(att + "k_a", {1, 1, c}, 1.0f, 0.4f);
  draw.Normal(att + "r_k", {h, s}, 0.0f, 10.0f);
  if (layer > 0) {
    DrawLora(att, "v", c, sizes.v_rank, 0.5f, draw);
  } else if (sizes.first_layer_has_v) {
    draw.Normal(att + "v0", {1, 1, c}, 0.0f, 100.0f);
    draw.Normal(att + "v1", {c, sizes.v_rank}, 0.0f, 100.0f);
    draw.Normal(att + "v2", {sizes.v_rank, c}, 0.0f, 100.0f);
  }
}

}  // namespace

TestTensors RandomRwkv5(const Rwkv5Sizes& sizes, uint64_t seed, DTypeOf dtype) {
  RWKVD_CHECK(sizes.minor >= 0 && sizes.minor <= 2);
  return DrawNetwork(sizes, seed, dtype, [&](int64_t layer, Drawer& draw) {
    DrawRwkv5Block(Block(layer), sizes, draw);
  });
}

TestTensors RandomRwkv6(const Rwkv6Sizes& sizes, uint64_t seed, DTypeOf dtype) {
  return DrawNetwork(sizes, seed, dtype, [&](int64_t layer, Drawer& draw) {
    DrawRwkv6Block(Block(layer), sizes, draw);
  });
}

TestTensors RandomRwkv7(const Rwkv7Sizes& sizes, uint64_t seed, DTypeOf dtype) {
  return DrawNetwork(sizes, seed, dtype, [&](int64_t layer, Drawer& draw) {
    DrawRwkv7Block(layer, sizes, draw);
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

TestTensors RandomCheckpoint(Architecture architecture,
                             const NetworkSizes& sizes, uint64_t seed,
                             DType dtype) {
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
  return RandomCheckpoint(architecture, NetworkSizes(), seed, dtype);
}

TestTensors RandomTimeState(int64_t layers, int64_t heads, int64_t head_size,
                            uint64_t seed, DType dtype) {
  TestTensors tensors;
  const auto dtype_of = [&](const std::string&) { return dtype; };
  Drawer draw(seed, dtype_of, &tensors);
  for (int64_t i = 0; i < layers; ++i) {
    draw.Normal(Block(i) + "att.time_state", {heads, head_size, head_size},
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
