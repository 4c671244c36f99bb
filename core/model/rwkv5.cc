// SPDX-License-Identifier: Apache-2.0
#include "core/model/rwkv5.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/model/blocks.h"
#include "core/model/matrix_state_model.h"
#include "core/model/weight_reader.h"

namespace rwkvd {
namespace {

// C: embedding size, A: attention size, F: hidden units, V: vocabulary.
struct TimeMixing {
  Vector mix_k, mix_v, mix_r, mix_g;    // [C]
  Vector decay;                         // [A] w = exp(-exp(time_decay))
  Vector bonus;                         // [A] u
  Matrix key, value, receptance, gate;  // [A, C]
  LayerNorm norm;                       // [A], each head apart
  Matrix output;                        // [C, A]
};

struct ChannelMixing {
  Vector mix_k, mix_r;  // [C]
  Matrix key;           // [F, C]
  Matrix receptance;    // [C, C]
  Matrix value;         // [C, F]
};

struct Layer {
  LayerNorm ln1;
  TimeMixing att;
  LayerNorm ln2;
  ChannelMixing ffn;
};

struct Weights {
  Matrix embedding;  // [V, C]
  LayerNorm ln0;
  std::vector<Layer> layers;
  LayerNorm ln_out;
  Matrix head;  // [V, C]
};

// A call's scratch; T rows.
struct Activations {
  Rows x;               // [T, C] the residual stream
  Rows normed;          // [T, C]
  Rows xk, xv, xr, xg;  // [T, C] shifted
  Rows k, v, r, g;      // [T, A]
  Rows wkv;             // [T, A]
  Rows hidden;          // [T, F]
  Rows receptance, y;   // [T, C]
};

template <class Take>
Activations MakeActivations(const ModelConfig& config, Take take) {
  const int64_t c = config.embedding_size, a = config.attention_size;
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
          .hidden = take(config.ffn_size),
          .receptance = take(c),
          .y = take(c)};
}

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
  if (reader.Has(att + "time_first")) {  // by this name, u = exp(time_first)
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

ChannelMixing TakeChannelMixing(WeightReader& reader, const std::string& ffn,
                                const ModelConfig& config) {
  const int64_t c = config.embedding_size, f = config.ffn_size;
  ChannelMixing w;
  w.mix_k = reader.TakeVector(ffn + "time_mix_k", c);
  w.mix_r = reader.TakeVector(ffn + "time_mix_r", c);
  w.key = reader.TakeMatrix(ffn + "key.weight", f, c);
  w.receptance = reader.TakeMatrix(ffn + "receptance.weight", c, c);
  w.value = reader.TakeMatrix(ffn + "value.weight", c, f);
  return w;
}

Weights TakeWeights(WeightReader& reader, const ModelConfig& config) {
  const int64_t c = config.embedding_size;
  Weights w;
  w.embedding = reader.TakeMatrix("emb.weight", config.vocab_size, c);
  w.ln0 = TakeEmbeddingNorm(reader, config);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    w.layers.push_back(
        {.ln1 = TakeLayerNorm(reader, block + "ln1", c),
         .att = TakeTimeMixing(reader, block + "att.", config),
         .ln2 = TakeLayerNorm(reader, block + "ln2", c),
         .ffn = TakeChannelMixing(reader, block + "ffn.", config)});
  }
  w.ln_out = TakeLayerNorm(reader, "ln_out", c);
  w.head = reader.TakeMatrix("head.weight", config.vocab_size, c);
  return w;
}

class Rwkv5 final : public MatrixStateModel {
 public:
  Rwkv5(const ModelConfig& config, const ModelOptions& options,
        std::shared_ptr<const TensorFile> file, Weights weights)
      : MatrixStateModel(config, options, std::move(file),
                         MatrixState::Stored::kValueByKey),
        weights_(std::move(weights)) {}

  Workspace NewWorkspace(int64_t max_rows, ThreadPool* pool) const override;
  void Begin(Chunks chunks, Workspace& workspace) const override;
  void End(Chunks chunks, Workspace& workspace) const override;
  std::vector<Rows> Passed(int64_t num_rows,
                           Workspace& workspace) const override;

 private:
  Activations TakeActivations(int64_t num_rows, Workspace& workspace) const;
  void RunTimeMixing(int64_t layer, Chunks chunks,
                     Workspace& workspace) const override;
  void RunHead(int64_t layer, int64_t head, const Chunk& chunk, int64_t first,
               const Activations& a) const;
  void RunChannelMixing(int64_t layer, Chunks chunks,
                        Workspace& workspace) const override;

  const Weights weights_;
};

Workspace Rwkv5::NewWorkspace(int64_t max_rows, ThreadPool* pool) const {
  int64_t floats = 0;
  MakeActivations(config(), [&](int64_t width) {
    floats += Workspace::Size(max_rows, width);
    return Rows();
  });
  return Workspace(floats, max_rows, pool);
}

// In the same places for each step of a call.
Activations Rwkv5::TakeActivations(int64_t num_rows,
                                   Workspace& workspace) const {
  workspace.TakeAllBack();
  return MakeActivations(
      config(), [&](int64_t width) { return workspace.Take(num_rows, width); });
}

void Rwkv5::Begin(Chunks chunks, Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  Embed(kernels(), workspace, chunks, weights_.embedding, weights_.ln0, a.x);
}

void Rwkv5::End(Chunks chunks, Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  Head(kernels(), workspace, chunks, weights_.ln_out, weights_.head, a.x,
       a.normed);
}

std::vector<Rows> Rwkv5::Passed(int64_t num_rows, Workspace& workspace) const {
  const Activations a = TakeActivations(num_rows, workspace);
  return {a.x};
}

// x += O (norm(wkv(R xr, K xk, V xv)) * silu(G xg)); the x_ are shifted ln1(x).
void Rwkv5::RunTimeMixing(int64_t layer, Chunks chunks,
                          Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  const Layer& w = weights_.layers[layer];
  Normalize(kernels(), workspace, w.ln1, a.x, a.normed);
  absl::InlinedVector<Shift, 4> shifts = {
      {&w.att.mix_k, a.xk}, {&w.att.mix_v, a.xv}, {&w.att.mix_r, a.xr}};
  absl::InlinedVector<MatMulOperands, 4> products = {
      {&w.att.key, a.xk, a.k},
      {&w.att.value, a.xv, a.v},
      {&w.att.receptance, a.xr, a.r}};
  if (HasGate(config())) {
    shifts.push_back({&w.att.mix_g, a.xg});
    products.push_back({&w.att.gate, a.xg, a.g});
  }
  TokenShift(kernels(), workspace, chunks, layout().AttShift(layer), a.normed,
             shifts);
  MatMul(kernels(), workspace, products);
  ForEachHead(workspace, chunks, config().num_heads,
              [&](const Chunk& chunk, int64_t first, int64_t head) {
                RunHead(layer, head, chunk, first, a);
              });
  MatMul(kernels(), workspace, {{&w.att.output, a.wkv, a.y}});
  Add(kernels(), workspace, a.y, a.x);
}

// The tokens of `chunk`, in order, through one head.
void Rwkv5::RunHead(int64_t layer, int64_t head, const Chunk& chunk,
                    int64_t first, const Activations& a) const {
  const TimeMixing& w = weights_.layers[layer].att;
  const int64_t size = config().head_size, c = head * size;
  float* const state =
      chunk.state->values().data() + layout().Head(layer, head);
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
    NormalizeHead(w.norm, head, out);
    if (HasGate(config())) kernels().mul_silu(a.g[row] + c, size, out);
  };
  ForEachToken(first, static_cast<int64_t>(chunk.tokens.size()),
               {a.r, a.k, a.v, a.g, a.wkv}, c, size, run);
}

// x += sigmoid(R xr) * V max(K xk, 0)^2; the x_ are shifted ln2(x).
void Rwkv5::RunChannelMixing(int64_t layer, Chunks chunks,
                             Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  const Layer& w = weights_.layers[layer];
  Normalize(kernels(), workspace, w.ln2, a.x, a.normed);
  TokenShift(kernels(), workspace, chunks, layout().FfnShift(layer), a.normed,
             {{&w.ffn.mix_k, a.xk}, {&w.ffn.mix_r, a.xr}});
  MatMul(
      kernels(), workspace,
      {{&w.ffn.key, a.xk, a.hidden}, {&w.ffn.receptance, a.xr, a.receptance}});
  ForEachRow(workspace, a.hidden.num, a.hidden.width, [&](int64_t row) {
    kernels().squared_relu(a.hidden.width, a.hidden[row]);
  });
  MatMul(kernels(), workspace, {{&w.ffn.value, a.hidden, a.y}});
  ForEachRow(workspace, a.x.num, a.x.width, [&](int64_t row) {
    kernels().add_gated(a.receptance[row], a.y[row], a.x.width, a.x[row]);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<const StepwiseModel>> LoadRwkv5(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file) {
  return LoadMatrixStateModel<Rwkv5>(config, options, std::move(file),
                                     &TakeWeights);
}

}  // namespace rwkvd
