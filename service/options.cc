// SPDX-License-Identifier: Apache-2.0
#include "service/options.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "cli/command_line.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/kernels/targets/supported_kernels.h"

ABSL_FLAG(std::string, model, "",
          "Required. The model: a .safetensors, .st or .pth file, a "
          "model.safetensors.index.json or pytorch_model.bin.index.json, or "
          "the folder that holds one of these.");
ABSL_FLAG(std::string, tokenizer, "",
          "The tokenizer: a World vocabulary (.txt), a tokenizer.json, or the "
          "word \"bytes\". If empty, it is looked for beside the model.");
ABSL_FLAG(std::string, model_name, "",
          "The name told to clients and in metrics. If empty, the name of the "
          "model's file or folder.");
ABSL_FLAG(rwkvd::RepeatedFlag, initial_state, {},
          "NAME=PATH: a state that requests may start from, under this name "
          "(letters, digits, \".\", \"_\" and \"-\", at most 64). The file "
          "is a state-tuned .pth or .safetensors, or a state that was saved "
          "from this model. May be given several times.");
ABSL_FLAG(std::string, default_initial_state, rwkvd::kOwnStateName,
          "What requests start from if they do not say: the name of an "
          "--initial_state, or \"model\", the model's own: zero, or what its "
          "checkpoint was tuned to begin with.");
ABSL_FLAG(std::string, weights, "as_stored",
          "What the large matrices are held as: int8, \"int8,mixed\" (but for "
          "the head, ffn.key and ffn.value), int4, \"int4,mixed\" (the head in "
          "8 bits), quantized while loading; or as_stored: as they are, "
          "mapped. rwkv-convert --weights quantizes once and for all.");
ABSL_FLAG(float, group_norm_epsilon, rwkvd::kGroupNormEpsilon,
          "Added to the variance where the output of each head is normalized, "
          "in versions 5 to 7. The default is that of the official programs; "
          "models made for another need it told, such as rwkv.cpp's small test "
          "models of version 5, which need 1e-5.");
ABSL_FLAG(bool, preload, false,
          "Read the model's files once before saying SERVING, so that the "
          "first requests need not wait for the disk.");
ABSL_FLAG(std::string, listen, "127.0.0.1:50051",
          "Where gRPC listens: host:port (port 0: any free one) or unix:path.");
ABSL_FLAG(std::string, metrics_listen, "127.0.0.1:9464",
          "Where Prometheus finds /metrics: host:port; empty for nowhere.");
ABSL_FLAG(int32_t, threads, 0,
          "Threads that compute; 0 takes what the processors and the control "
          "group's quota allow.");
ABSL_FLAG(std::string, isa, "auto",
          "Instruction set of the kernels; auto takes the widest there is.");
ABSL_FLAG(int32_t, max_running, rwkvd::EngineOptions().max_running,
          "Most requests that are computed together.");
ABSL_FLAG(int32_t, max_queued, rwkvd::EngineOptions().max_queued,
          "Most requests that wait; more are refused with "
          "RESOURCE_EXHAUSTED.");
ABSL_FLAG(int32_t, max_step_tokens, rwkvd::EngineOptions().max_step_tokens,
          "Most tokens of one forward pass, prompts and answers together; more "
          "than --max_running.");
ABSL_FLAG(double, max_decode_slowdown,
          rwkvd::EngineOptions().max_decode_slowdown,
          "While answers are being drawn, prompts are read in pieces so small "
          "that a step takes at most this many times what it would take "
          "without them: less for a more even stream of tokens, more for a "
          "sooner first one. In (1, 1000].");
ABSL_FLAG(int32_t, min_step_prompt_tokens,
          rwkvd::EngineOptions().min_step_prompt_tokens,
          "Tokens of prompts that such a step reads even if they take longer.");
ABSL_FLAG(int64_t, max_prompt_tokens, rwkvd::EngineOptions().max_prompt_tokens,
          "Most tokens of a prompt, or of a context and its longest "
          "continuation.");
ABSL_FLAG(int64_t, max_generated_tokens,
          rwkvd::EngineOptions().max_generated_tokens,
          "Most tokens a request may ask for.");
ABSL_FLAG(absl::Duration, max_queue_time, rwkvd::EngineOptions().max_queue_time,
          "Requests that have waited for longer than this are refused with "
          "RESOURCE_EXHAUSTED; inf for never.");
ABSL_FLAG(int64_t, max_total_tokens, rwkvd::EngineOptions().max_total_tokens,
          "Most tokens, prompts and max_tokens together, of all requests that "
          "run or wait; more are refused with RESOURCE_EXHAUSTED. At least "
          "--max_prompt_tokens and --max_generated_tokens together.");
ABSL_FLAG(int64_t, state_cache_mib,
          rwkvd::EngineOptions().state_cache_bytes >> 20,
          "Memory for the states of prompts that were read before, in MiB; 0 "
          "for none.");
ABSL_FLAG(int64_t, state_cache_interval,
          rwkvd::EngineOptions().state_cache_interval,
          "Tokens of a prompt between two states that are kept on its way, so "
          "that prompts which begin alike share them; doubled until there are "
          "8 at most. 0 for none but the last.");
ABSL_FLAG(int64_t, pinned_states_mib,
          rwkvd::EngineOptions().max_pinned_bytes >> 20,
          "Memory for the states of pinned prompts, in MiB, beside "
          "--state_cache_mib.");
ABSL_FLAG(int32_t, max_pinned_states, rwkvd::EngineOptions().max_pinned,
          "Most names of pinned prompts.");
ABSL_FLAG(std::string, state_dir, "",
          "Where states that clients have handles of are kept: a directory, "
          "which outlives the server and may be shared by several. If empty, "
          "in memory.");
ABSL_FLAG(int64_t, state_store_mib, 256,
          "Most that such states may take, in MiB; none goes before its time, "
          "so more are refused with RESOURCE_EXHAUSTED.");
ABSL_FLAG(absl::Duration, state_ttl, absl::Hours(1),
          "How long they are kept if the client does not say.");
ABSL_FLAG(
    int64_t, max_pending_states_mib, 1024,
    "Most that requests hold which wait and go on from such states, in "
    "MiB; more are refused with RESOURCE_EXHAUSTED, but never one alone.");
ABSL_FLAG(int32_t, max_message_mib, 16,
          "Largest request message, in MiB; a larger one is refused with "
          "RESOURCE_EXHAUSTED.");
ABSL_FLAG(absl::Duration, drain_grace, absl::Seconds(20),
          "After SIGTERM or SIGINT, how long running requests may take to "
          "finish. A second signal cuts it short.");
ABSL_FLAG(absl::Duration, lame_duck, absl::ZeroDuration(),
          "After SIGTERM or SIGINT, how long requests are still accepted while "
          "health already says NOT_SERVING.");
ABSL_FLAG(std::string, port_file, "",
          "Once listening, write the addresses to this file: grpc=host:port, "
          "metrics=host:port, a line each.");
ABSL_FLAG(std::string, log_level, "info", "debug, info, warn or error.");

namespace rwkvd {
namespace {

constexpr absl::string_view kFlagFiles[] = {"service/options.cc"};

constexpr size_t kMaxStateNameBytes = 64;

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

absl::Status CheckDecodeSlowdown(double value) {
  if (value > 1 && value <= 1000) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--max_decode_slowdown: ", value, " is not in (1, 1000]"));
}

absl::Status CheckQueueTime(absl::Duration value) {
  if (value > absl::ZeroDuration()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--max_queue_time: ", absl::FormatDuration(value), " is not above 0"));
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

absl::Status CheckAddress(absl::string_view flag, absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon != absl::string_view::npos && colon > 0 &&
      absl::SimpleAtoi(address.substr(colon + 1), &port) && port >= 0 &&
      port <= 65535) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": ", Quoted(address),
                   " is not host:port with a port in [0, 65535]"));
}

absl::Status CheckIsa(const std::string& isa) {
  if (isa == "auto" || FindKernels(isa) != nullptr) return absl::OkStatus();
  const std::string names = absl::StrJoin(
      SupportedKernels(), ", ", [](std::string* out, const KernelTable* table) {
        out->append(table->name);
      });
  return absl::InvalidArgumentError(
      absl::StrCat("--isa: ", Quoted(isa),
                   " is not one of those of this processor: auto, ", names));
}

absl::Status CheckLogLevel(absl::string_view level) {
  for (const char* known : {"debug", "info", "warn", "error"}) {
    if (level == known) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--log_level: ", Quoted(level), " is not debug, info, warn or error"));
}

bool IsStateName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxStateNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

// "NAME=PATH", taken apart. A path may hold further signs of equality.
absl::StatusOr<NamedPath> ParseNamedPath(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.second.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--initial_state: ", Quoted(text), " is not NAME=PATH"));
  }
  if (!IsStateName(parts.first)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--initial_state: the name ", Quoted(parts.first), " is not 1 to ",
        kMaxStateNameBytes, " letters, digits, \".\", \"_\" and \"-\""));
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
      return absl::InvalidArgumentError(absl::StrCat(
          "--initial_state: ", Quoted(kOwnStateName), " is the model's own"));
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
  options.threads = absl::GetFlag(FLAGS_threads);
  options.isa = absl::GetFlag(FLAGS_isa);
  options.engine.max_running = absl::GetFlag(FLAGS_max_running);
  options.engine.max_queued = absl::GetFlag(FLAGS_max_queued);
  options.engine.max_step_tokens = absl::GetFlag(FLAGS_max_step_tokens);
  options.engine.max_decode_slowdown = absl::GetFlag(FLAGS_max_decode_slowdown);
  options.engine.min_step_prompt_tokens =
      absl::GetFlag(FLAGS_min_step_prompt_tokens);
  options.engine.max_prompt_tokens = absl::GetFlag(FLAGS_max_prompt_tokens);
  options.engine.max_generated_tokens =
      absl::GetFlag(FLAGS_max_generated_tokens);
  options.engine.max_queue_time = absl::GetFlag(FLAGS_max_queue_time);
  options.engine.max_total_tokens = absl::GetFlag(FLAGS_max_total_tokens);
  options.drain_grace = absl::GetFlag(FLAGS_drain_grace);
  options.lame_duck = absl::GetFlag(FLAGS_lame_duck);
  options.log_level = absl::GetFlag(FLAGS_log_level);
  return options;
}

absl::Status CheckEngine(const EngineOptions& engine) {
  RWKVD_RETURN_IF_ERROR(CheckRange("max_running", engine.max_running, 1, 4096));
  RWKVD_RETURN_IF_ERROR(
      CheckRange("max_queued", engine.max_queued, 1, 1 << 20));
  RWKVD_RETURN_IF_ERROR(CheckRange("max_step_tokens", engine.max_step_tokens,
                                   engine.max_running + 1, 1 << 16));
  RWKVD_RETURN_IF_ERROR(CheckDecodeSlowdown(engine.max_decode_slowdown));
  RWKVD_RETURN_IF_ERROR(CheckRange("min_step_prompt_tokens",
                                   engine.min_step_prompt_tokens, 1, 1 << 16));
  RWKVD_RETURN_IF_ERROR(CheckRange<int64_t>(
      "max_prompt_tokens", engine.max_prompt_tokens, 1, int64_t{1} << 30));
  RWKVD_RETURN_IF_ERROR(CheckRange<int64_t>("max_generated_tokens",
                                            engine.max_generated_tokens, 1,
                                            int64_t{1} << 30));
  RWKVD_RETURN_IF_ERROR(CheckQueueTime(engine.max_queue_time));
  return CheckRange<int64_t>(
      "max_total_tokens", engine.max_total_tokens,
      engine.max_prompt_tokens + engine.max_generated_tokens, int64_t{1} << 40);
}

absl::Status TakePins(EngineOptions* engine) {
  engine->state_cache_interval = absl::GetFlag(FLAGS_state_cache_interval);
  RWKVD_RETURN_IF_ERROR(CheckRange<int64_t>("state_cache_interval",
                                            engine->state_cache_interval, 0,
                                            int64_t{1} << 30));
  const int64_t pinned_mib = absl::GetFlag(FLAGS_pinned_states_mib);
  RWKVD_RETURN_IF_ERROR(
      CheckRange<int64_t>("pinned_states_mib", pinned_mib, 0, 1 << 20));
  engine->max_pinned_bytes = pinned_mib << 20;
  engine->max_pinned = absl::GetFlag(FLAGS_max_pinned_states);
  return CheckRange("max_pinned_states", engine->max_pinned, 0, 1 << 16);
}

absl::Status TakeStateStore(Options* options) {
  options->state_dir = absl::GetFlag(FLAGS_state_dir);
  const int64_t mib = absl::GetFlag(FLAGS_state_store_mib);
  RWKVD_RETURN_IF_ERROR(
      CheckRange<int64_t>("state_store_mib", mib, 0, int64_t{1} << 30));
  options->state_store_bytes = mib << 20;
  const int64_t pending_mib = absl::GetFlag(FLAGS_max_pending_states_mib);
  RWKVD_RETURN_IF_ERROR(CheckRange<int64_t>("max_pending_states_mib",
                                            pending_mib, 0, int64_t{1} << 30));
  options->max_pending_states_bytes = pending_mib << 20;
  options->state_ttl = absl::GetFlag(FLAGS_state_ttl);
  if (options->state_ttl > absl::ZeroDuration() &&
      options->state_ttl <= absl::Hours(24 * 365)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--state_ttl: ", absl::FormatDuration(options->state_ttl),
                   " is not in (0, 8760h]"));
}

absl::Status CheckAddresses(const Options& options) {
  if (!absl::StartsWith(options.listen, "unix:")) {
    RWKVD_RETURN_IF_ERROR(CheckAddress("listen", options.listen));
  }
  if (options.metrics_listen.empty()) return absl::OkStatus();
  return CheckAddress("metrics_listen", options.metrics_listen);
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args) {
  RWKVD_ASSIGN_OR_RETURN(const CommandLine line,
                         ParseCommandLine(args, kFlagFiles));
  Options options = FromFlags();
  options.help = line.help;
  options.version = line.version;
  if (line.help || line.version) return options;
  if (!line.arguments.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "unexpected argument ", Quoted(line.arguments[0]), " (--help)"));
  }
  if (options.model.empty()) {
    return absl::InvalidArgumentError(
        "--model: required, the model's file or folder (--help)");
  }
  RWKVD_RETURN_IF_ERROR(TakeInitialStates(&options));
  RWKVD_ASSIGN_OR_RETURN(options.weights,
                         ParseWeights(absl::GetFlag(FLAGS_weights)));
  RWKVD_RETURN_IF_ERROR(CheckEpsilon(options.group_norm_epsilon));
  RWKVD_RETURN_IF_ERROR(CheckAddresses(options));
  RWKVD_RETURN_IF_ERROR(CheckRange("threads", options.threads, 0, 1024));
  RWKVD_RETURN_IF_ERROR(CheckIsa(options.isa));
  RWKVD_RETURN_IF_ERROR(CheckEngine(options.engine));
  const int64_t cache_mib = absl::GetFlag(FLAGS_state_cache_mib);
  RWKVD_RETURN_IF_ERROR(
      CheckRange<int64_t>("state_cache_mib", cache_mib, 0, 1 << 20));
  options.engine.state_cache_bytes = cache_mib << 20;
  RWKVD_RETURN_IF_ERROR(TakePins(&options.engine));
  RWKVD_RETURN_IF_ERROR(TakeStateStore(&options));
  const int32_t message_mib = absl::GetFlag(FLAGS_max_message_mib);
  RWKVD_RETURN_IF_ERROR(CheckRange("max_message_mib", message_mib, 1, 1024));
  options.max_message_bytes = message_mib << 20;
  RWKVD_RETURN_IF_ERROR(CheckDuration("drain_grace", options.drain_grace));
  RWKVD_RETURN_IF_ERROR(CheckDuration("lame_duck", options.lame_duck));
  RWKVD_RETURN_IF_ERROR(CheckLogLevel(options.log_level));
  return options;
}

std::string OptionsHelp() {
  return absl::StrCat(
      "rwkvd serves an RWKV language model over gRPC (rwkv.v1.RwkvService).\n\n"
      "    rwkvd --model=FILE_OR_FOLDER [flags]\n\n"
      "SIGTERM or SIGINT ends it gracefully. Log lines go to the standard "
      "output; the\none line that says why it could not start, to the standard "
      "error.\n\n",
      DescribeFlags(kFlagFiles),
      "  --version\n      Print the version.\n"
      "  --help\n      Print this.\n");
}

}  // namespace rwkvd
