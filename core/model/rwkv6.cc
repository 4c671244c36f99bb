// SPDX-License-Identifier: Apache-2.0
#include "core/model/rwkv6.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/model/blocks.h"
#include "core/model/gated_ffn.h"
#include "core/model/matrix_state_model.h"
#include "core/model/weight_reader.h"

namespace rwkvd {
namespace {

// Time mixing mixes its input in five ways. This is the order in which their
// low-rank matrices are stored.
enum Part { kW, kK, kV, kR, kG };
constexpr int kNumParts = 5;
constexpr char kPartNames[] = "wkvrg";

// C is the embedding size, A the attention size, F the number of hidden units,
// D and E the ranks of the low-rank matrices of the mixtures and the decay.
struct TimeMixing {
  Vector maa_x;                         // [C]
  std::array<Vector, kNumParts> maa;    // [C]
  std::vector<Matrix> maa_w1;           // 5 of [D, C]
  std::vector<Matrix> maa_w2;           // 5 of [C, D]
  Vector decay;                         // [A]
  Matrix decay_w1;                      // [E, C]
  Matrix decay_w2;                      // [A, E]
  Vector bonus;                         // [A] u = time_faaaa
  Matrix key, value, receptance, gate;  // [A, C]
  LayerNorm norm;                       // [A], of each head separately
  Matrix output;                        // [C, A]
};

// The ranks of the low-rank matrices, the same in all layers.
struct Ranks {
  int64_t maa = 0;    // D
  int64_t decay = 0;  // E
};

// The activations of a forward pass over T tokens.
struct Activations {
  Rows x;           // [T, C] the residual stream
  Rows normed, dx;  // [T, C] ln(x); that of the previous token - ln(x)
  Rows shifted;     // [T, C]
  std::array<Rows, kNumParts> low;   // [T, D]
  std::array<Rows, kNumParts> part;  // [T, C] the mixtures
  Rows decay_low;                    // [T, E]
  Rows w, k, v, r, g;                // [T, A]
  Rows wkv;                          // [T, A]
  Rows hidden;                       // [T, F]
  Rows receptance, y;                // [T, C]
};

TimeMixing TakeTimeMixing(WeightReader& reader, const std::string& att,
                          const ModelConfig& config, const Ranks& ranks) {
  const int64_t c = config.embedding_size, a = config.attention_size;
  TimeMixing w;
  w.maa_x = reader.TakeVector(att + "time_maa_x", c);
  for (int i = 0; i < kNumParts; ++i) {
    w.maa[i] = reader.TakeVector(
        absl::StrCat(att, "time_maa_", std::string(1, kPartNames[i])), c);
  }
  w.maa_w1 =
      reader.TakeTransposedSlices(att + "time_maa_w1", kNumParts, ranks.maa, c);
  w.maa_w2 =
      reader.TakeTransposedStack(att + "time_maa_w2", kNumParts, c, ranks.maa);
  w.decay = reader.TakeVector(att + "time_decay", a);
  w.decay_w1 = reader.TakeTransposed(att + "time_decay_w1", ranks.decay, c);
  w.decay_w2 = reader.TakeTransposed(att + "time_decay_w2", a, ranks.decay);
  w.bonus = reader.TakePerHead(att + "time_faaaa", config.num_heads,
                               config.head_size);
  w.key = reader.TakeMatrix(att + "key.weight", a, c);
  w.value = reader.TakeMatrix(att + "value.weight", a, c);
  w.receptance = reader.TakeMatrix(att + "receptance.weight", a, c);
  w.gate = reader.TakeMatrix(att + "gate.weight", a, c);
  w.output = reader.TakeMatrix(att + "output.weight", c, a);
  w.norm = TakeLayerNorm(reader, att + "ln_x", a);
  return w;
}

Ranks TakeRanks(WeightReader& reader) {
  const std::string att = "blocks.0.att.";
  return {.maa = reader.MatrixSize(att + "time_maa_w1", 1) / kNumParts,
          .decay = reader.MatrixSize(att + "time_decay_w1", 1)};
}

using Base = MatrixStateModel<TimeMixing, GatedFfn, Activations>;

class Rwkv6 final : public Base {
 public:
  using Base::Base;

 private:
  Activations LayOut(TakeRows take) const override;
  void RunTimeMixing(int64_t layer, Chunks chunks, const Activations& a,
                     Workspace& workspace) const override;
  void MixParts(const TimeMixing& w, const Activations& a,
                Workspace& workspace) const;
  void RunHead(int64_t layer, int64_t head, const Chunk& chunk, int64_t first,
               const Activations& a) const;
  void RunChannelMixing(int64_t layer, Chunks chunks, const Activations& a,
                        Workspace& workspace) const override;
};

Activations Rwkv6::LayOut(TakeRows take) const {
  const TimeMixing& att = weights().layers[0].att;
  const int64_t c = config().embedding_size, a = config().attention_size;
  Activations rows = {.x = take(c),
                      .normed = take(c),
                      .dx = take(c),
                      .shifted = take(c),
                      .low = {},
                      .part = {},
                      .decay_low = take(att.decay_w1.rows),
                      .w = take(a),
                      .k = take(a),
                      .v = take(a),
                      .r = take(a),
                      .g = take(a),
                      .wkv = take(a),
                      .hidden = take(config().ffn_size),
                      .receptance = take(c),
                      .y = take(c)};
  for (Rows& low : rows.low) low = take(att.maa_w1[0].rows);
  for (Rows& part : rows.part) part = take(c);
  return rows;
}

// x += O (norm(wkv(R xr, K xk, V xv, w)) * silu(G xg)), where the decay is
// w = exp(-exp(decay + tanh(xw W1) W2)), and xr to xw are the mixtures.
void Rwkv6::RunTimeMixing(int64_t layer, Chunks chunks, const Activations& a,
                          Workspace& workspace) const {
  const auto& w = weights().layers[layer];
  Normalize(kernels(), workspace, w.ln1, a.x, a.normed);
  ShiftDifference(kernels(), workspace, chunks, layout().AttShift(layer),
                  a.normed, a.dx);
  MixParts(w.att, a, workspace);
  MatMul(kernels(), workspace,
         {{&w.att.key, a.part[kK], a.k},
          {&w.att.value, a.part[kV], a.v},
          {&w.att.receptance, a.part[kR], a.r},
          {&w.att.gate, a.part[kG], a.g},
          {&w.att.decay_w1, a.part[kW], a.decay_low}});
  ForEachRow(workspace, a.x.num, a.decay_low.width, [&](int64_t row) {
    kernels().tanh(a.decay_low.width, a.decay_low[row]);
  });
  MatMul(kernels(), workspace, {{&w.att.decay_w2, a.decay_low, a.w}});
  ForEachHead(workspace, chunks, config().num_heads,
              [&](const Chunk& chunk, int64_t first, int64_t head) {
                RunHead(layer, head, chunk, first, a);
              });
  MatMul(kernels(), workspace, {{&w.att.output, a.wkv, a.y}});
  Add(kernels(), workspace, a.y, a.x);
}

// part_i = x + dx * (maa_i + tanh((x + dx * maa_x) W1_i) W2_i).
void Rwkv6::MixParts(const TimeMixing& w, const Activations& a,
                     Workspace& workspace) const {
  const int64_t c = a.x.width;
  ForEachRow(workspace, a.x.num, c, [&](int64_t row) {
    kernels().mul_add(a.normed[row], a.dx[row], w.maa_x.data(), c,
                      a.shifted[row]);
  });
  std::array<MatMulOperands, kNumParts> matmuls;
  for (int i = 0; i < kNumParts; ++i) {
    matmuls[i] = {&w.maa_w1[i], a.shifted, a.low[i]};
  }
  MatMul(kernels(), workspace, matmuls);
  ForEachRow(workspace, a.x.num, kNumParts * a.low[0].width, [&](int64_t row) {
    for (const Rows& low : a.low) kernels().tanh(low.width, low[row]);
  });
  for (int i = 0; i < kNumParts; ++i) {
    matmuls[i] = {&w.maa_w2[i], a.low[i], a.part[i]};
  }
  MatMul(kernels(), workspace, matmuls);
  ForEachRow(workspace, a.x.num, kNumParts * c, [&](int64_t row) {
    for (int i = 0; i < kNumParts; ++i) {
      float* const part = a.part[i][row];
      kernels().add(w.maa[i].data(), c, part);
      kernels().mul_add(a.normed[row], a.dx[row], part, c, part);
    }
  });
}

// Runs one head over the tokens of `chunk`, in order.
void Rwkv6::RunHead(int64_t layer, int64_t head, const Chunk& chunk,
                    int64_t first, const Activations& a) const {
  const TimeMixing& w = weights().layers[layer].att;
  const int64_t size = config().head_size, c = head * size;
  const int64_t offset = layout().Head(layer, head);
  float* const state = chunk.state->values().data() + offset;
  const auto run = [&](int64_t row) {
    float* const decay = a.w[row] + c;
    kernels().add(w.decay.data() + c, size, decay);
    kernels().decay6(size, decay);
    float* const out = a.wkv[row] + c;
    kernels().wkv6({.r = a.r[row] + c,
                    .k = a.k[row] + c,
                    .v = a.v[row] + c,
                    .decay = decay,
                    .bonus = w.bonus.data() + c,
                    .state = state,
                    .out = out},
                   size);
    KeepInnerState(chunk, row - first, offset, size * size);
    NormalizeHead(w.norm, head, out);
    kernels().mul_silu(a.g[row] + c, size, out);
  };
  ForEachToken(first, static_cast<int64_t>(chunk.tokens.size()),
               {a.w, a.r, a.k, a.v, a.g, a.wkv}, c, size, run);
}

// x += sigmoid(R xr) * V max(K xk, 0)^2; x_i = ln2(x) + dx * mix_i.
void Rwkv6::RunChannelMixing(int64_t layer, Chunks chunks, const Activations& a,
                             Workspace& workspace) const {
  const auto& w = weights().layers[layer];
  const Rows xk = a.part[kK], xr = a.part[kR];
  Normalize(kernels(), workspace, w.ln2, a.x, a.normed);
  ShiftDifference(kernels(), workspace, chunks, layout().FfnShift(layer),
                  a.normed, a.dx);
  ForEachRow(workspace, a.x.num, 2 * a.x.width, [&](int64_t row) {
    kernels().mul_add(a.normed[row], a.dx[row], w.ffn.mix_k.data(), a.x.width,
                      xk[row]);
    kernels().mul_add(a.normed[row], a.dx[row], w.ffn.mix_r.data(), a.x.width,
                      xr[row]);
  });
  RunGatedFfn(kernels(), workspace, w.ffn,
              {.xk = xk,
               .xr = xr,
               .hidden = a.hidden,
               .receptance = a.receptance,
               .y = a.y,
               .x = a.x});
}

}  // namespace

absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadRwkv6(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, WeightReader& reader) {
  const Ranks ranks = TakeRanks(reader);
  auto weights = TakeModelWeights<Rwkv6::Weights>(
      reader, config,
      [&](int64_t, const std::string& att) {
        return TakeTimeMixing(reader, att, config, ranks);
      },
      [&](const std::string& ffn) {
        return TakeGatedFfn(reader, ffn, "time_maa_", config);
      });
  return LoadMatrixStateModel<Rwkv6>(config, options, std::move(file),
                                     MatrixState::Stored::kValueByKey, reader,
                                     std::move(weights));
}

}  // namespace rwkvd
