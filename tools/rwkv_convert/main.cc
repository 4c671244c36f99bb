// SPDX-License-Identifier: Apache-2.0
// rwkv-convert: turns any RWKV checkpoint into safetensors.

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/command_line.h"
#include "cli/version.h"
#include "core/base/cpu_quota.h"
#include "core/quantize/weight_kind.h"
#include "tools/rwkv_convert/byte_size.h"
#include "tools/rwkv_convert/calibration.h"
#include "tools/rwkv_convert/conversion.h"
#include "tools/rwkv_convert/convert_checkpoint.h"
#include "tools/rwkv_convert/progress.h"

ABSL_FLAG(rwkvd::ByteSize, shard_size, {4'000'000'000},
          "The most bytes of tensors in one file. If all fit, the file is "
          "model.safetensors; otherwise there are "
          "model-00001-of-0000N.safetensors and so on, and their index.");
ABSL_FLAG(rwkvd::TargetDType, dtype, {},
          "The number type of the weights: keep, f32, f16 or bf16. Rounded "
          "to the nearest, ties to even. f16 and bf16 leave what is "
          "sensitive to rounding as it is: att.time_decay, att.time_first, "
          "att.time_faaaa, att.w0 and att.time_state. A weight too large for "
          "the type (over 65504 for f16) is an error.");
ABSL_FLAG(std::string, weights, "as_stored",
          "What the large matrices are quantized to: int8, \"int8,mixed\" "
          "(but for the head, ffn.key and ffn.value), int4, \"int4,mixed\" "
          "(the head in 8 bits), or as_stored: not at all. --dtype is for "
          "the rest.");
ABSL_FLAG(std::string, calibration, "",
          "A file of text of the kind that the model will read, some hundred "
          "kilobytes: rounding errors are made up for where they matter for "
          "it, at no cost to who uses the result. With --weights=int8, "
          "int8,mixed, int4 or int4,mixed.");
ABSL_FLAG(int32_t, calibration_tokens, 32768,
          "Tokens of that text to read, in windows of 1024 evenly spread "
          "over it. Many times the columns of the widest matrix do most.");
ABSL_FLAG(int32_t, threads, 0,
          "Threads that quantize and calibrate; 0 takes what the processors "
          "and the control group's quota allow.");
ABSL_FLAG(bool, verify, false,
          "Read the result back and compare every element with the input, "
          "before it gets its name.");
ABSL_FLAG(bool, force, false,
          "Replace a checkpoint in OUTPUT_DIRECTORY: once the new one is "
          "complete, files called model*.safetensors that are not part of it "
          "are removed.");

namespace rwkvd {
namespace {

constexpr int kMaxThreads = 1024;

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitSignal = 128;  // and the signal's number

constexpr absl::string_view kFiles[] = {"tools/rwkv_convert/main.cc"};

constexpr char kHelp[] =
    R"(rwkv-convert [FLAGS] INPUT OUTPUT_DIRECTORY

Turns an RWKV checkpoint of any kind that rwkvd reads into safetensors under
the names of the training code, with its tokenizer beside it, and quantizes it
if so wished. INPUT is a .pth, .safetensors or .st file, an index of such files,
or a folder as downloaded from a hub.

Files get their names only when all of them are complete; until then they are
in OUTPUT_DIRECTORY/rwkv-convert.tmp, which the next run removes if one is
killed. Takes little memory, however large the checkpoint.

)";

constexpr char kExitCodes[] =
    "\nExit codes: 0 well, 1 failed, 2 wrong command line, 130 or 143 "
    "interrupted.\n";

std::atomic<int> caught_signal = 0;

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int number) { caught_signal = number; };
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    sigaction(number, &action, nullptr);
  }
  // A file over the process's limit is an error like any other.
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
  if (result.lacks_tokenizer) {
    Show(
        "rwkv-convert: no tokenizer was copied, since there is none beside the "
        "input; rwkvd\nneeds one beside the result, or --tokenizer\n");
  }
}

int Run(const ConvertOptions& options) {
  CatchSignals();
  const absl::Time begun = absl::Now();
  Progress progress(isatty(STDERR_FILENO) != 0);
  const absl::StatusOr<Converted> result = ConvertCheckpoint(
      options, [&](absl::string_view doing, int64_t done, int64_t all) {
        Show(progress.Update(doing, done, all, absl::Now()));
        return caught_signal == 0 ? absl::OkStatus()
                                  : absl::CancelledError("interrupted");
      });
  Show(progress.End());
  if (result.ok()) {
    Report(*result, options, absl::Now() - begun);
    return kExitOk;
  }
  Show(absl::StrCat("rwkv-convert: ", result.status().message(), "\n"));
  return caught_signal == 0 ? kExitFailed : kExitSignal + caught_signal;
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
  if (line->arguments.size() != 2) {
    return UsageError("expected INPUT and OUTPUT_DIRECTORY (--help)");
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
    return UsageError("--calibration: expected --weights with it");
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
              .target = {absl::GetFlag(FLAGS_dtype), *weights},
              .calibration = calibration,
              .threads = threads > 0 ? threads : UsableCpus(),
              .shard_bytes = absl::GetFlag(FLAGS_shard_size).bytes,
              .verify = absl::GetFlag(FLAGS_verify),
              .force = absl::GetFlag(FLAGS_force)});
}

}  // namespace
}  // namespace rwkvd

int main(int argc, char** argv) { return rwkvd::Main({argv + 1, argv + argc}); }
