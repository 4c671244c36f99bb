// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_SKELETON_H_
#define RWKVD_CORE_MODEL_SKELETON_H_

// The parts that versions 4 to 7 have in common: an embedding, layers of time
// mixing and channel mixing, a head, and activations that are laid out once per
// forward pass. Each version adds what its layers compute.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/checkpoint/tensor_file.h"
#include "core/kernels/kernel_table.h"
#include "core/model/blocks.h"
#include "core/model/layered_model.h"
#include "core/model/model_options.h"
#include "core/model/weight_reader.h"
#include "core/model/workspace.h"

namespace rwkvd {

// The weights of a layer. C is the embedding size.
template <class TimeMixing, class ChannelMixing>
struct Layer {
  LayerNorm ln1;  // [C]
  TimeMixing att;
  LayerNorm ln2;  // [C]
  ChannelMixing ffn;
};

// The weights of a model. V is the vocabulary size.
template <class TimeMixing, class ChannelMixing>
struct ModelWeights {
  Matrix embedding;  // [V, C]
  LayerNorm ln0;     // [C], or empty
  std::vector<Layer<TimeMixing, ChannelMixing>> layers;
  LayerNorm ln_out;  // [C]
  Matrix head;       // [V, C]
};

// Takes the weights of a model. `take_att(layer, prefix)` takes those of a
// layer's time mixing, whose tensor names begin with `prefix`, and
// `take_ffn(prefix)` those of its channel mixing.
template <class Weights, class TakeAtt, class TakeFfn>
Weights TakeModelWeights(WeightReader& reader, const ModelConfig& config,
                         TakeAtt take_att, TakeFfn take_ffn) {
  const int64_t c = config.embedding_size;
  Weights w;
  w.embedding = reader.TakeEmbedding("emb.weight", config.vocab_size, c);
  w.ln0 = TakeEmbeddingNorm(reader, config);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    w.layers.push_back({.ln1 = TakeLayerNorm(reader, block + "ln1", c),
                        .att = take_att(i, block + "att."),
                        .ln2 = TakeLayerNorm(reader, block + "ln2", c),
                        .ffn = take_ffn(block + "ffn.")});
  }
  w.ln_out = TakeLayerNorm(reader, "ln_out", c);
  w.head = reader.TakeMatrix("head.weight", config.vocab_size, c);
  return w;
}

// The base of all versions. ActivationsT is a struct of Rows, among them `x`,
// the residual stream, and `normed`, each [T, C] for a pass over T tokens.
//
// Thread-safe (immutable).
template <class TimeMixing, class ChannelMixing, class ActivationsT>
class Skeleton : public LayeredModel {
 public:
  using Weights = ModelWeights<TimeMixing, ChannelMixing>;
  using Activations = ActivationsT;
  using Chunks = absl::Span<const Chunk>;

  // `file` is kept alive for the weights that view it.
  Skeleton(const ModelConfig& config, const ModelOptions& options,
           std::shared_ptr<const TensorFile> file, Weights weights)
      : config_(config),
        file_(std::move(file)),
        weights_(std::move(weights)),
        kernels_(*options.kernels) {}

  const ModelConfig& config() const final { return config_; }

  Workspace NewWorkspace(int64_t max_rows, ThreadPool* pool) const final {
    int64_t floats = 0;
    LayOut([&](int64_t width) {
      floats += Workspace::Size(max_rows, width);
      return Rows();
    });
    return Workspace(floats, max_rows, pool);
  }

  void Forward(Chunks chunks, Workspace& workspace) const final {
    Pass pass(*this, chunks, workspace);
    pass.Embed();
    for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
      pass.RunTimeMixing(layer);
      pass.RunChannelMixing(layer);
    }
    pass.ComputeLogits();
  }

  std::unique_ptr<ForwardPass> BeginPass(Chunks chunks,
                                         Workspace& workspace) const final {
    return std::make_unique<Pass>(*this, chunks, workspace);
  }

 protected:
  // Returns `width` floats for each token of a pass.
  using TakeRows = absl::FunctionRef<Rows(int64_t width)>;

  const Weights& weights() const { return weights_; }
  const KernelTable& kernels() const { return kernels_; }

 private:
  class Pass final : public ForwardPass {
   public:
    Pass(const Skeleton& model, Chunks chunks, Workspace& workspace)
        : model_(model),
          chunks_(chunks),
          workspace_(workspace),
          a_(model.TakeActivations(chunks, workspace)) {}

    void Embed() override {
      EmbedTokens(model_.kernels_, workspace_, chunks_,
                  model_.weights_.embedding, model_.weights_.ln0, a_.x);
    }
    void RunTimeMixing(int64_t layer) override {
      model_.RunTimeMixing(layer, chunks_, a_, workspace_);
    }
    void RunChannelMixing(int64_t layer) override {
      model_.RunChannelMixing(layer, chunks_, a_, workspace_);
    }
    void ComputeLogits() override {
      FillLogits(model_.kernels_, workspace_, chunks_, model_.weights_.ln_out,
                 model_.weights_.head, a_.x, a_.normed);
    }
    std::vector<Rows> CarriedActivations() const override {
      return model_.CarriedActivations(a_);
    }

   private:
    const Skeleton& model_;
    const Chunks chunks_;
    Workspace& workspace_;
    const Activations a_;
  };

  Activations TakeActivations(Chunks chunks, Workspace& workspace) const {
    const int64_t num_rows = NumRows(chunks);
    workspace.Reset();
    return LayOut(
        [&](int64_t width) { return workspace.Take(num_rows, width); });
  }

  // Calls `take` once for each member of Activations, always in the same order.
  virtual Activations LayOut(TakeRows take) const = 0;
  // Add the output of a layer's block to a.x.
  virtual void RunTimeMixing(int64_t layer, Chunks chunks, const Activations& a,
                             Workspace& workspace) const = 0;
  virtual void RunChannelMixing(int64_t layer, Chunks chunks,
                                const Activations& a,
                                Workspace& workspace) const = 0;
  virtual std::vector<Rows> CarriedActivations(const Activations& a) const {
    return {a.x};
  }

  const ModelConfig config_;
  const std::shared_ptr<const TensorFile> file_;
  const Weights weights_;
  const KernelTable& kernels_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_SKELETON_H_
