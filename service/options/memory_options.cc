// SPDX-License-Identifier: Apache-2.0
#include "service/options/memory_options.h"

#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(std::string, memory_limit, "0",
          "The memory that the server may use: a number of MiB, or a number "
          "with a unit (B, KiB, MiB, GiB). From it, the server derives the "
          "defaults of other flags, and it does not start if the model and the "
          "given flags need more. 0 detects the limit of the control group, or "
          "takes the physical memory.");
ABSL_FLAG(int32_t, max_message_mib, 16,
          "The maximum size of a request message, in MiB. Larger ones are "
          "refused with RESOURCE_EXHAUSTED."
          " The default is lower if the memory limit requires it.");

namespace rwkvd {
namespace {

// A number of MiB or a number with a unit, as bytes; 0 stands for detection.
absl::StatusOr<int64_t> ParseMemory(const std::string& text) {
  constexpr std::pair<absl::string_view, int> kUnits[] = {
      {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"B", 0}, {"", 20}};
  constexpr int64_t kMaxBytes = int64_t{1} << 50;
  for (const auto& [unit, shift] : kUnits) {
    absl::string_view digits = text;
    if (!absl::ConsumeSuffix(&digits, unit)) continue;
    int64_t number = 0;
    if (!absl::c_all_of(digits, absl::ascii_isdigit) ||
        !absl::SimpleAtoi(digits, &number) || number > kMaxBytes >> shift) {
      break;
    }
    return number << shift;
  }
  return FlagError(
      "memory_limit", Quoted(text),
      " is not a number of MiB, or a number with a unit (B, KiB, MiB, GiB), "
      "in [0, 1048576GiB]");
}

}  // namespace

absl::Status ReadMemoryFlags(MemoryOptions* options) {
  RWKVD_ASSIGN_OR_RETURN(options->memory_limit_bytes,
                         ParseMemory(absl::GetFlag(FLAGS_memory_limit)));
  const int32_t message_mib = absl::GetFlag(FLAGS_max_message_mib);
  RWKVD_RETURN_IF_ERROR(CheckRange("max_message_mib", message_mib, 1, 1024));
  options->max_message_bytes = message_mib << 20;
  return absl::OkStatus();
}

}  // namespace rwkvd
