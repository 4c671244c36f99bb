// SPDX-License-Identifier: Apache-2.0
#include "service/options.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "cli/command_line.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "core/kernels/targets/supported_kernels.h"
#include "service/listener/listening_sockets.h"

ABSL_FLAG(std::string, model, "",
          "Required. The model: a .safetensors, .st or .pth file, a "
          "model.safetensors.index.json or pytorch_model.bin.index.json, or a "
          "folder with one of these.");
ABSL_FLAG(std::string, tokenizer, "",
          "The tokenizer: a World vocabulary (.txt), a tokenizer.json, or the "
          "word \"bytes\". If empty, the server looks for it in the folder of "
          "the model.");
ABSL_FLAG(std::string, model_name, "",
          "The name of the model in responses and metrics. If empty, the name "
          "of the model's file or folder.");
ABSL_FLAG(rwkvd::RepeatedFlag, initial_state, {},
          "NAME=PATH: an initial state that requests can choose by this name "
          "(1 to 64 letters, digits, \".\", \"_\" and \"-\"). The file is a "
          "state-tuned .pth or .safetensors file, or a saved state of this "
          "model. May be given several times.");
ABSL_FLAG(std::string, default_initial_state, rwkvd::kOwnStateName,
          "The initial state of requests that do not choose one: the name of "
          "an --initial_state, or \"model\" for the model's own state, which "
          "is zero unless its checkpoint contains a tuned one.");
ABSL_FLAG(std::string, weights, "as_stored",
          "The type of the large weight matrices: as_stored, int8, "
          "\"int8,mixed\" (int8, except the head, ffn.key and ffn.value), "
          "int4, or \"int4,mixed\" (int4, with the head in int8). Matrices are "
          "quantized during loading; rwkv-convert --weights does that once, "
          "in advance. as_stored maps the file without copying it.");
ABSL_FLAG(float, group_norm_epsilon, rwkvd::kGroupNormEpsilon,
          "The epsilon that is added to the variance in the group "
          "normalization of RWKV-5 to RWKV-7. The default is that of the "
          "official implementations. rwkv.cpp's small test models of RWKV-5 "
          "need 1e-5.");
ABSL_FLAG(bool, preload, false,
          "Read the model's files once before the server reports SERVING, so "
          "that the first requests do not wait for the disk.");
ABSL_FLAG(std::string, listen, "127.0.0.1:50051",
          "The address of the gRPC server: host:port (port 0 chooses a free "
          "one; an IPv6 address in brackets) or unix:path.");
ABSL_FLAG(std::string, metrics_listen, "127.0.0.1:9464",
          "The address at which Prometheus finds /metrics: host:port or "
          "unix:path. If empty, there are no metrics.");
ABSL_FLAG(int32_t, max_connections, 0,
          "The maximum number of connections. Further ones are closed at once. "
          "0 derives it from the limit of open files and the memory limit.");
ABSL_FLAG(int32_t, max_connections_per_peer, 0,
          "The maximum number of connections from one IPv4 address or one IPv6 "
          "network of 64 bits. Further ones are closed at once. 0 stands for a "
          "quarter of --max_connections. Raise it if a proxy connects for many "
          "clients. It does not apply to a unix:path.");
ABSL_FLAG(int32_t, max_streams_per_connection,
          rwkvd::Options().max_streams_per_connection,
          "The maximum number of calls at the same time on one connection. "
          "Clients wait before they start more. In [1, 10000].");
ABSL_FLAG(bool, reflection, true,
          "Serve gRPC's reflection protocol, by which grpcurl and other tools "
          "learn the contract.");
ABSL_FLAG(int32_t, threads, 0,
          "The number of compute threads. 0 chooses it from the available "
          "CPUs and the CPU quota of the control group.");
ABSL_FLAG(std::string, isa, "auto",
          "The instruction set of the kernels. auto chooses the best one that "
          "this processor supports.");
ABSL_FLAG(int32_t, max_running, rwkvd::EngineOptions().max_running,
          "The maximum number of requests that run at the same time. In "
          "[1, 4096]."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int32_t, max_queued, rwkvd::EngineOptions().max_queued,
          "The maximum number of requests in the queue. Further requests are "
          "refused with RESOURCE_EXHAUSTED.");
ABSL_FLAG(int32_t, max_step_tokens, rwkvd::EngineOptions().max_step_tokens,
          "The maximum number of tokens in one forward pass, of prompts and "
          "outputs together. More than --max_running."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(double, max_decode_slowdown,
          rwkvd::EngineOptions().max_decode_slowdown,
          "How many times longer a step may take because it also prefills "
          "prompts, compared with a step that only decodes. Lower values give "
          "a more even stream of tokens, higher values a shorter time to the "
          "first token. In (1, 1000].");
ABSL_FLAG(int64_t, max_prompt_tokens, rwkvd::EngineOptions().max_prompt_tokens,
          "The maximum number of tokens in a prompt, or in a context together "
          "with its longest continuation."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int64_t, max_generated_tokens,
          rwkvd::EngineOptions().max_generated_tokens,
          "The maximum for a request's max_tokens."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(absl::Duration, max_queue_time, rwkvd::EngineOptions().max_queue_time,
          "The maximum time in the queue. Requests that have waited longer are "
          "refused with RESOURCE_EXHAUSTED. inf sets no maximum.");
ABSL_FLAG(int64_t, max_total_tokens, rwkvd::EngineOptions().max_total_tokens,
          "The maximum number of tokens of all running and queued requests, "
          "counting their prompts and max_tokens. Further requests are refused "
          "with RESOURCE_EXHAUSTED. At least --max_prompt_tokens plus "
          "--max_generated_tokens."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int64_t, state_cache_mib,
          rwkvd::EngineOptions().state_cache_bytes >> 20,
          "The memory for the states of earlier prompts, in MiB. 0 turns the "
          "state cache off."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int64_t, state_cache_interval,
          rwkvd::EngineOptions().state_cache_interval,
          "The number of prompt tokens between two states that are stored "
          "during the prefill, so that prompts with the same beginning share "
          "them. It is doubled until a prompt stores at most 8. 0 stores only "
          "the state after the prompt.");
ABSL_FLAG(int64_t, pinned_states_mib,
          rwkvd::EngineOptions().max_pinned_bytes >> 20,
          "The memory for the states of pinned prompts, in MiB, in addition to "
          "--state_cache_mib."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(int32_t, max_pinned_states, rwkvd::EngineOptions().max_pinned,
          "The maximum number of pinned prompts.");
ABSL_FLAG(std::string, state_dir, "",
          "The directory for states that are saved for clients. It survives a "
          "restart, and several servers of one user may share it. The server "
          "creates it with mode 0700, or makes it private if it contains saved "
          "states only. If empty, these states are kept in memory.");
ABSL_FLAG(int64_t, state_store_mib, 256,
          "The maximum size of all states that are saved for clients, in MiB. "
          "No state is deleted before it expires; further ones are refused "
          "with RESOURCE_EXHAUSTED."
          " The default is lower if the memory limit requires it.");
ABSL_FLAG(absl::Duration, state_ttl, absl::Hours(1),
          "How long a state is saved if the client does not choose a time.");
ABSL_FLAG(int64_t, max_pending_states_mib, 1024,
          "The maximum size of all saved states that have been loaded for "
          "queued requests, in MiB. Further such requests are refused with "
          "RESOURCE_EXHAUSTED; a single one is always accepted."
          " The default is lower if the memory limit requires it.");
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
ABSL_FLAG(absl::Duration, unread_timeout, absl::Minutes(1),
          "How long a client may take to read the next message of a response. "
          "Then the call ends with RESOURCE_EXHAUSTED. inf sets no limit.");
ABSL_FLAG(absl::Duration, stream_idle_timeout, absl::Minutes(1),
          "How long a client may take to send the next message of a PutState "
          "or ScoreDocument call. Then the call ends with DEADLINE_EXCEEDED. "
          "inf sets no limit.");
ABSL_FLAG(absl::Duration, drain_grace, absl::Seconds(20),
          "How long accepted requests may continue after SIGTERM or SIGINT. A "
          "second signal, or SIGQUIT, ends them at once.");
ABSL_FLAG(absl::Duration, lame_duck, absl::ZeroDuration(),
          "How long requests are still accepted after SIGTERM or SIGINT, while "
          "the health service already reports NOT_SERVING. Then clients are "
          "sent to other servers.");
ABSL_FLAG(absl::Duration, max_connection_age, rwkvd::kMaxConnectionAge,
          "How long a client keeps its connection, plus or minus 10 %. Then it "
          "connects again, maybe to another server, without losing a request. "
          "In this way clients find new servers. 0 sets no limit.");
ABSL_FLAG(absl::Duration, max_connection_age_grace, absl::InfiniteDuration(),
          "How long requests on a connection may continue after "
          "--max_connection_age. The rest then ends with UNAVAILABLE. inf sets "
          "no limit.");
ABSL_FLAG(std::string, port_file, "",
          "A file to which the server writes its addresses once it listens, "
          "one per line: grpc=host:port, metrics=host:port.");
ABSL_FLAG(std::string, log_level, "info",
          "The lowest level to log: debug, info, warn or error.");

namespace rwkvd {
namespace {

constexpr absl::string_view kFlagFiles[] = {"service/options.cc"};

template <typename T>
absl::Status CheckRange(absl::string_view flag, T value, T low, T high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--", flag, ": ", value, " is not in [", low, ", ", high, "]"));
}

absl::Status CheckEpsilon(float value) {
  if (value > 0 && value <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--group_norm_epsilon: ", value, " is not in (0, 1]"));
}

absl::StatusOr<WeightKind> ParseWeights(absl::string_view text) {
  const std::optional<WeightKind> kind = WeightKindFromName(text);
  if (kind.has_value()) return *kind;
  return absl::InvalidArgumentError(
      absl::StrCat("--weights: ", Quoted(text),
                   " is not as_stored, int8, int8,mixed, int4 or int4,mixed"));
}

absl::Status CheckDuration(absl::string_view flag, absl::Duration value) {
  if (value >= absl::ZeroDuration() && value <= absl::Hours(24)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--", flag, ": ", absl::FormatDuration(value), " is not in [0, 24h]"));
}

absl::Status CheckTimeout(absl::string_view flag, absl::Duration value) {
  if (value > absl::ZeroDuration()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--", flag, ": ", absl::FormatDuration(value), " is not more than 0"));
}

absl::Status CheckAddress(absl::string_view flag, absl::string_view address) {
  const absl::Status status = CheckListenAddress(address);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": ", status.message()));
}

absl::Status CheckIsa(const std::string& isa) {
  if (isa == "auto" || FindKernels(isa) != nullptr) return absl::OkStatus();
  const std::string names = absl::StrJoin(
      SupportedKernels(), ", ", [](std::string* out, const KernelTable* table) {
        out->append(table->name);
      });
  return absl::InvalidArgumentError(absl::StrCat(
      "--isa: ", Quoted(isa),
      " is not supported by this processor; it supports auto, ", names));
}

absl::Status CheckLogLevel(absl::string_view level) {
  for (const char* known : {"debug", "info", "warn", "error"}) {
    if (level == known) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--log_level: ", Quoted(level), " is not debug, info, warn or error"));
}

// Splits "NAME=PATH"; the path may contain further equals signs.
absl::StatusOr<NamedPath> ParseNamedPath(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.second.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--initial_state: ", Quoted(text), " is not NAME=PATH"));
  }
  if (!IsStateName(parts.first)) {
    return absl::InvalidArgumentError(absl::StrCat("--initial_state: the name ",
                                                   Quoted(parts.first),
                                                   " is not ", kStateNameRule));
  }
  return NamedPath{std::string(parts.first), std::string(parts.second)};
}

bool HasState(const Options& options, absl::string_view name) {
  return name == kOwnStateName ||
         std::any_of(
             options.initial_states.begin(), options.initial_states.end(),
             [name](const NamedPath& state) { return state.name == name; });
}

absl::Status TakeInitialStates(Options* options) {
  for (const std::string& text : absl::GetFlag(FLAGS_initial_state).values) {
    RWKVD_ASSIGN_OR_RETURN(NamedPath state, ParseNamedPath(text));
    if (state.name == kOwnStateName) {
      return absl::InvalidArgumentError(
          absl::StrCat("--initial_state: ", Quoted(kOwnStateName),
                       " is the model's own state; choose another name"));
    }
    if (HasState(*options, state.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--initial_state: two are named ", Quoted(state.name)));
    }
    options->initial_states.push_back(std::move(state));
  }
  options->default_initial_state = absl::GetFlag(FLAGS_default_initial_state);
  if (HasState(*options, options->default_initial_state)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--default_initial_state: ", Quoted(options->default_initial_state),
      " is not the name of an --initial_state"));
}

// Milliseconds must fit into gRPC's settings.
absl::Status CheckConnectionAge(const Options& options) {
  const absl::Duration age = options.max_connection_age;
  if (age != absl::ZeroDuration() &&
      (age < absl::Seconds(1) || age > absl::Hours(24))) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max_connection_age: ", absl::FormatDuration(age),
                     " is neither 0 nor in [1s, 24h]"));
  }
  const absl::Duration grace = options.max_connection_age_grace;
  if (grace == absl::InfiniteDuration()) return absl::OkStatus();
  return CheckDuration("max_connection_age_grace", grace);
}

Options FromFlags() {
  Options options;
  options.model = absl::GetFlag(FLAGS_model);
  options.tokenizer = absl::GetFlag(FLAGS_tokenizer);
  options.model_name = absl::GetFlag(FLAGS_model_name);
  options.group_norm_epsilon = absl::GetFlag(FLAGS_group_norm_epsilon);
  options.preload = absl::GetFlag(FLAGS_preload);
  options.listen = absl::GetFlag(FLAGS_listen);
  options.metrics_listen = absl::GetFlag(FLAGS_metrics_listen);
  options.port_file = absl::GetFlag(FLAGS_port_file);
  options.max_connections = absl::GetFlag(FLAGS_max_connections);
  options.max_connections_per_peer =
      absl::GetFlag(FLAGS_max_connections_per_peer);
  options.max_streams_per_connection =
      absl::GetFlag(FLAGS_max_streams_per_connection);
  options.reflection = absl::GetFlag(FLAGS_reflection);
  options.threads = absl::GetFlag(FLAGS_threads);
  options.isa = absl::GetFlag(FLAGS_isa);
  options.engine.max_running = absl::GetFlag(FLAGS_max_running);
  options.engine.max_queued = absl::GetFlag(FLAGS_max_queued);
  options.engine.max_step_tokens = absl::GetFlag(FLAGS_max_step_tokens);
  options.engine.max_decode_slowdown = absl::GetFlag(FLAGS_max_decode_slowdown);
  options.engine.max_prompt_tokens = absl::GetFlag(FLAGS_max_prompt_tokens);
  options.engine.max_generated_tokens =
      absl::GetFlag(FLAGS_max_generated_tokens);
  options.engine.max_queue_time = absl::GetFlag(FLAGS_max_queue_time);
  options.engine.max_total_tokens = absl::GetFlag(FLAGS_max_total_tokens);
  options.unread_timeout = absl::GetFlag(FLAGS_unread_timeout);
  options.stream_idle_timeout = absl::GetFlag(FLAGS_stream_idle_timeout);
  options.drain_grace = absl::GetFlag(FLAGS_drain_grace);
  options.lame_duck = absl::GetFlag(FLAGS_lame_duck);
  options.max_connection_age = absl::GetFlag(FLAGS_max_connection_age);
  options.max_connection_age_grace =
      absl::GetFlag(FLAGS_max_connection_age_grace);
  options.log_level = absl::GetFlag(FLAGS_log_level);
  return options;
}

// Upper limits, which only the flags have; the engine's own checks follow.
absl::Status CheckEngine(const EngineOptions& engine) {
  const std::tuple<const char*, int64_t, int64_t> limits[] = {
      {"max_running", engine.max_running, 4096},
      {"max_step_tokens", engine.max_step_tokens, 1 << 16},
      {"max_prompt_tokens", engine.max_prompt_tokens, 1 << 30},
      {"max_generated_tokens", engine.max_generated_tokens, 1 << 30},
      {"max_total_tokens", engine.max_total_tokens, int64_t{1} << 40},
      {"state_cache_interval", engine.state_cache_interval, 1 << 30},
  };
  for (const auto& [flag, value, high] : limits) {
    if (value <= high) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": ", value, " is more than ", high));
  }
  if (engine.max_decode_slowdown > 1000) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max_decode_slowdown: ", engine.max_decode_slowdown,
                     " is more than 1000"));
  }
  RWKVD_RETURN_IF_ERROR(
      CheckRange("max_queued", engine.max_queued, 1, 1 << 20));
  const absl::Status status = Validate(engine);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("--", status.message()));
}

// A flag in MiB, as bytes.
absl::StatusOr<int64_t> BytesOf(const absl::Flag<int64_t>& flag,
                                absl::string_view name, int64_t max_mib) {
  const int64_t mib = absl::GetFlag(flag);
  RWKVD_RETURN_IF_ERROR(CheckRange<int64_t>(name, mib, 0, max_mib));
  return mib << 20;
}

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
  return absl::InvalidArgumentError(absl::StrCat(
      "--memory_limit: ", Quoted(text),
      " is not a number of MiB, or a number with a unit (B, KiB, MiB, GiB), "
      "in [0, 1048576GiB]"));
}

absl::Status TakeStateCache(EngineOptions* engine) {
  RWKVD_ASSIGN_OR_RETURN(
      engine->state_cache_bytes,
      BytesOf(FLAGS_state_cache_mib, "state_cache_mib", 1 << 20));
  RWKVD_ASSIGN_OR_RETURN(
      engine->max_pinned_bytes,
      BytesOf(FLAGS_pinned_states_mib, "pinned_states_mib", 1 << 20));
  engine->state_cache_interval = absl::GetFlag(FLAGS_state_cache_interval);
  engine->max_pinned = absl::GetFlag(FLAGS_max_pinned_states);
  return CheckRange("max_pinned_states", engine->max_pinned, 0, 1 << 16);
}

absl::Status TakeStateStore(Options* options) {
  options->state_dir = absl::GetFlag(FLAGS_state_dir);
  RWKVD_ASSIGN_OR_RETURN(
      options->state_store_bytes,
      BytesOf(FLAGS_state_store_mib, "state_store_mib", 1 << 30));
  RWKVD_ASSIGN_OR_RETURN(
      options->max_pending_states_bytes,
      BytesOf(FLAGS_max_pending_states_mib, "max_pending_states_mib", 1 << 30));
  options->state_ttl = absl::GetFlag(FLAGS_state_ttl);
  if (options->state_ttl > absl::ZeroDuration() &&
      options->state_ttl <= absl::Hours(24 * 365)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--state_ttl: ", absl::FormatDuration(options->state_ttl),
                   " is not in (0, 8760h]"));
}

bool IsUtf8(absl::string_view text) {
  return ValidUtf8Length(text) == text.size();
}

// The name of the model leaves the server in responses and in metrics, which
// must be UTF-8.
absl::Status CheckModelName(const Options& options) {
  if (!IsUtf8(options.model_name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--model_name: ", Quoted(options.model_name), " is not UTF-8"));
  }
  if (!options.model_name.empty() || IsUtf8(options.model)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--model: ", Quoted(options.model),
      " is not UTF-8, so it gives the model no name; set --model_name"));
}

absl::Status CheckConnections(const Options& options) {
  RWKVD_RETURN_IF_ERROR(
      CheckRange("max_connections", options.max_connections, 0, 1 << 20));
  RWKVD_RETURN_IF_ERROR(CheckRange("max_connections_per_peer",
                                   options.max_connections_per_peer, 0,
                                   1 << 20));
  return CheckRange("max_streams_per_connection",
                    options.max_streams_per_connection, 1, 10000);
}

absl::Status CheckAddresses(const Options& options) {
  RWKVD_RETURN_IF_ERROR(CheckAddress("listen", options.listen));
  if (options.metrics_listen.empty()) return absl::OkStatus();
  return CheckAddress("metrics_listen", options.metrics_listen);
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args) {
  RWKVD_ASSIGN_OR_RETURN(const CommandLine line,
                         ParseCommandLine(args, kFlagFiles));
  Options options = FromFlags();
  options.given_flags = line.flags;
  options.help = line.help;
  options.version = line.version;
  if (line.help || line.version) return options;
  if (!line.arguments.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected argument ", Quoted(line.arguments[0]),
                     " (--help lists the flags)"));
  }
  if (options.model.empty()) {
    return absl::InvalidArgumentError(
        "--model: required: the file or folder of the model (--help lists the "
        "flags)");
  }
  RWKVD_RETURN_IF_ERROR(CheckModelName(options));
  RWKVD_RETURN_IF_ERROR(TakeInitialStates(&options));
  RWKVD_ASSIGN_OR_RETURN(options.weights,
                         ParseWeights(absl::GetFlag(FLAGS_weights)));
  RWKVD_RETURN_IF_ERROR(CheckEpsilon(options.group_norm_epsilon));
  RWKVD_RETURN_IF_ERROR(CheckAddresses(options));
  RWKVD_RETURN_IF_ERROR(CheckConnections(options));
  RWKVD_RETURN_IF_ERROR(CheckRange("threads", options.threads, 0, 1024));
  RWKVD_RETURN_IF_ERROR(CheckIsa(options.isa));
  RWKVD_RETURN_IF_ERROR(TakeStateCache(&options.engine));
  RWKVD_RETURN_IF_ERROR(CheckEngine(options.engine));
  RWKVD_RETURN_IF_ERROR(TakeStateStore(&options));
  const int32_t message_mib = absl::GetFlag(FLAGS_max_message_mib);
  RWKVD_RETURN_IF_ERROR(CheckRange("max_message_mib", message_mib, 1, 1024));
  options.max_message_bytes = message_mib << 20;
  RWKVD_RETURN_IF_ERROR(CheckTimeout("unread_timeout", options.unread_timeout));
  RWKVD_RETURN_IF_ERROR(
      CheckTimeout("stream_idle_timeout", options.stream_idle_timeout));
  RWKVD_ASSIGN_OR_RETURN(options.memory_limit_bytes,
                         ParseMemory(absl::GetFlag(FLAGS_memory_limit)));
  RWKVD_RETURN_IF_ERROR(CheckDuration("drain_grace", options.drain_grace));
  RWKVD_RETURN_IF_ERROR(CheckDuration("lame_duck", options.lame_duck));
  RWKVD_RETURN_IF_ERROR(CheckConnectionAge(options));
  RWKVD_RETURN_IF_ERROR(CheckLogLevel(options.log_level));
  return options;
}

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
