// SPDX-License-Identifier: Apache-2.0
// rwkv-convert: converts any RWKV checkpoint to safetensors.

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/command_line.h"
#include "cli/failure_handlers.h"
#include "cli/standard_descriptors.h"
#include "cli/version.h"
#include "core/base/cpu_quota.h"
#include "core/base/exceptions.h"
#include "core/base/mapping_faults.h"
#include "core/base/quote.h"
#include "core/checkpoint/adapter.h"
#include "core/checkpoint/zero_matrices.h"
#include "core/quantize/weight_kind.h"
#include "tools/rwkv_convert/byte_size.h"
#include "tools/rwkv_convert/calibration.h"
#include "tools/rwkv_convert/conversion.h"
#include "tools/rwkv_convert/convert_checkpoint.h"
#include "tools/rwkv_convert/inspect.h"
#include "tools/rwkv_convert/progress.h"

ABSL_FLAG(rwkvd::ByteSize, shard_size, {4'000'000'000},
          "Maximum bytes of tensors per file. If one file is enough, it is "
          "model.safetensors; otherwise the files are "
          "model-00001-of-0000N.safetensors and so on, with an index.");
ABSL_FLAG(rwkvd::TargetDType, dtype, {},
          "Number type of the weights: keep, f32, f16 or bf16. Rounds to "
          "nearest, ties to even. f16 and bf16 do not change the tensors that "
          "are sensitive to rounding: att.time_decay, att.time_first, "
          "att.time_faaaa, att.w0 and att.time_state. A weight that is too "
          "large for the type (over 65504 for f16) is an error.");
ABSL_FLAG(std::string, weights, "as_stored",
          "Quantization of the large matrices: int8, \"int8,mixed\" (all "
          "except head, ffn.key and ffn.value), int4, \"int4,mixed\" (the "
          "head in 8 bits), or as_stored: none. --dtype applies to all other "
          "weights.");
ABSL_FLAG(std::string, calibration, "",
          "A text file, a few hundred kilobytes of the kind of text that the "
          "model will process. Quantization (GPTQ) then minimizes the error of "
          "the model on this text; the result is used like any other. Requires "
          "--weights=int8, int8,mixed, int4 or int4,mixed.");
ABSL_FLAG(int32_t, calibration_tokens, 32768,
          "Maximum tokens to read of that text, in windows of 1024 tokens "
          "evenly spread over it. Best are several times as many as the widest "
          "matrix has columns.");
ABSL_FLAG(int32_t, threads, 0,
          "Threads for quantization and calibration; 0: as many as the "
          "processors and the quota of the control group allow.");
ABSL_FLAG(rwkvd::RepeatedFlag, adapter, {},
          "[NAME=]PATH: a LoRA adapter to merge into the weights: a folder of "
          "PEFT, with adapter_config.json, or a .pth file of RWKV-PEFT. May be "
          "given several times. The changed matrices are held in memory.");
ABSL_FLAG(double, adapter_alpha, 0,
          "The alpha (lora_alpha) with which adapters were trained that do not "
          "contain it, as the .pth files of RWKV-PEFT. 0 stands for none.");
ABSL_FLAG(bool, verify, false,
          "First compare the input with the checksums that its files or a "
          "release-manifest.json contain. Then read the result back and "
          "compare every element with the input before the files get their "
          "final names.");
ABSL_FLAG(
    bool, inspect, false,
    "Print what INPUT is, instead of converting it: the version and sizes "
    "of the model, the types of its tensors, its tokenizer, the memory to "
    "serve it, and whether each --adapter fits. INPUT may also be an "
    "adapter or a tuned state.");
ABSL_FLAG(bool, json, false, "Print the result of --inspect as JSON.");
ABSL_FLAG(bool, force, false,
          "Replace a checkpoint in OUTPUT_DIRECTORY. When the new checkpoint "
          "is complete, all files model*.safetensors that are not part of it "
          "are removed.");

namespace rwkvd {
namespace {

constexpr int kMaxThreads = 1024;

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitSignal = 128;  // plus the number of the signal

constexpr absl::string_view kFiles[] = {"tools/rwkv_convert/main.cc"};

constexpr char kHelp[] =
    R"(rwkv-convert [FLAGS] INPUT OUTPUT_DIRECTORY
rwkv-convert --inspect [--json] INPUT

Converts an RWKV checkpoint of any format that rwkvd reads to safetensors with
the tensor names of the training code, copies its tokenizer and chat template,
and quantizes it if requested. INPUT is a .pth, .safetensors, .st or .gguf file, an index of such
files, or a folder as downloaded from a hub. The quantized matrices of a GGUF
file keep their bits, unless --dtype or --weights says otherwise.

The files get their final names only when all of them are complete. Until then
they are in OUTPUT_DIRECTORY/rwkv-convert.tmp; if a run is killed, the next run
removes this folder. Needs little memory, however large the checkpoint is,
except with --adapter and --calibration.

)";

constexpr char kExitCodes[] =
    "\nExit codes: 0 success, 1 failure, 2 wrong command line, 130 or 143 "
    "interrupted.\n";

std::atomic<int> caught_signal = 0;

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int number) { caught_signal = number; };
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    sigaction(number, &action, nullptr);
  }
  // A file that exceeds the limit of the process becomes an ordinary error.
  signal(SIGXFSZ, SIG_IGN);
}

void Show(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

int UsageError(absl::string_view what) {
  Show(absl::StrCat("rwkv-convert: ", what, "\n"));
  return kExitUsage;
}

std::string Plural(int64_t number, absl::string_view noun) {
  return absl::StrCat(number, " ", noun, number == 1 ? "" : "s");
}

void Report(const Converted& result, const ConvertOptions& options,
            absl::Duration time) {
  std::printf("wrote %s, %s, in %s to %s (%.1f s)\n",
              Plural(result.num_tensors, "tensor").c_str(),
              ShortBytes(result.num_bytes).c_str(),
              Plural(result.num_files, "file").c_str(),
              options.directory.c_str(), absl::ToDoubleSeconds(time));
  if (result.verified) {
    std::printf("verified %s, %lld bytes\n",
                Plural(result.num_tensors, "tensor").c_str(),
                static_cast<long long>(result.num_bytes));
  }
  if (result.num_checked_bytes > 0) {
    std::printf("%lld bytes of the input agree with their checksums\n",
                static_cast<long long>(result.num_checked_bytes));
  }
  if (!result.zero_matrices.empty()) {
    Show(absl::StrCat("rwkv-convert: warning: ",
                      DescribeZeroMatrices(result.zero_matrices), "\n"));
  }
  if (result.lacks_tokenizer) {
    Show(
        "rwkv-convert: no tokenizer was copied, because there is none next to "
        "the input. rwkvd\nneeds one next to the result, or --tokenizer\n");
  }
}

int Run(const ConvertOptions& options) {
  CatchSignals();
  const absl::Time begun = absl::Now();
  Progress progress(isatty(STDERR_FILENO) != 0);
  const auto on_progress = [&](absl::string_view doing, int64_t done,
                               int64_t all) {
    Show(progress.Update(doing, done, all, absl::Now()));
    return caught_signal == 0 ? absl::OkStatus()
                              : absl::CancelledError("interrupted");
  };
  const absl::StatusOr<Converted> result =
      CatchExceptions([&] { return ConvertCheckpoint(options, on_progress); });
  Show(progress.End());
  if (result.ok()) {
    Report(*result, options, absl::Now() - begun);
    return kExitOk;
  }
  Show(absl::StrCat("rwkv-convert: ", result.status().message(), "\n"));
  return caught_signal == 0 ? kExitFailed : kExitSignal + caught_signal;
}

// The adapters that the command line names.
struct AdapterFlags {
  std::vector<AdapterPath> paths;
  std::optional<double> alpha;
};

absl::StatusOr<AdapterFlags> ReadAdapterFlags() {
  AdapterFlags flags;
  for (const std::string& text : absl::GetFlag(FLAGS_adapter).values) {
    absl::StatusOr<AdapterPath> path = ParseAdapterPath(text);
    if (!path.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--adapter: ", path.status().message()));
    }
    flags.paths.push_back(*std::move(path));
  }
  const double alpha = absl::GetFlag(FLAGS_adapter_alpha);
  if (alpha == 0) return flags;
  flags.alpha = alpha;
  if (std::isfinite(*flags.alpha)) return flags;
  return absl::InvalidArgumentError(absl::StrCat(
      "--adapter_alpha: expected a finite number, got ", *flags.alpha));
}

int RunInspect(const CommandLine& line, const AdapterFlags& adapters) {
  if (line.arguments.size() != 1) {
    return UsageError("--inspect: expected one argument, INPUT (see --help)");
  }
  const absl::StatusOr<Inspection> inspection = CatchExceptions([&] {
    return Inspect(line.arguments[0], adapters.paths, adapters.alpha);
  });
  if (!inspection.ok()) {
    Show(absl::StrCat("rwkv-convert: ", OneLine(inspection.status().message()),
                      "\n"));
    return kExitFailed;
  }
  std::fputs((absl::GetFlag(FLAGS_json) ? InspectionJson(*inspection)
                                        : InspectionText(*inspection))
                 .c_str(),
             stdout);
  return kExitOk;
}

int Main(const std::vector<std::string>& args) {
  const absl::StatusOr<CommandLine> line = ParseCommandLine(args, kFiles);
  if (!line.ok()) return UsageError(line.status().message());
  if (line->help) {
    std::fputs(absl::StrCat(kHelp, DescribeFlags(kFiles), kExitCodes).c_str(),
               stdout);
    return kExitOk;
  }
  if (line->version) {
    std::printf("rwkv-convert %s\n", kVersion);
    return kExitOk;
  }
  const absl::StatusOr<AdapterFlags> adapters = ReadAdapterFlags();
  if (!adapters.ok()) return UsageError(adapters.status().message());
  if (absl::GetFlag(FLAGS_inspect)) return RunInspect(*line, *adapters);
  if (adapters->alpha.has_value() && adapters->paths.empty()) {
    return UsageError("--adapter_alpha requires --adapter");
  }
  if (line->arguments.size() != 2) {
    return UsageError(
        "expected two arguments, INPUT and OUTPUT_DIRECTORY (see --help)");
  }
  const auto weights = WeightKindFromName(absl::GetFlag(FLAGS_weights));
  if (!weights.has_value()) {
    return UsageError(
        "--weights: expected as_stored, int8, \"int8,mixed\", int4 or "
        "\"int4,mixed\"");
  }
  const CalibrationOptions calibration = {
      absl::GetFlag(FLAGS_calibration),
      absl::GetFlag(FLAGS_calibration_tokens)};
  if (!calibration.text.empty() && *weights == WeightKind::kAsStored) {
    return UsageError("--calibration requires --weights");
  }
  if (calibration.max_tokens < 1) {
    return UsageError("--calibration_tokens: expected at least 1");
  }
  const int threads = absl::GetFlag(FLAGS_threads);
  if (threads < 0 || threads > kMaxThreads) {
    return UsageError(absl::StrCat("--threads: ", threads, " is not in [0, ",
                                   kMaxThreads, "]"));
  }
  return Run({.input = line->arguments[0],
              .directory = line->arguments[1],
              .adapters = adapters->paths,
              .adapter_alpha = adapters->alpha,
              .target = {absl::GetFlag(FLAGS_dtype), *weights},
              .calibration = calibration,
              .threads = threads > 0 ? threads : UsableCpus(),
              .shard_bytes = absl::GetFlag(FLAGS_shard_size).bytes,
              .verify = absl::GetFlag(FLAGS_verify),
              .force = absl::GetFlag(FLAGS_force)});
}

}  // namespace
}  // namespace rwkvd

int main(int argc, char** argv) {
  rwkvd::OccupyStandardDescriptors();
  rwkvd::InstallFailureHandlers("rwkv-convert", argv[0]);
  rwkvd::InstallMappingFaultHandler(rwkvd::FaultAction::kExit);
  return rwkvd::Main({argv + 1, argv + argc});
}
