// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MATRIX_STATE_MODEL_H_
#define RWKVD_CORE_MODEL_MATRIX_STATE_MODEL_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/tensor_file.h"
#include "core/kernels/kernel_table.h"
#include "core/model/blocks.h"
#include "core/model/matrix_state.h"
#include "core/model/model_options.h"
#include "core/model/stepwise_model.h"
#include "core/model/weight_reader.h"
#include "core/model/workspace.h"

namespace rwkvd {

// What versions 5 to 7 have in common beside their blocks: heads that remember
// matrices, and a state to begin with that a checkpoint may bring.
//
// Thread-safe (immutable once loaded).
class MatrixStateModel : public StepwiseModel {
 public:
  using Chunks = absl::Span<const Chunk>;

  const ModelConfig& config() const final { return config_; }
  State NewState() const final { return initial_; }
  absl::StatusOr<State> NewTunedState(const TensorFile& file) const final {
    return layout_.Tuned(file);
  }

  // Takes the state to begin with from the checkpoint, if it has one. Called
  // once, before anything else.
  absl::Status LoadInitialState();

 protected:
  // `file` is kept alive for the weights that view it.
  MatrixStateModel(const ModelConfig& config, const ModelOptions& options,
                   std::shared_ptr<const TensorFile> file,
                   MatrixState::Stored stored);

  const MatrixState& layout() const { return layout_; }
  const KernelTable& kernels() const { return kernels_; }

  // y [head_size], the output of `head`, is normalised as a group of its own.
  // `norm` is [attention_size].
  void NormalizeHead(const LayerNorm& norm, int64_t head, float* y) const;

 private:
  const ModelConfig config_;
  const std::shared_ptr<const TensorFile> file_;
  const KernelTable& kernels_;
  const float group_norm_epsilon_;
  const MatrixState layout_;
  State initial_;
};

// Loads a Network, which is made of (config, options, file, weights).
template <class Network, class Weights>
absl::StatusOr<std::unique_ptr<const StepwiseModel>> LoadMatrixStateModel(
    const ModelConfig& config, const ModelOptions& options,
    std::shared_ptr<const TensorFile> file,
    Weights (*take_weights)(WeightReader&, const ModelConfig&)) {
  WeightReader reader(*file, options);
  Weights weights = take_weights(reader, config);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    reader.LeaveAside(absl::StrCat("blocks.", layer, ".att.time_state"));
  }
  RWKVD_RETURN_IF_ERROR(reader.status());
  auto model = std::make_unique<Network>(
      config, options, reader.Owner(std::move(file)), std::move(weights));
  RWKVD_RETURN_IF_ERROR(model->LoadInitialState());
  return model;
}

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MATRIX_STATE_MODEL_H_
