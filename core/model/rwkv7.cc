// SPDX-License-Identifier: Apache-2.0
#include "core/model/rwkv7.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "core/model/blocks.h"
#include "core/model/matrix_state_model.h"
#include "core/model/rwkv7_weights.h"
#include "core/model/weight_reader.h"

namespace rwkvd {
namespace {

// The activations of a forward pass over T tokens.
struct Activations {
  Rows x;                           // [T, C] the residual stream
  Rows normed, dx;                  // [T, C]
  Rows xr, xw, xk, xv, xa, xg;      // [T, C] shifted
  Rows w_low, a_low, g_low, v_low;  // [T, D]
  Rows r, w, k, v, a, g, v_mix;     // [T, A]
  Rows kk;       // [T, A] removal key, one row per chunk is used
  Rows v_first;  // [T, A] layer 0's v
  Rows y;        // [T, A]
  Rows hidden;   // [T, F]
  Rows out;      // [T, C]
};

using Base = MatrixStateModel<TimeMixing7, ChannelMixing7, Activations>;

class Rwkv7 final : public Base {
 public:
  using Base::Base;

 private:
  Activations LayOut(TakeRows take) const override;
  void RunTimeMixing(int64_t layer, Chunks chunks, const Activations& a,
                     Workspace& workspace) const override;
  void Project(int64_t layer, const Activations& a, Workspace& workspace) const;
  void RunHead(int64_t layer, int64_t head, const Chunk& chunk, int64_t first,
               const Activations& a) const;
  void RunToken(int64_t layer, int64_t head, int64_t row, float* kk,
                float* state, const Activations& a) const;
  void RunChannelMixing(int64_t layer, Chunks chunks, const Activations& a,
                        Workspace& workspace) const override;
  std::vector<Rows> CarriedActivations(const Activations& a) const override {
    return {a.x, a.v_first};
  }
};

Activations Rwkv7::LayOut(TakeRows take) const {
  // The last layer has all low-rank matrices, unless it is the only one.
  const TimeMixing7& att = weights().layers.back().att;
  const int64_t c = config().embedding_size, a = config().attention_size;
  return {.x = take(c),
          .normed = take(c),
          .dx = take(c),
          .xr = take(c),
          .xw = take(c),
          .xk = take(c),
          .xv = take(c),
          .xa = take(c),
          .xg = take(c),
          .w_low = take(att.decay.down.rows),
          .a_low = take(att.rate.down.rows),
          .g_low = take(att.gate.down.rows),
          .v_low = take(att.value_mix.down.rows),
          .r = take(a),
          .w = take(a),
          .k = take(a),
          .v = take(a),
          .a = take(a),
          .g = take(a),
          .v_mix = take(a),
          .kk = take(a),
          .v_first = take(a),
          .y = take(a),
          .hidden = take(config().ffn_size),
          .out = take(c)};
}

// x += O (heads(...) * g). The input of each part i is ln1(x) + dx * x_i.
void Rwkv7::RunTimeMixing(int64_t layer, Chunks chunks, const Activations& a,
                          Workspace& workspace) const {
  const auto& w = weights().layers[layer];
  const int64_t c = a.x.width;
  Normalize(kernels(), workspace, w.ln1, a.x, a.normed);
  ShiftDifference(kernels(), workspace, chunks, layout().AttShift(layer),
                  a.normed, a.dx);
  const std::pair<const Vector&, const Rows&> shifts[] = {
      {w.att.x_r, a.xr}, {w.att.x_w, a.xw}, {w.att.x_k, a.xk},
      {w.att.x_v, a.xv}, {w.att.x_a, a.xa}, {w.att.x_g, a.xg}};
  ForEachRow(workspace, a.x.num, std::size(shifts) * c, [&](int64_t row) {
    for (const auto& [mix, y] : shifts) {
      kernels().mul_add(a.normed[row], a.dx[row], mix.data(), c, y[row]);
    }
  });
  Project(layer, a, workspace);
  ForEachHead(workspace, chunks, config().num_heads,
              [&](const Chunk& chunk, int64_t first, int64_t head) {
                RunHead(layer, head, chunk, first, a);
              });
  MatMul(kernels(), workspace, {{&w.att.output, a.y, a.out}});
  Add(kernels(), workspace, a.out, a.x);
}

// r = R xr, k = K xk, v = V xv, and, without their biases, which RunToken adds,
// w = tanh(xw W1) W2, a = (xa A1) A2, g = sigmoid(xg G1) G2 and
// v_mix = (xv V1) V2.
void Rwkv7::Project(int64_t layer, const Activations& a,
                    Workspace& workspace) const {
  const TimeMixing7& w = weights().layers[layer].att;
  // The large matrices come last: their tasks are small compared to the whole,
  // so the threads finish at about the same time.
  absl::InlinedVector<MatMulOperands, 7> down = {{&w.decay.down, a.xw, a.w_low},
                                                 {&w.rate.down, a.xa, a.a_low},
                                                 {&w.gate.down, a.xg, a.g_low}};
  absl::InlinedVector<MatMulOperands, 4> up = {{&w.decay.up, a.w_low, a.w},
                                               {&w.rate.up, a.a_low, a.a},
                                               {&w.gate.up, a.g_low, a.g}};
  if (layer > 0) {
    down.push_back({&w.value_mix.down, a.xv, a.v_low});
    up.push_back({&w.value_mix.up, a.v_low, a.v_mix});
  }
  down.insert(
      down.end(),
      {{&w.receptance, a.xr, a.r}, {&w.key, a.xk, a.k}, {&w.value, a.xv, a.v}});
  MatMul(kernels(), workspace, down);
  ForEachRow(workspace, a.x.num, a.w_low.width + a.g_low.width,
             [&](int64_t row) {
               kernels().tanh(a.w_low.width, a.w_low[row]);
               kernels().sigmoid(a.g_low.width, a.g_low[row]);
             });
  MatMul(kernels(), workspace, up);
}

// Runs one head over the tokens of `chunk`, in order.
void Rwkv7::RunHead(int64_t layer, int64_t head, const Chunk& chunk,
                    int64_t first, const Activations& a) const {
  const int64_t offset = layout().Head(layer, head);
  float* const state = chunk.state->values().data() + offset;
  const int64_t size = config().head_size, c = head * size;
  ForEachToken(first, static_cast<int64_t>(chunk.tokens.size()),
               {a.r, a.w, a.k, a.v, a.a, a.g, a.v_first, a.v_mix, a.y}, c, size,
               [&](int64_t row) {
                 RunToken(layer, head, row, a.kk[first] + c, state, a);
                 KeepInnerState(chunk, row - first, offset, size * size);
               });
}

// Runs one head for one token. `kk` [head_size] is scratch for the removal key.
void Rwkv7::RunToken(int64_t layer, int64_t head, int64_t row, float* kk,
                     float* state, const Activations& a) const {
  const TimeMixing7& att = weights().layers[layer].att;
  const KernelTable& on = kernels();
  const int64_t size = config().head_size, c = head * size;
  float *const r = a.r[row] + c, *const w = a.w[row] + c,
               *const k = a.k[row] + c, *const v = a.v[row] + c,
               *const rate = a.a[row] + c, *const y = a.y[row] + c,
               *const v_first = a.v_first[row] + c;

  // w = exp(-sigmoid(w0 + w) / sqrt(e)), a = sigmoid(a0 + a).
  on.add(att.decay.base.data() + c, size, w);
  on.decay7(size, w);
  on.add(att.rate.base.data() + c, size, rate);
  on.sigmoid(size, rate);

  // v += (v_first - v) * sigmoid(v0 + v_mix).
  if (layer == 0) {
    std::copy_n(v, size, v_first);
  } else {
    float* const mix = a.v_mix[row] + c;
    on.add(att.value_mix.base.data() + c, size, mix);
    on.sigmoid(size, mix);
    on.lerp(v_first, mix, size, v);
  }

  // kk = k * k_k / |k * k_k|, k *= 1 + (a - 1) * k_a.
  std::copy_n(k, size, kk);
  on.mul(att.k_k.data() + c, size, kk);
  on.normalize(size, kk);
  on.scale_key(rate, att.k_a.data() + c, size, k);

  on.wkv7({.r = r,
           .k = k,
           .v = v,
           .decay = w,
           .kk = kk,
           .a = rate,
           .state = state,
           .out = y},
          size);

  // y = (norm(y) + v * sum of r * k * r_k) * g.
  NormalizeHead(att.norm, head, y);
  on.add_bonus(r, k, att.r_k.data() + c, v, size, y);
  on.mul(a.g[row] + c, size, y);
}

// x += V max(K xk, 0)^2, where xk = ln2(x) + dx * x_k.
void Rwkv7::RunChannelMixing(int64_t layer, Chunks chunks, const Activations& a,
                             Workspace& workspace) const {
  const auto& w = weights().layers[layer];
  Normalize(kernels(), workspace, w.ln2, a.x, a.normed);
  ShiftDifference(kernels(), workspace, chunks, layout().FfnShift(layer),
                  a.normed, a.dx);
  ForEachRow(workspace, a.x.num, a.x.width, [&](int64_t row) {
    kernels().mul_add(a.normed[row], a.dx[row], w.ffn.x_k.data(), a.x.width,
                      a.xk[row]);
  });
  MatMul(kernels(), workspace, {{&w.ffn.key, a.xk, a.hidden}});
  SquaredRelu(kernels(), workspace, a.hidden);
  MatMul(kernels(), workspace, {{&w.ffn.value, a.hidden, a.out}});
  Add(kernels(), workspace, a.out, a.x);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadRwkv7(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, WeightReader& reader) {
  return LoadMatrixStateModel<Rwkv7>(config, options, std::move(file),
                                     MatrixState::Stored::kKeyByValue, reader,
                                     TakeWeights7(reader, config));
}

}  // namespace rwkvd
