// SPDX-License-Identifier: Apache-2.0
#include "core/model/rwkv4.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/model/blocks.h"
#include "core/model/weight_reader.h"

namespace rwkvd {
namespace {

// Of the exponent pp, before any token: e^pp is zero.
constexpr float kMinExponent = -1e30f;

// Channels of one token that are worth handing to another thread.
constexpr int64_t kChannelBlock = 256;

// C: embedding size, A: attention size, F: hidden units, V: vocabulary.
struct TimeMixing {
  Vector mix_k, mix_v, mix_r;     // [C]
  Vector decay;                   // [A] w = -exp(time_decay)
  Vector bonus;                   // [A] u = time_first
  Matrix key, value, receptance;  // [A, C]
  Matrix output;                  // [C, A]
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
  Rows x;           // [T, C] the residual stream
  Rows normed;      // [T, C]
  Rows xk, xv, xr;  // [T, C] shifted
  Rows k, v, r;     // [T, A]
  Rows wkv;         // [T, A]
  Rows hidden;      // [T, F]
  Rows gate, y;     // [T, C]
};

TimeMixing TakeTimeMixing(WeightReader& reader, const std::string& att,
                          const ModelConfig& config) {
  const int64_t c = config.embedding_size, a = config.attention_size;
  TimeMixing w;
  w.mix_k = reader.TakeVector(att + "time_mix_k", c);
  w.mix_v = reader.TakeVector(att + "time_mix_v", c);
  w.mix_r = reader.TakeVector(att + "time_mix_r", c);
  w.decay = reader.TakeVector(att + "time_decay", a);
  for (float& decay : w.decay) decay = -std::exp(decay);
  w.bonus = reader.TakeVector(att + "time_first", a);
  w.key = reader.TakeMatrix(att + "key.weight", a, c);
  w.value = reader.TakeMatrix(att + "value.weight", a, c);
  w.receptance = reader.TakeMatrix(att + "receptance.weight", a, c);
  w.output = reader.TakeMatrix(att + "output.weight", c, a);
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

class Rwkv4 final : public StepwiseModel {
 public:
  using Chunks = absl::Span<const Chunk>;

  Rwkv4(const ModelConfig& config, Weights weights,
        std::shared_ptr<const TensorFile> file, const KernelTable& kernels)
      : config_(config),
        file_(std::move(file)),
        weights_(std::move(weights)),
        kernels_(kernels) {}

  const ModelConfig& config() const override { return config_; }
  State NewState() const override;
  absl::StatusOr<State> NewTunedState(const TensorFile& file) const override;
  Workspace NewWorkspace(int64_t max_rows, ThreadPool* pool) const override;
  void Begin(Chunks chunks, Workspace& workspace) const override;
  void End(Chunks chunks, Workspace& workspace) const override;
  std::vector<Rows> Passed(int64_t num_rows,
                           Workspace& workspace) const override;

 private:
  // Where a layer's parts of the state begin.
  int64_t LayerState(int64_t layer) const {
    return layer * (2 * config_.embedding_size + 3 * config_.attention_size);
  }
  int64_t FfnState(int64_t layer) const { return LayerState(layer); }
  int64_t AttState(int64_t layer) const {
    return LayerState(layer) + config_.embedding_size;
  }
  int64_t WkvState(int64_t layer) const {
    return LayerState(layer) + 2 * config_.embedding_size;
  }

  Activations TakeActivations(int64_t rows, Workspace& workspace) const;
  void RunTimeMixing(int64_t layer, Chunks chunks,
                     Workspace& workspace) const override;
  void RunWkv(int64_t layer, Chunks chunks, const Activations& a,
              Workspace& workspace) const;
  void RunChannelMixing(int64_t layer, Chunks chunks,
                        Workspace& workspace) const override;

  const ModelConfig config_;
  const std::shared_ptr<const TensorFile> file_;  // what weights_ views
  const Weights weights_;
  const KernelTable& kernels_;
};

State Rwkv4::NewState() const {
  std::vector<float> values(LayerState(config_.num_layers), 0.0f);
  const int64_t a = config_.attention_size;
  for (int64_t i = 0; i < config_.num_layers; ++i) {
    std::fill_n(values.begin() + WkvState(i) + 2 * a, a, kMinExponent);
  }
  return State(std::move(values));
}

absl::StatusOr<State> Rwkv4::NewTunedState(const TensorFile& file) const {
  return absl::InvalidArgumentError(absl::StrCat(
      file.path(), ": an RWKV-4 network has no state that could be tuned"));
}

Workspace Rwkv4::NewWorkspace(int64_t max_rows, ThreadPool* pool) const {
  const int64_t floats = 7 * Workspace::Size(max_rows, config_.embedding_size) +
                         4 * Workspace::Size(max_rows, config_.attention_size) +
                         Workspace::Size(max_rows, config_.ffn_size);
  return Workspace(floats, max_rows, pool);
}

// In the same places for each step of a call.
Activations Rwkv4::TakeActivations(int64_t rows, Workspace& workspace) const {
  workspace.TakeAllBack();
  const auto take = [&](int64_t width) { return workspace.Take(rows, width); };
  const int64_t c = config_.embedding_size, a = config_.attention_size;
  return {.x = take(c),
          .normed = take(c),
          .xk = take(c),
          .xv = take(c),
          .xr = take(c),
          .k = take(a),
          .v = take(a),
          .r = take(a),
          .wkv = take(a),
          .hidden = take(config_.ffn_size),
          .gate = take(c),
          .y = take(c)};
}

void Rwkv4::Begin(Chunks chunks, Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  Embed(kernels_, workspace, chunks, weights_.embedding, weights_.ln0, a.x);
}

void Rwkv4::End(Chunks chunks, Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  Head(kernels_, workspace, chunks, weights_.ln_out, weights_.head, a.x,
       a.normed);
}

std::vector<Rows> Rwkv4::Passed(int64_t num_rows, Workspace& workspace) const {
  const Activations a = TakeActivations(num_rows, workspace);
  return {a.x};
}

// x += O (sigmoid(R xr) * wkv(K xk, V xv)); the x_ are shifted ln1(x).
void Rwkv4::RunTimeMixing(int64_t layer, Chunks chunks,
                          Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  const Layer& w = weights_.layers[layer];
  Normalize(kernels_, workspace, w.ln1, a.x, a.normed);
  TokenShift(
      kernels_, workspace, chunks, AttState(layer), a.normed,
      {{&w.att.mix_k, a.xk}, {&w.att.mix_v, a.xv}, {&w.att.mix_r, a.xr}});
  MatMul(kernels_, workspace,
         {{&w.att.key, a.xk, a.k},
          {&w.att.value, a.xv, a.v},
          {&w.att.receptance, a.xr, a.r}});
  RunWkv(layer, chunks, a, workspace);
  MatMul(kernels_, workspace, {{&w.att.output, a.wkv, a.y}});
  ForEachRow(workspace, a.x.num, a.x.width,
             [&](int64_t row) { kernels_.add(a.y[row], a.x.width, a.x[row]); });
}

// wkv = sigmoid(r) times the recurrence over each chunk's tokens; channels do
// not meet, so blocks of them run side by side.
void Rwkv4::RunWkv(int64_t layer, Chunks chunks, const Activations& a,
                   Workspace& workspace) const {
  const TimeMixing& w = weights_.layers[layer].att;
  const int64_t width = config_.attention_size;
  const int64_t blocks = (width + kChannelBlock - 1) / kChannelBlock;
  ForEachChunk(chunks, [&](const Chunk& chunk, int64_t first) {
    float* const state = chunk.state->values().data() + WkvState(layer);
    const int64_t end = first + static_cast<int64_t>(chunk.tokens.size());
    const auto run_block = [&](int64_t block) {
      const int64_t c = block * kChannelBlock;
      const int64_t n = std::min(kChannelBlock, width - c);
      for (int64_t row = first; row < end; ++row) {
        kernels_.wkv4({.k = a.k[row] + c,
                       .v = a.v[row] + c,
                       .r = a.r[row] + c,
                       .decay = w.decay.data() + c,
                       .bonus = w.bonus.data() + c,
                       .aa = state + c,
                       .bb = state + width + c,
                       .pp = state + 2 * width + c,
                       .out = a.wkv[row] + c},
                      n);
      }
    };
    workspace.pool().ParallelFor(blocks, run_block);
  });
}

// x += sigmoid(R xr) * V max(K xk, 0)^2; the x_ are shifted ln2(x).
void Rwkv4::RunChannelMixing(int64_t layer, Chunks chunks,
                             Workspace& workspace) const {
  const Activations a = TakeActivations(NumRows(chunks), workspace);
  const Layer& w = weights_.layers[layer];
  Normalize(kernels_, workspace, w.ln2, a.x, a.normed);
  TokenShift(kernels_, workspace, chunks, FfnState(layer), a.normed,
             {{&w.ffn.mix_k, a.xk}, {&w.ffn.mix_r, a.xr}});
  MatMul(kernels_, workspace,
         {{&w.ffn.key, a.xk, a.hidden}, {&w.ffn.receptance, a.xr, a.gate}});
  ForEachRow(workspace, a.hidden.num, a.hidden.width, [&](int64_t row) {
    kernels_.squared_relu(a.hidden.width, a.hidden[row]);
  });
  MatMul(kernels_, workspace, {{&w.ffn.value, a.hidden, a.y}});
  ForEachRow(workspace, a.x.num, a.x.width, [&](int64_t row) {
    kernels_.add_gated(a.gate[row], a.y[row], a.x.width, a.x[row]);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<const StepwiseModel>> LoadRwkv4(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file) {
  WeightReader reader(*file, options);
  Weights weights = TakeWeights(reader, config);
  RWKVD_RETURN_IF_ERROR(reader.status());
  return std::make_unique<const Rwkv4>(config, std::move(weights),
                                       reader.Owner(std::move(file)),
                                       *options.kernels);
}

}  // namespace rwkvd
