// SPDX-License-Identifier: Apache-2.0
#include "core/model/matrix_state_model.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace rwkvd {

MatrixStateModel::MatrixStateModel(const ModelConfig& config,
                                   const ModelOptions& options,
                                   std::shared_ptr<const TensorFile> file,
                                   MatrixState::Stored stored)
    : config_(config),
      file_(std::move(file)),
      kernels_(*options.kernels),
      group_norm_epsilon_(options.group_norm_epsilon),
      layout_(config, stored),
      initial_(layout_.Zero()) {}

absl::Status MatrixStateModel::LoadInitialState() {
  const bool is_tuned = std::any_of(
      file_->tensors().begin(), file_->tensors().end(), [](const auto& tensor) {
        return absl::EndsWith(tensor.first, ".att.time_state");
      });
  if (!is_tuned) return absl::OkStatus();
  RWKVD_ASSIGN_OR_RETURN(initial_, layout_.Tuned(*file_));
  return absl::OkStatus();
}

void MatrixStateModel::NormalizeHead(const LayerNorm& norm, int64_t head,
                                     float* y) const {
  const int64_t size = config_.head_size, first = head * size;
  kernels_.layer_norm(y, norm.weight.data() + first, norm.bias.data() + first,
                      group_norm_epsilon_, size, y);
}

}  // namespace rwkvd
