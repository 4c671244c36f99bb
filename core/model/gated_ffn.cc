// SPDX-License-Identifier: Apache-2.0
#include "core/model/gated_ffn.h"

#include "absl/strings/str_cat.h"
#include "core/model/blocks.h"

namespace rwkvd {

GatedFfn TakeGatedFfn(WeightReader& reader, const std::string& ffn,
                      absl::string_view mix, const ModelConfig& config) {
  const int64_t c = config.embedding_size, f = config.ffn_size;
  GatedFfn w;
  w.mix_k = reader.TakeVector(absl::StrCat(ffn, mix, "k"), c);
  w.mix_r = reader.TakeVector(absl::StrCat(ffn, mix, "r"), c);
  w.key = reader.TakeMatrix(ffn + "key.weight", f, c);
  w.receptance = reader.TakeMatrix(ffn + "receptance.weight", c, c);
  w.value = reader.TakeMatrix(ffn + "value.weight", c, f);
  return w;
}

void RunGatedFfn(const KernelTable& kernels, Workspace& workspace,
                 const GatedFfn& w, const GatedFfnRows& a) {
  MatMul(kernels, workspace,
         {{&w.key, a.xk, a.hidden}, {&w.receptance, a.xr, a.receptance}});
  SquaredRelu(kernels, workspace, a.hidden);
  MatMul(kernels, workspace, {{&w.value, a.hidden, a.y}});
  ForEachRow(workspace, a.x.num, a.x.width, [&](int64_t row) {
    kernels.add_gated(a.receptance[row], a.y[row], a.x.width, a.x[row]);
  });
}

}  // namespace rwkvd
