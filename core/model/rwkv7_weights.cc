// SPDX-License-Identifier: Apache-2.0
#include "core/model/rwkv7_weights.h"

#include <cstdint>
#include <string>

namespace rwkvd {
namespace {

// The ranks of the low-rank matrices.
struct Ranks7 {
  int64_t decay = 0, rate = 0, gate = 0, value_mix = 0;
};

// `letter` names the three tensors, whose shapes must agree with `rank`.
LowRank7 TakeLowRank(WeightReader& reader, const std::string& att, char letter,
                     int64_t rank, const ModelConfig& config) {
  const std::string name = att + letter;
  LowRank7 w;
  w.down = reader.TakeTransposed(name + "1", rank, config.embedding_size);
  w.up = reader.TakeTransposed(name + "2", config.attention_size, rank);
  if (letter != 'g') {
    w.base = reader.TakeVector(name + "0", config.attention_size);
  }
  return w;
}

TimeMixing7 TakeTimeMixing7(WeightReader& reader, int64_t layer,
                            const std::string& att, const ModelConfig& config,
                            const Ranks7& ranks) {
  const int64_t c = config.embedding_size, a = config.attention_size;
  TimeMixing7 w;
  w.x_r = reader.TakeVector(att + "x_r", c);
  w.x_w = reader.TakeVector(att + "x_w", c);
  w.x_k = reader.TakeVector(att + "x_k", c);
  w.x_v = reader.TakeVector(att + "x_v", c);
  w.x_a = reader.TakeVector(att + "x_a", c);
  w.x_g = reader.TakeVector(att + "x_g", c);
  w.decay = TakeLowRank(reader, att, 'w', ranks.decay, config);
  w.rate = TakeLowRank(reader, att, 'a', ranks.rate, config);
  w.gate = TakeLowRank(reader, att, 'g', ranks.gate, config);
  if (layer > 0) {
    w.value_mix = TakeLowRank(reader, att, 'v', ranks.value_mix, config);
  }
  w.k_k = reader.TakeVector(att + "k_k", a);
  w.k_a = reader.TakeVector(att + "k_a", a);
  w.r_k = reader.TakePerHead(att + "r_k", config.num_heads, config.head_size);
  w.receptance = reader.TakeMatrix(att + "receptance.weight", a, c);
  w.key = reader.TakeMatrix(att + "key.weight", a, c);
  w.value = reader.TakeMatrix(att + "value.weight", a, c);
  w.output = reader.TakeMatrix(att + "output.weight", c, a);
  w.norm = TakeLayerNorm(reader, att + "ln_x", a);
  return w;
}

ChannelMixing7 TakeChannelMixing7(WeightReader& reader, const std::string& ffn,
                                  const ModelConfig& config) {
  const int64_t c = config.embedding_size, f = config.ffn_size;
  ChannelMixing7 w;
  w.x_k = reader.TakeVector(ffn + "x_k", c);
  w.key = reader.TakeMatrix(ffn + "key.weight", f, c);
  w.value = reader.TakeMatrix(ffn + "value.weight", c, f);
  return w;
}

// The ranks are the same in all layers.
Ranks7 TakeRanks7(WeightReader& reader, const ModelConfig& config) {
  Ranks7 ranks = {.decay = reader.MatrixSize("blocks.0.att.w1", 1),
                  .rate = reader.MatrixSize("blocks.0.att.a1", 1),
                  .gate = reader.MatrixSize("blocks.0.att.g1", 1)};
  if (config.num_layers > 1) {
    ranks.value_mix = reader.MatrixSize("blocks.1.att.v1", 1);
  }
  return ranks;
}

}  // namespace

Weights7 TakeWeights7(WeightReader& reader, const ModelConfig& config) {
  const Ranks7 ranks = TakeRanks7(reader, config);
  return TakeModelWeights<Weights7>(
      reader, config,
      [&](int64_t layer, const std::string& att) {
        return TakeTimeMixing7(reader, layer, att, config, ranks);
      },
      [&](const std::string& ffn) {
        return TakeChannelMixing7(reader, ffn, config);
      });
}

}  // namespace rwkvd
