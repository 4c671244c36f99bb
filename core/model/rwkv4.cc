// SPDX-License-Identifier: Apache-2.0
#include "core/model/rwkv4.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/blocks.h"
#include "core/model/gated_ffn.h"
#include "core/model/skeleton.h"
#include "core/model/weight_reader.h"

namespace rwkvd {
namespace {

// The exponent pp before the first token: e^pp is zero.
constexpr float kMinExponent = -1e30f;

// The channels per task: fewer do not pay for another thread.
constexpr int64_t kChannelBlock = 256;

// C is the embedding size, A the attention size, F the number of hidden units.
struct TimeMixing {
  Vector mix_k, mix_v, mix_r;     // [C]
  Vector decay;                   // [A] w = -exp(time_decay)
  Vector bonus;                   // [A] u = time_first
  Matrix key, value, receptance;  // [A, C]
  Matrix output;                  // [C, A]
};

// The activations of a forward pass over T tokens.
struct Activations {
  Rows x;           // [T, C] the residual stream
  Rows normed;      // [T, C]
  Rows xk, xv, xr;  // [T, C] shifted
  Rows k, v, r;     // [T, A]
  Rows wkv;         // [T, A]
  Rows hidden;      // [T, F]
  Rows receptance;  // [T, C]
  Rows y;           // [T, C]
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

using Base = Skeleton<TimeMixing, GatedFfn, Activations>;

class Rwkv4 final : public Base {
 public:
  using Base::Base;

  State NewState() const override;
  absl::StatusOr<State> NewTunedState(const TensorFile& file) const override;

 private:
  // Where the parts of the state begin: for each layer, the last input of
  // channel mixing [C], the last input of time mixing [C], and aa, bb and pp of
  // the recurrence [A].
  int64_t FfnState(int64_t layer) const {
    return layer * (2 * config().embedding_size + 3 * config().attention_size);
  }
  int64_t AttState(int64_t layer) const {
    return FfnState(layer) + config().embedding_size;
  }
  int64_t WkvState(int64_t layer) const {
    return AttState(layer) + config().embedding_size;
  }

  Activations LayOut(TakeRows take) const override;
  void RunTimeMixing(int64_t layer, Chunks chunks, const Activations& a,
                     Workspace& workspace) const override;
  void RunWkv(int64_t layer, Chunks chunks, const Activations& a,
              Workspace& workspace) const;
  void RunChannelMixing(int64_t layer, Chunks chunks, const Activations& a,
                        Workspace& workspace) const override;
};

State Rwkv4::NewState() const {
  std::vector<float> values(FfnState(config().num_layers), 0.0f);
  const int64_t a = config().attention_size;
  for (int64_t i = 0; i < config().num_layers; ++i) {
    std::fill_n(values.begin() + WkvState(i) + 2 * a, a, kMinExponent);
  }
  return State(std::move(values));
}

absl::StatusOr<State> Rwkv4::NewTunedState(const TensorFile& file) const {
  return absl::InvalidArgumentError(absl::StrCat(
      file.path(), ": an RWKV-4 model has no state that can be tuned"));
}

Activations Rwkv4::LayOut(TakeRows take) const {
  const int64_t c = config().embedding_size, a = config().attention_size;
  return {.x = take(c),
          .normed = take(c),
          .xk = take(c),
          .xv = take(c),
          .xr = take(c),
          .k = take(a),
          .v = take(a),
          .r = take(a),
          .wkv = take(a),
          .hidden = take(config().ffn_size),
          .receptance = take(c),
          .y = take(c)};
}

// x += O (sigmoid(R xr) * wkv(K xk, V xv)), where xk, xv and xr are
// ln1(x) mixed with the previous token's.
void Rwkv4::RunTimeMixing(int64_t layer, Chunks chunks, const Activations& a,
                          Workspace& workspace) const {
  const auto& w = weights().layers[layer];
  Normalize(kernels(), workspace, w.ln1, a.x, a.normed);
  TokenShift(
      kernels(), workspace, chunks, AttState(layer), a.normed,
      {{&w.att.mix_k, a.xk}, {&w.att.mix_v, a.xv}, {&w.att.mix_r, a.xr}});
  MatMul(kernels(), workspace,
         {{&w.att.key, a.xk, a.k},
          {&w.att.value, a.xv, a.v},
          {&w.att.receptance, a.xr, a.r}});
  RunWkv(layer, chunks, a, workspace);
  MatMul(kernels(), workspace, {{&w.att.output, a.wkv, a.y}});
  Add(kernels(), workspace, a.y, a.x);
}

// wkv = sigmoid(r) times the recurrence over the tokens of each chunk. Channels
// are independent of one another, so blocks of channels run in parallel.
void Rwkv4::RunWkv(int64_t layer, Chunks chunks, const Activations& a,
                   Workspace& workspace) const {
  const TimeMixing& w = weights().layers[layer].att;
  const int64_t width = config().attention_size;
  const int64_t blocks = (width + kChannelBlock - 1) / kChannelBlock;
  ForEachChunk(chunks, [&](const Chunk& chunk, int64_t first) {
    const int64_t offset = WkvState(layer);
    float* const state = chunk.state->values().data() + offset;
    const int64_t end = first + static_cast<int64_t>(chunk.tokens.size());
    const auto run_block = [&](int64_t block) {
      const int64_t c = block * kChannelBlock;
      const int64_t n = std::min(kChannelBlock, width - c);
      for (int64_t row = first; row < end; ++row) {
        kernels().wkv4({.k = a.k[row] + c,
                        .v = a.v[row] + c,
                        .r = a.r[row] + c,
                        .decay = w.decay.data() + c,
                        .bonus = w.bonus.data() + c,
                        .aa = state + c,
                        .bb = state + width + c,
                        .pp = state + 2 * width + c,
                        .out = a.wkv[row] + c},
                       n);
        for (int64_t part = 0; part < 3; ++part) {
          KeepInnerState(chunk, row - first, offset + part * width + c, n);
        }
      }
    };
    workspace.pool().ParallelFor(blocks, run_block);
  });
}

// x += sigmoid(R xr) * V max(K xk, 0)^2, where xk and xr are ln2(x)
// mixed with the previous token's.
void Rwkv4::RunChannelMixing(int64_t layer, Chunks chunks, const Activations& a,
                             Workspace& workspace) const {
  const auto& w = weights().layers[layer];
  Normalize(kernels(), workspace, w.ln2, a.x, a.normed);
  TokenShift(kernels(), workspace, chunks, FfnState(layer), a.normed,
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

absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadRwkv4(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, WeightReader& reader) {
  auto weights = TakeModelWeights<Rwkv4::Weights>(
      reader, config,
      [&](int64_t, const std::string& att) {
        return TakeTimeMixing(reader, att, config);
      },
      [&](const std::string& ffn) {
        return TakeGatedFfn(reader, ffn, "time_mix_", config);
      });
  RWKVD_RETURN_IF_ERROR(reader.status());
  return std::make_unique<const Rwkv4>(
      config, options, reader.Owner(std::move(file)), std::move(weights));
}

}  // namespace rwkvd
