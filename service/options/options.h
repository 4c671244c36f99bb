// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "service/options/adapter_options.h"
#include "service/options/auth_options.h"
#include "service/options/compute_options.h"
#include "service/options/initial_state_options.h"
#include "service/options/load_options.h"
#include "service/options/memory_options.h"
#include "service/options/network_options.h"
#include "service/options/process_options.h"
#include "service/options/saved_state_options.h"
#include "service/options/telemetry_options.h"
#include "service/options/tls_options.h"

namespace rwkvd {

// The command line of rwkvd. A value; what ParseOptions returns is valid. Each
// base contains the options of one topic, named after their flags; the .cc file
// of the topic defines and checks these flags. docs/flags.md describes them.
struct Options : LoadOptions,
                 AdapterOptions,
                 AuthOptions,
                 InitialStateOptions,
                 NetworkOptions,
                 ComputeOptions,
                 SavedStateOptions,
                 MemoryOptions,
                 ProcessOptions,
                 TelemetryOptions,
                 TlsOptions {
  bool help = false;     // print OptionsHelp() and exit
  bool version = false;  // print the version and exit
  // The names of the flags on the command line. PlanMemory does not change what
  // they set.
  absl::flat_hash_set<std::string> given_flags;
};

// Parses the command line, which does not include the program's name.
// InvalidArgument with the flag, its value and the values that are allowed.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args);

// The flags that the command line has set to other values than their defaults,
// one per line of the log (see ChangedFlags). No flag of rwkvd holds a secret.
std::vector<std::string> OptionsInForce();

// The text that --help prints.
std::string OptionsHelp();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_OPTIONS_H_
