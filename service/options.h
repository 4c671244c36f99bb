// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/engine_options.h"
#include "core/engine/named_state.h"
#include "core/model/model_options.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// An initial state that requests can choose: the flag
// --initial_state=NAME=PATH.
struct NamedPath {
  std::string name;
  std::string path;
};

inline constexpr absl::Duration kMaxConnectionAge = absl::Minutes(30);

// The command line of rwkvd. A value; what ParseOptions returns is valid. Each
// field is named after its flag; docs/flags.md describes the flags.
struct Options {
  bool help = false;     // print OptionsHelp() and exit
  bool version = false;  // print the version and exit
  // The names of the flags on the command line. PlanMemory does not change what
  // they set.
  absl::flat_hash_set<std::string> given_flags;

  std::string model;
  std::string tokenizer;   // empty: found in the model's folder
  std::string model_name;  // empty: the name of the model's file or folder
  WeightKind weights = WeightKind::kAsStored;
  float group_norm_epsilon = kGroupNormEpsilon;
  std::vector<NamedPath> initial_states;  // names are unique
  std::string default_initial_state = kOwnStateName;
  bool preload = false;

  std::string listen = "127.0.0.1:0";
  std::string metrics_listen;            // empty: no metrics
  std::string port_file;                 // empty: none is written
  int32_t max_connections = 0;           // 0: derived
  int32_t max_connections_per_peer = 0;  // 0: derived
  int32_t max_streams_per_connection = 100;
  bool reflection = true;

  std::string state_dir;  // empty: states are saved in memory
  int64_t state_store_bytes = int64_t{256} << 20;
  absl::Duration state_ttl = absl::Hours(1);
  int64_t max_pending_states_bytes = int64_t{1} << 30;

  int32_t threads = 0;  // 0: as many CPUs as the process may use
  std::string isa = "auto";
  EngineOptions engine;
  int32_t max_message_bytes = 16 << 20;
  // ScoreDocument calls that may be open at the same time.
  int32_t max_documents = 64;

  int64_t memory_limit_bytes = 0;  // 0: detected
  // Limits of MemoryBudgets.
  int64_t request_memory_bytes = int64_t{256} << 20;
  int64_t response_memory_bytes = int64_t{128} << 20;
  // What gRPC may use for connections and for messages that are incomplete.
  int64_t grpc_memory_bytes = int64_t{160} << 20;

  // Limits of CallMonitor; > 0.
  absl::Duration unread_timeout = absl::Minutes(1);
  absl::Duration stream_idle_timeout = absl::Minutes(1);

  absl::Duration drain_grace = absl::Seconds(20);
  absl::Duration lame_duck = absl::ZeroDuration();
  absl::Duration max_connection_age = kMaxConnectionAge;  // 0: no limit
  absl::Duration max_connection_age_grace = absl::InfiniteDuration();
  std::string log_level = "info";
};

// Parses the command line, which does not include the program's name.
// InvalidArgument with the flag, its value and the values that are allowed.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args);

// The text that --help prints.
std::string OptionsHelp();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_H_
