// SPDX-License-Identifier: Apache-2.0
#include "service/options/adapter_options.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "cli/command_line.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(rwkvd::RepeatedFlag, adapter, {},
          "[NAME=]PATH: a LoRA adapter that is merged into the weights during "
          "loading: a folder of PEFT, with adapter_config.json, or a .pth file "
          "of RWKV-PEFT. The changed matrices are copies in memory. May be "
          "given several times.");
ABSL_FLAG(double, adapter_alpha, 0,
          "The alpha (lora_alpha) with which adapters were trained that do not "
          "contain it, as the .pth files of RWKV-PEFT. 0 stands for none.");

namespace rwkvd {

absl::Status ReadAdapterFlags(AdapterOptions* options) {
  for (const std::string& text : absl::GetFlag(FLAGS_adapter).values) {
    absl::StatusOr<AdapterPath> adapter = ParseAdapterPath(text);
    if (!adapter.ok()) return FlagError("adapter", adapter.status().message());
    options->adapters.push_back(*std::move(adapter));
  }
  const double alpha = absl::GetFlag(FLAGS_adapter_alpha);
  if (alpha == 0) return absl::OkStatus();
  if (!std::isfinite(alpha)) {
    return FlagError("adapter_alpha", alpha, " is not a finite number");
  }
  if (options->adapters.empty()) {
    return FlagError("adapter_alpha", "requires --adapter");
  }
  options->adapter_alpha = alpha;
  return absl::OkStatus();
}

}  // namespace rwkvd
