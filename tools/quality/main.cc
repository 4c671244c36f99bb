// SPDX-License-Identifier: Apache-2.0
// quality: compares a model with other weight types with the original model.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cli/command_line.h"
#include "cli/failure_handlers.h"
#include "cli/share_folders.h"
#include "core/base/cpu_quota.h"
#include "core/base/exceptions.h"
#include "core/base/json.h"
#include "core/base/mapped_file.h"
#include "core/base/mapping_faults.h"
#include "core/base/status_macros.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/model/load_model.h"
#include "core/text/load_tokenizer.h"
#include "tools/quality/documents.h"
#include "tools/quality/measurement.h"

ABSL_FLAG(std::string, reference, "", "The original model: a file or folder.");
ABSL_FLAG(std::string, model, "", "The model to measure: a file or folder.");
ABSL_FLAG(std::string, text, "", "A file of documents.");
ABSL_FLAG(std::string, separator, "00",
          "The bytes that separate documents, in hexadecimal.");
ABSL_FLAG(std::string, tokenizer, "",
          "A tokenizer, as in rwkvd. If empty: the one in --reference or next "
          "to it.");
ABSL_FLAG(int64_t, max_tokens, 1024,
          "Maximum tokens to read of each document.");
ABSL_FLAG(std::string, activations, "auto",
          "The flag of rwkvd, for --model. --reference always has f32.");
ABSL_FLAG(float, group_norm_epsilon, rwkvd::kGroupNormEpsilon,
          "The same flag as that of rwkvd.");

namespace rwkvd {
namespace {

constexpr absl::string_view kFiles[] = {"tools/quality/main.cc"};

constexpr char kHelp[] =
    "quality --reference=MODEL --model=MODEL --text=FILE [flags]\n\n"
    "Measures how well a model predicts texts, and how much it differs from a "
    "reference\nmodel with the same vocabulary. Prints a line of JSON.\n\n";

struct Loaded {
  std::shared_ptr<const TensorFile> file;
  std::unique_ptr<const Model> model;
};

absl::StatusOr<Loaded> Load(const std::string& path,
                            ActivationKind activations) {
  Loaded loaded;
  RWKVD_ASSIGN_OR_RETURN(loaded.file, TensorFile::Open(path));
  RWKVD_ASSIGN_OR_RETURN(
      loaded.model,
      LoadModel(loaded.file,
                {.group_norm_epsilon = absl::GetFlag(FLAGS_group_norm_epsilon),
                 .activations = activations}));
  return loaded;
}

absl::StatusOr<ActivationKind> ActivationsOfModel() {
  const auto kind = ActivationKindFromName(absl::GetFlag(FLAGS_activations));
  if (kind.has_value()) return *kind;
  return absl::InvalidArgumentError(
      absl::StrCat("--activations: expected auto, int8 or f32, got ",
                   absl::GetFlag(FLAGS_activations)));
}

absl::StatusOr<std::vector<Document>> ReadDocuments(const Loaded& reference) {
  const TensorFile& file = *reference.file;
  RWKVD_ASSIGN_OR_RETURN(const GgufTokenizer embedded,
                         file.embedded_tokenizer());
  RWKVD_ASSIGN_OR_RETURN(
      const ChosenTokenizer chosen,
      ChooseTokenizer(
          {.name = absl::GetFlag(FLAGS_tokenizer),
           .directory = file.directory(),
           .model_vocab_size = reference.model->config().vocab_size,
           .embedded = {embedded.model, embedded.tokens, embedded.types},
           .file = file.path(),
           .share_folders = ShareFolders("")}));
  RWKVD_ASSIGN_OR_RETURN(const auto text,
                         MappedFile::Open(absl::GetFlag(FLAGS_text)));
  return EncodeDocuments(
      absl::string_view(reinterpret_cast<const char*>(text->bytes().data()),
                        text->bytes().size()),
      absl::HexStringToBytes(absl::GetFlag(FLAGS_separator)),
      absl::GetFlag(FLAGS_max_tokens), *chosen.tokenizer);
}

absl::StatusOr<std::string> Measure() {
  RWKVD_ASSIGN_OR_RETURN(const ActivationKind activations,
                         ActivationsOfModel());
  RWKVD_ASSIGN_OR_RETURN(
      const Loaded reference,
      Load(absl::GetFlag(FLAGS_reference), ActivationKind::kF32));
  RWKVD_ASSIGN_OR_RETURN(const Loaded measured,
                         Load(absl::GetFlag(FLAGS_model), activations));
  RWKVD_ASSIGN_OR_RETURN(const auto documents, ReadDocuments(reference));
  const ModelConfig& config = measured.model->config();
  if (documents.empty() ||
      config.vocab_size != reference.model->config().vocab_size) {
    return absl::InvalidArgumentError(
        "expected two models with the same vocabulary, and at least one "
        "document of two or more tokens");
  }
  ThreadPool pool(UsableCpus());
  const Quality quality =
      MeasureQuality(*reference.model, *measured.model, documents, {}, pool);
  const Json json = {
      {"weight_type", config.weight_type},
      {"activations", NameOf(activations)},
      {"isa", BestKernels().name},
      {"documents", documents.size()},
      {"tokens", quality.num_tokens},
      {"bytes", quality.num_bytes},
      {"bits_per_byte", quality.bits_per_byte},
      {"reference_bits_per_byte", quality.reference_bits_per_byte},
      {"mean_kl", quality.mean_kl},
      {"kl_99.9", quality.kl_999},
      {"greedy_tokens", quality.num_greedy_tokens},
      {"greedy_agreement", quality.greedy_agreement},
      {"greedy_prefix", quality.greedy_prefix},
  };
  return json.dump();
}

// Whether `text` is one or more bytes in hexadecimal.
bool IsHex(absl::string_view text) {
  return !text.empty() && text.size() % 2 == 0 &&
         std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

int Main(const std::vector<std::string>& args) {
  const absl::StatusOr<CommandLine> line = ParseCommandLine(args, kFiles);
  if (line.ok() && line->help) {
    std::fputs(absl::StrCat(kHelp, DescribeFlags(kFiles)).c_str(), stdout);
    return 0;
  }
  if (!line.ok() || !line->arguments.empty() ||
      !IsHex(absl::GetFlag(FLAGS_separator)) ||
      absl::GetFlag(FLAGS_max_tokens) < 2) {
    std::fputs("quality: wrong command line (--help)\n", stderr);
    return 2;
  }
  const absl::StatusOr<std::string> result = CatchExceptions(Measure);
  if (!result.ok()) {
    std::fprintf(stderr, "quality: %s\n",
                 std::string(result.status().message()).c_str());
    return 1;
  }
  std::puts(result->c_str());
  return 0;
}

}  // namespace
}  // namespace rwkvd

int main(int argc, char** argv) {
  rwkvd::InstallFailureHandlers("quality", argv[0]);
  rwkvd::InstallMappingFaultHandler(rwkvd::FaultAction::kExit);
  return rwkvd::Main({argv + 1, argv + argc});
}
