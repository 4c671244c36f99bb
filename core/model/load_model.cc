// SPDX-License-Identifier: Apache-2.0
#include "core/model/load_model.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/model/config.h"
#include "core/model/rwkv4.h"

namespace rwkvd {

absl::StatusOr<std::unique_ptr<const Model>> LoadModel(
    std::shared_ptr<const TensorFile> file, const ModelOptions& options) {
  RWKVD_ASSIGN_OR_RETURN(const ModelConfig config, DeduceConfig(*file));
  switch (config.architecture) {
    case Architecture::kRwkv4:
      return LoadRwkv4(config, std::move(file), *options.kernels);
    default:
      break;
  }
  RWKVD_CHECK(false);
}

}  // namespace rwkvd
