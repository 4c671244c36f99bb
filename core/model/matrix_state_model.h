// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MATRIX_STATE_MODEL_H_
#define RWKVD_CORE_MODEL_MATRIX_STATE_MODEL_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/blocks.h"
#include "core/model/matrix_state.h"
#include "core/model/model_options.h"
#include "core/model/skeleton.h"
#include "core/model/weight_reader.h"

namespace rwkvd {

// The base of versions 5 to 7, whose heads remember matrices, and whose
// checkpoints can bring a tuned initial state.
//
// Thread-safe (immutable).
template <class TimeMixing, class ChannelMixing, class Activations>
class MatrixStateModel
    : public Skeleton<TimeMixing, ChannelMixing, Activations> {
  using SkeletonBase = Skeleton<TimeMixing, ChannelMixing, Activations>;

 public:
  MatrixStateModel(const ModelConfig& config, const ModelOptions& options,
                   std::shared_ptr<const TensorFile> file,
                   typename SkeletonBase::Weights weights,
                   const MatrixState& layout, State initial)
      : SkeletonBase(config, options, std::move(file), std::move(weights)),
        group_norm_epsilon_(options.group_norm_epsilon),
        layout_(layout),
        initial_(std::move(initial)) {}

  State NewState() const final { return initial_; }
  absl::StatusOr<State> NewTunedState(const TensorFile& file) const final {
    return layout_.Tuned(file);
  }

 protected:
  const MatrixState& layout() const { return layout_; }

  // Normalizes y [head_size], the output of `head`, as a group of its own.
  // `norm` is [attention_size].
  void NormalizeHead(const LayerNorm& norm, int64_t head, float* y) const {
    const int64_t size = this->config().head_size, first = head * size;
    this->kernels().layer_norm(y, norm.weight.data() + first,
                               norm.bias.data() + first, group_norm_epsilon_,
                               size, y);
  }

 private:
  const float group_norm_epsilon_;
  const MatrixState layout_;
  const State initial_;
};

// Loads a `Version`, which derives from MatrixStateModel, with the weights that
// were taken from `reader`.
template <class Version>
absl::StatusOr<std::unique_ptr<const LayeredModel>> LoadMatrixStateModel(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file, MatrixState::Stored stored,
    WeightReader& reader, typename Version::Weights weights) {
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    reader.LeaveAside(absl::StrCat("blocks.", layer, ".att.time_state"));
  }
  RWKVD_RETURN_IF_ERROR(reader.status());
  const MatrixState layout(config, stored);
  RWKVD_ASSIGN_OR_RETURN(State initial, layout.Initial(*file));
  return std::make_unique<const Version>(
      config, options, reader.Owner(std::move(file)), std::move(weights),
      layout, std::move(initial));
}

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MATRIX_STATE_MODEL_H_
