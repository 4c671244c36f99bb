// SPDX-License-Identifier: Apache-2.0
#include "core/model/rwkv6.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/model/blocks.h"
#include "core/model/matrix_state_model.h"
#include "core/model/weight_reader.h"

namespace rwkvd {
namespace {

// What time mixing makes five mixtures for, in the order in which their
// low-rank matrices are stored.
enum Part { kW, kK, kV, kR, kG };
constexpr int kNumParts = 5;
constexpr char kPartNames[] = "wkvrg";

// C: embedding size, A: attention size, F: hidden units, V: vocabulary, D and
// E: the ranks of the mixtures' and the decay's matrices.
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
  LayerNorm norm;                       // [A], each head apart
  Matrix output;                        // [C, A]
};

struct ChannelMixing {
  Vector maa_k, maa_r;  // [C]
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

// The ranks of all layers' low-rank matrices.
struct Ranks {
  int64_t maa = 0;    // D
  int64_t decay = 0;  // E
};

// A call's scratch; T rows.
struct Activations {
  Rows x;                            // [T, C] the residual stream
  Rows normed, dx;                   // [T, C] ln(x); the previous less this
  Rows shifted;                      // [T, C]
  std::array<Rows, kNumParts> low;   // [T, D]
  std::array<Rows, kNumParts> part;  // [T, C] what each mixture is
  Rows decay_low;                    // [T, E]
  Rows w, k, v, r, g;                // [T, A]
  Rows wkv;                          // [T, A]
  Rows hidden;                       // [T, F]
  Rows receptance, y;                // [T, C]
};

template <class Take>
Activations MakeActivations(const ModelConfig& config, const Ranks& ranks,
                            Take take) {
  const int64_t c = config.embedding_size, a = config.attention_size;
  Activations made = {.x = take(c),
                      .normed = take(c),
                      .dx = take(c),
                      .shifted = take(c),
                      .low = {},
                      .part = {},
                      .decay_low = take(ranks.decay),
                      .w = take(a),
                      .k = take(a),
                      .v = take(a),
                      .r = take(a),
                      .g = take(a),
                      .wkv = take(a),
                      .hidden = take(config.ffn_size),
                      .receptance = take(c),
                      .y = take(c)};
  for (Rows& low : made.low) low = take(ranks.maa);
  for (Rows& part : made.part) part = take(c);
  return made;
}

// Layer 0's, to which the others are held.
Ranks RanksOf(const TimeMixing& w) {
  return {.maa = w.maa_w1[0].rows, .decay = w.decay_w1.rows};
}

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

ChannelMixing TakeChannelMixing(WeightReader& reader, const std::string& ffn,
                                const ModelConfig& config) {
  const int64_t c = config.embedding_size, f = config.ffn_size;
  ChannelMixing w;
  w.maa_k = reader.TakeVector(ffn + "time_maa_k", c);
  w.maa_r = reader.TakeVector(ffn + "time_maa_r", c);
  w.key = reader.TakeMatrix(ffn + "key.weight", f, c);
  w.receptance = reader.TakeMatrix(ffn + "receptance.weight", c, c);
  w.value = reader.TakeMatrix(ffn + "value.weight", c, f);
  return w;
}

Weights TakeWeights(WeightReader& reader, const ModelConfig& config) {
  const int64_t c = config.embedding_size;
  const std::string att = "blocks.0.att.";
  const Ranks ranks = {
      .maa = reader.MatrixSize(att + "time_maa_w1", 1) / kNumParts,
      .decay = reader.MatrixSize(att + "time_decay_w1", 1)};
  Weights w;
  w.embedding = reader.TakeMatrix("emb.weight", config.vocab_size, c);
  w.ln0 = TakeEmbeddingNorm(reader, config);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    w.layers.push_back(
        {.ln1 = TakeLayerNorm(reader, block + "ln1", c),
         .att = TakeTimeMixing(reader, block + "att.", config, ranks),
         .ln2 = TakeLayerNorm(reader, block + "ln2", c),
         .ffn = TakeChannelMixing(reader, block + "ffn.", config)});
  }
  w.ln_out = TakeLayerNorm(reader, "ln_out", c);
  w.head = reader.TakeMatrix("head.weight", config.vocab_size, c);
  return w;
}

class Rwkv6 final : public MatrixStateModel {
 public:
  Rwkv6(const ModelConfig& config, const ModelOptions& options,
        std::shared_ptr<const TensorFile> file, Weights weights)
      : MatrixStateModel(config, options, std::move(file),
                         MatrixState::Stored::kValueByKey),
        weights_(std::move(weights)),
        ranks_(RanksOf(weights_.layers[0].att)) {}

  Workspace NewWorkspace(int64_t max_rows, ThreadPool* pool) const override;
  void Begin(Chunks chunks, Workspace& workspace) const override;
  void End(Chunks chunks, Workspace& workspace) const override;
  std::vector<Rows> Passed(int64_t num_rows,
                           Workspace& workspace) const override;

 private:
  Activations TakeActivations(int64_t num_rows, Workspace& workspace) const;
  void RunTimeMixing(int64_t layer, Chunks chunks,
                     Workspace& workspace) const override;
  void MixParts(const TimeMixing& w, const Activations& a,
                Workspace& workspace) const;
  void RunHead(int64_t layer, int64_t head, const Chunk& chunk, int64_t first,
               const Activations& a) const;
  void RunChannelMixing(int64_t layer, Chunks chunks,
                        Workspace& workspace) const override;

  const Weights weights_;
  const Ranks ranks_;
};

Workspace Rwkv6::NewWorkspace(int64_t max_rows, ThreadPool* pool) const {
  int64_t floats = 0;
  MakeActivations(config(), ranks_, [&](int64_t width) {
    floats += Workspace::Size(max_rows, width);
    return Rows();
  });
  return Workspace(floats, max_rows, pool);
}

// In the same places for each step of a call.
Activations Rwkv6::TakeActivations(int64_t num_rows,
                                   Workspace& workspace) const {
  workspace.TakeAllBack();
  return MakeActivations(config(), ranks_, [&](int64_t width) {
    return workspace.Take(num_rows, width);
  });
}

void Rwkv6::Begin(Chunks chunks, Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  Embed(kernels(), workspace, chunks, weights_.embedding, weights_.ln0, a.x);
}

void Rwkv6::End(Chunks chunks, Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  Head(kernels(), workspace, chunks, weights_.ln_out, weights_.head, a.x,
       a.normed);
}

std::vector<Rows> Rwkv6::Passed(int64_t num_rows, Workspace& workspace) const {
  const Activations a = TakeActivations(num_rows, workspace);
  return {a.x};
}

// x += O (norm(wkv(R xr, K xk, V xv, w)) * silu(G xg)), where the decay is
// w = exp(-exp(decay + tanh(xw W1) W2)).
void Rwkv6::RunTimeMixing(int64_t layer, Chunks chunks,
                          Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  const Layer& w = weights_.layers[layer];
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
  std::array<MatMulOperands, kNumParts> products;
  for (int i = 0; i < kNumParts; ++i) {
    products[i] = {&w.maa_w1[i], a.shifted, a.low[i]};
  }
  MatMul(kernels(), workspace, products);
  ForEachRow(workspace, a.x.num, kNumParts * ranks_.maa, [&](int64_t row) {
    for (const Rows& low : a.low) kernels().tanh(low.width, low[row]);
  });
  for (int i = 0; i < kNumParts; ++i) {
    products[i] = {&w.maa_w2[i], a.low[i], a.part[i]};
  }
  MatMul(kernels(), workspace, products);
  ForEachRow(workspace, a.x.num, kNumParts * c, [&](int64_t row) {
    for (int i = 0; i < kNumParts; ++i) {
      float* const part = a.part[i][row];
      kernels().add(w.maa[i].data(), c, part);
      kernels().mul_add(a.normed[row], a.dx[row], part, c, part);
    }
  });
}

// The tokens of `chunk`, in order, through one head.
void Rwkv6::RunHead(int64_t layer, int64_t head, const Chunk& chunk,
                    int64_t first, const Activations& a) const {
  const TimeMixing& w = weights_.layers[layer].att;
  const int64_t size = config().head_size, c = head * size;
  float* const state =
      chunk.state->values().data() + layout().Head(layer, head);
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
    NormalizeHead(w.norm, head, out);
    kernels().mul_silu(a.g[row] + c, size, out);
  };
  ForEachToken(first, static_cast<int64_t>(chunk.tokens.size()),
               {a.w, a.r, a.k, a.v, a.g, a.wkv}, c, size, run);
}

// x += sigmoid(R xr) * V max(K xk, 0)^2; x_i = ln2(x) + dx * maa_i.
void Rwkv6::RunChannelMixing(int64_t layer, Chunks chunks,
                             Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  const Layer& w = weights_.layers[layer];
  const Rows xk = a.part[kK], xr = a.part[kR];
  Normalize(kernels(), workspace, w.ln2, a.x, a.normed);
  ShiftDifference(kernels(), workspace, chunks, layout().FfnShift(layer),
                  a.normed, a.dx);
  ForEachRow(workspace, a.x.num, 2 * a.x.width, [&](int64_t row) {
    kernels().mul_add(a.normed[row], a.dx[row], w.ffn.maa_k.data(), a.x.width,
                      xk[row]);
    kernels().mul_add(a.normed[row], a.dx[row], w.ffn.maa_r.data(), a.x.width,
                      xr[row]);
  });
  MatMul(kernels(), workspace,
         {{&w.ffn.key, xk, a.hidden}, {&w.ffn.receptance, xr, a.receptance}});
  ForEachRow(workspace, a.hidden.num, a.hidden.width, [&](int64_t row) {
    kernels().squared_relu(a.hidden.width, a.hidden[row]);
  });
  MatMul(kernels(), workspace, {{&w.ffn.value, a.hidden, a.y}});
  ForEachRow(workspace, a.x.num, a.x.width, [&](int64_t row) {
    kernels().add_gated(a.receptance[row], a.y[row], a.x.width, a.x[row]);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<const StepwiseModel>> LoadRwkv6(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file) {
  return LoadMatrixStateModel<Rwkv6>(config, options, std::move(file),
                                     &TakeWeights);
}

}  // namespace rwkvd
