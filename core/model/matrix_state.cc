// SPDX-License-Identifier: Apache-2.0
#include "core/model/matrix_state.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/model/weight_reader.h"

namespace rwkvd {

State MatrixState::Zero() const {
  return State(std::vector<float>(AttShift(config_.num_layers), 0.0f));
}

absl::StatusOr<State> MatrixState::Initial(const TensorFile& file) const {
  const bool is_tuned = std::any_of(
      file.tensors().begin(), file.tensors().end(), [](const auto& tensor) {
        return absl::EndsWith(tensor.first, ".att.time_state");
      });
  if (!is_tuned) return Zero();
  return Tuned(file);
}

absl::StatusOr<State> MatrixState::Tuned(const TensorFile& file) const {
  const std::vector<int64_t> expected = {config_.num_heads, config_.head_size,
                                         config_.head_size};
  State state = Zero();
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    const std::string name = absl::StrCat("blocks.", layer, ".att.time_state");
    const Tensor* tensor = file.Find(name);
    const bool is_bytes = tensor != nullptr && tensor->dtype == DType::kU8;
    if (tensor == nullptr || tensor->shape != expected || is_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          file.path(), ": tensor ", Quoted(name), ": expected ",
          ShapeString(expected), ", one matrix per head of this model, got ",
          tensor == nullptr ? "none"
                            : absl::StrCat(is_bytes ? "U8 " : "",
                                           ShapeString(tensor->shape))));
    }
    const std::vector<float> values = ToFloat(
        stored_ == Stored::kKeyByValue ? *tensor : Transposed(*tensor, 1, 2));
    const auto bad = std::find_if_not(values.begin(), values.end(),
                                      [](float v) { return std::isfinite(v); });
    if (bad != values.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          file.path(), ": tensor ", Quoted(name), ": element ",
          bad - values.begin(), " is ", *bad, ", expected finite numbers"));
    }
    std::copy(values.begin(), values.end(),
              state.values().begin() + Head(layer, 0));
  }
  // The file may belong to a model with more layers.
  const std::string beyond =
      absl::StrCat("blocks.", config_.num_layers, ".att.time_state");
  if (file.Find(beyond) != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        file.path(), ": tensor ", Quoted(beyond), ": expected ",
        config_.num_layers, " layers, as many as this model has, got more"));
  }
  return state;
}

}  // namespace rwkvd
