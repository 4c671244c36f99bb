// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_MATRIX_STATE_H_
#define RWKVD_CORE_MODEL_MATRIX_STATE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/config.h"
#include "core/model/state.h"

namespace rwkvd {

// The layout of the state of versions 5 to 7, whose heads remember matrices.
// For each layer: the last input of time mixing [C], the matrices of the heads
// [heads][size key channels][size value channels], and the last input of
// channel mixing [C]. C is the embedding size. A value.
class MatrixState {
 public:
  // The order in which a checkpoint stores the matrices of a tuned initial
  // state: BlinkDL's kernels of versions 5 and 6 and of version 7 differ.
  enum class Stored { kValueByKey, kKeyByValue };

  MatrixState(const ModelConfig& config, Stored stored)
      : config_(config), stored_(stored) {}

  // The offsets of the parts of a state.
  int64_t AttShift(int64_t layer) const { return layer * LayerSize(); }
  int64_t Head(int64_t layer, int64_t head) const {
    return AttShift(layer) + config_.embedding_size + head * HeadSize();
  }
  int64_t FfnShift(int64_t layer) const {
    return Head(layer, config_.num_heads);
  }

  // The state before the first token of a model: the tuned state in its
  // checkpoint `file`, or zero if there is none. Errors are those of Tuned.
  absl::StatusOr<State> Initial(const TensorFile& file) const;

  // The tuned state in `file`: its matrices are the tensors
  // blocks.N.att.time_state, everything else is zero. InvalidArgument as
  // Model::NewTunedState.
  absl::StatusOr<State> Tuned(const TensorFile& file) const;

 private:
  State Zero() const;
  int64_t HeadSize() const { return config_.head_size * config_.head_size; }
  int64_t LayerSize() const {
    return 2 * config_.embedding_size + config_.num_heads * HeadSize();
  }

  const ModelConfig config_;
  const Stored stored_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_MATRIX_STATE_H_
