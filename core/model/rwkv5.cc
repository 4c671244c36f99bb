// SPDX-License-Identifier: Apache-2.0
#include "core/model/rwkv5.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "core/model/blocks.h"
#include "core/model/gated_ffn.h"
#include "core/model/matrix_state_model.h"
#include "core/model/weight_reader.h"

namespace rwkvd {
namespace {

// C is the embedding size, A the attention size, F the number of hidden units.
struct TimeMixing {
  Vector mix_k, mix_v, mix_r, mix_g;    // [C]
  Vector decay;                         // [A] w = exp(-exp(time_decay))
  Vector bonus;                         // [A] u
  Matrix key, value, receptance, gate;  // [A, C]
  LayerNorm norm;                       // [A], of each head separately
  Matrix output;                        // [C, A]
};

// The activations of a forward pass over T tokens.
struct Activations {
  Rows x;               // [T, C] the residual stream
  Rows normed;          // [T, C]
  Rows xk, xv, xr, xg;  // [T, C] shifted
  Rows k, v, r, g;      // [T, A]
  Rows wkv;             // [T, A]
  Rows hidden;          // [T, F]
  Rows receptance, y;   // [T, C]
};

bool HasGate(const ModelConfig& config) {
  return config.architecture != Architecture::kRwkv50;
}

TimeMixing TakeTimeMixing(WeightReader& reader, const std::string& att,
                          const ModelConfig& config) {
  const int64_t c = config.embedding_size, a = config.attention_size;
  const int64_t heads = config.num_heads, size = config.head_size;
  TimeMixing w;
  w.mix_k = reader.TakeVector(att + "time_mix_k", c);
  w.mix_v = reader.TakeVector(att + "time_mix_v", c);
  w.mix_r = reader.TakeVector(att + "time_mix_r", c);
  w.decay = reader.TakePerHead(att + "time_decay", heads, size);
  for (float& decay : w.decay) decay = std::exp(-std::exp(decay));
  if (reader.Has(att + "time_first")) {  // then u = exp(time_first)
    w.bonus = reader.TakePerHead(att + "time_first", heads, size);
    for (float& bonus : w.bonus) bonus = std::exp(bonus);
  } else {
    w.bonus = reader.TakePerHead(att + "time_faaaa", heads, size);
  }
  w.key = reader.TakeMatrix(att + "key.weight", a, c);
  w.value = reader.TakeMatrix(att + "value.weight", a, c);
  w.receptance = reader.TakeMatrix(att + "receptance.weight", a, c);
  w.output = reader.TakeMatrix(att + "output.weight", c, a);
  w.norm = TakeLayerNorm(reader, att + "ln_x", a);
  if (HasGate(config)) {
    w.mix_g = reader.TakeVector(att + "time_mix_g", c);
    w.gate = reader.TakeMatrix(att + "gate.weight", a, c);
  }
  return w;
}

using Base = MatrixStateModel<TimeMixing, GatedFfn, Activations>;

class Rwkv5 final : public Base {
 public:
  using Base::Base;

 private:
  Activations LayOut(TakeRows take) const override;
  void RunTimeMixing(int64_t layer, Chunks chunks, const Activations& a,
                     Workspace& workspace) const override;
  void RunHead(int64_t layer, int64_t head, const Chunk& chunk, int64_t first,
               const Activations& a) const;
  void RunChannelMixing(int64_t layer, Chunks chunks, const Activations& a,
                        Workspace& workspace) const override;
};

Activations Rwkv5::LayOut(TakeRows take) const {
  const int64_t c = config().embedding_size, a = config().attention_size;
  return {.x = take(c),
          .normed = take(c),
          .xk = take(c),
          .xv = take(c),
          .xr = take(c),
          .xg = take(c),
          .k = take(a),
          .v = take(a),
          .r = take(a),
          .g = take(a),
          .wkv = take(a),
          .hidden = take(config().ffn_size),
          .receptance = take(c),
          .y = take(c)};
}

// x += O (norm(wkv(R xr, K xk, V xv)) * silu(G xg)),
// where the inputs are ln1(x) mixed with the previous token's.
void Rwkv5::RunTimeMixing(int64_t layer, Chunks chunks, const Activations& a,
                          Workspace& workspace) const {
  const auto& w = weights().layers[layer];
  Normalize(kernels(), workspace, w.ln1, a.x, a.normed);
  absl::InlinedVector<Shift, 4> shifts = {
      {&w.att.mix_k, a.xk}, {&w.att.mix_v, a.xv}, {&w.att.mix_r, a.xr}};
  absl::InlinedVector<MatMulOperands, 4> matmuls = {
      {&w.att.key, a.xk, a.k},
      {&w.att.value, a.xv, a.v},
      {&w.att.receptance, a.xr, a.r}};
  if (HasGate(config())) {
    shifts.push_back({&w.att.mix_g, a.xg});
    matmuls.push_back({&w.att.gate, a.xg, a.g});
  }
  TokenShift(kernels(), workspace, chunks, layout().AttShift(layer), a.normed,
             shifts);
  MatMul(kernels(), workspace, matmuls);
  ForEachHead(workspace, chunks, config().num_heads,
              [&](const Chunk& chunk, int64_t first, int64_t head) {
                RunHead(layer, head, chunk, first, a);
              });
  MatMul(kernels(), workspace, {{&w.att.output, a.wkv, a.y}});
  Add(kernels(), workspace, a.y, a.x);
}

// Runs one head over the tokens of `chunk`, in order.
void Rwkv5::RunHead(int64_t layer, int64_t head, const Chunk& chunk,
                    int64_t first, const Activations& a) const {
  const TimeMixing& w = weights().layers[layer].att;
  const int64_t size = config().head_size, c = head * size;
  const int64_t offset = layout().Head(layer, head);
  float* const state = chunk.state->values().data() + offset;
  const auto run = [&](int64_t row) {
    float* const out = a.wkv[row] + c;
    kernels().wkv6({.r = a.r[row] + c,
                    .k = a.k[row] + c,
                    .v = a.v[row] + c,
                    .decay = w.decay.data() + c,
                    .bonus = w.bonus.data() + c,
                    .state = state,
                    .out = out},
                   size);
    KeepInnerState(chunk, row - first, offset, size * size);
    NormalizeHead(w.norm, head, out);
    if (HasGate(config())) kernels().mul_silu(a.g[row] + c, size, out);
  };
  ForEachToken(first, static_cast<int64_t>(chunk.tokens.size()),
               {a.r, a.k, a.v, a.g, a.wkv}, c, size, run);
}

// x += sigmoid(R xr) * V max(K xk, 0)^2, where xk and xr are ln2(x)
// mixed with the previous token's.
void Rwkv5::RunChannelMixing(int64_t layer, Chunks chunks, const Activations& a,
                             Workspace& workspace) const {
  const auto& w = weights().layers[layer];
  Normalize(kernels(), workspace, w.ln2, a.x, a.normed);
  TokenShift(kernels(), workspace, chunks, layout().FfnShift(layer), a.normed,
             {{&w.ffn.mix_k, a.xk}, {&w.ffn.mix_r, a.xr}});
  RunGatedFfn(kernels(), workspace, w.ffn,
              {.xk = a.xk,
               .xr = a.xr,
               .hidden = a.hidden,
               .receptance = a.receptance,
               .y = a.y,
               .x = a.x});
}

}  // namespace

absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadRwkv5(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, WeightReader& reader) {
  auto weights = TakeModelWeights<Rwkv5::Weights>(
      reader, config,
      [&](int64_t, const std::string& att) {
        return TakeTimeMixing(reader, att, config);
      },
      [&](const std::string& ffn) {
        return TakeGatedFfn(reader, ffn, "time_mix_", config);
      });
  return LoadMatrixStateModel<Rwkv5>(config, options, std::move(file),
                                     MatrixState::Stored::kValueByKey, reader,
                                     std::move(weights));
}

}  // namespace rwkvd
