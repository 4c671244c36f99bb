// SPDX-License-Identifier: Apache-2.0
#include "service/options/options.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cli/command_line.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kFlagFiles[] = {
    "service/options/adapter_options.cc",
    "service/options/auth_options.cc",
    "service/options/compute_options.cc",
    "service/options/initial_state_options.cc",
    "service/options/load_options.cc",
    "service/options/memory_options.cc",
    "service/options/network_options.cc",
    "service/options/process_options.cc",
    "service/options/redis_flags.cc",
    "service/options/saved_state_options.cc",
    "service/options/telemetry_options.cc",
    "service/options/tls_options.cc",
};

absl::Status ReadFlags(Options* options) {
  RWKVD_RETURN_IF_ERROR(ReadLoadFlags(options));
  RWKVD_RETURN_IF_ERROR(ReadAdapterFlags(options));
  RWKVD_RETURN_IF_ERROR(ReadAuthFlags(options));
  RWKVD_RETURN_IF_ERROR(ReadInitialStateFlags(options));
  RWKVD_RETURN_IF_ERROR(ReadNetworkFlags(options));
  RWKVD_RETURN_IF_ERROR(ReadComputeFlags(options));
  RWKVD_RETURN_IF_ERROR(ReadSavedStateFlags(options));
  RWKVD_RETURN_IF_ERROR(ReadMemoryFlags(options));
  RWKVD_RETURN_IF_ERROR(ReadProcessFlags(options));
  RWKVD_RETURN_IF_ERROR(ReadTelemetryFlags(options));
  return ReadTlsFlags(options);
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args) {
  RWKVD_ASSIGN_OR_RETURN(const CommandLine line,
                         ParseCommandLine(args, kFlagFiles));
  Options options;
  options.given_flags = line.flags;
  options.help = line.help;
  options.version = line.version;
  if (line.help || line.version) return options;
  if (!line.arguments.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected argument ", Quoted(line.arguments[0]),
                     " (--help lists the flags)"));
  }
  RWKVD_RETURN_IF_ERROR(ReadFlags(&options));
  return options;
}

std::vector<std::string> OptionsInForce() { return ChangedFlags(kFlagFiles); }

std::string OptionsHelp() {
  return absl::StrCat(
      "rwkvd serves an RWKV language model over gRPC (rwkv.v1.RwkvService).\n\n"
      "    rwkvd --model=FILE_OR_FOLDER [flags]\n\n"
      "SIGTERM or SIGINT ends it gracefully. It logs to the standard output. "
      "If "
      "it cannot\nstart, it prints the reason in one line to the standard "
      "error.\n\n",
      DescribeFlags(kFlagFiles),
      "  --version\n      Print the version and exit.\n"
      "  --help\n      Print this text and exit.\n");
}

}  // namespace rwkvd
