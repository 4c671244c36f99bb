// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_GATED_FFN_H_
#define RWKVD_CORE_MODEL_GATED_FFN_H_

// Channel mixing of versions 4 to 6:
//   x += sigmoid(R xr) * V max(K xk, 0)^2,
// where xk and xr are mixtures of each token with the previous one. How they
// are mixed differs between the versions.

#include <string>

#include "absl/strings/string_view.h"
#include "core/kernels/kernel_table.h"
#include "core/model/config.h"
#include "core/model/matrix.h"
#include "core/model/weight_reader.h"
#include "core/model/workspace.h"

namespace rwkvd {

// C is the embedding size, F the number of hidden units.
struct GatedFfn {
  Vector mix_k, mix_r;  // [C]
  Matrix key;           // [F, C]
  Matrix receptance;    // [C, C]
  Matrix value;         // [C, F]
};

// `ffn` is the prefix of the tensors, `mix` that of the mixtures after it:
// "time_mix_" or "time_maa_".
GatedFfn TakeGatedFfn(WeightReader& reader, const std::string& ffn,
                      absl::string_view mix, const ModelConfig& config);

// The activations of a forward pass over T tokens.
struct GatedFfnRows {
  Rows xk, xr;      // [T, C], read
  Rows hidden;      // [T, F], overwritten
  Rows receptance;  // [T, C], overwritten
  Rows y;           // [T, C], overwritten
  Rows x;           // [T, C], the residual stream
};

void RunGatedFfn(const KernelTable& kernels, Workspace& workspace,
                 const GatedFfn& w, const GatedFfnRows& a);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_GATED_FFN_H_
