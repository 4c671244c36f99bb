// SPDX-License-Identifier: Apache-2.0
#include "service/open_tokenizer.h"

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "cli/share_folders.h"
#include "core/base/mapped_file.h"
#include "core/base/status_macros.h"
#include "core/text/load_tokenizer.h"
#include "service/log.h"

namespace rwkvd {
namespace {

void LogChosen(const ChosenTokenizer& chosen, int64_t model_vocab_size) {
  const Tokenizer& tokenizer = *chosen.tokenizer;
  const std::string what = absl::StrCat(chosen.source, " (", tokenizer.kind(),
                                        ", ", tokenizer.size(), " tokens)");
  if (!chosen.is_guess) return LogInfo(absl::StrCat("tokenizer: ", what));
  LogInfo(absl::StrCat("tokenizer: the model comes without one; it gets ", what,
                       ", because its vocabulary has ", model_vocab_size,
                       " tokens"));
}

absl::StatusOr<ChosenTokenizer> Choose(const Options& options,
                                       const TensorFile& file,
                                       int64_t model_vocab_size) {
  GgufTokenizer embedded;
  if (options.tokenizer.empty()) {
    RWKVD_ASSIGN_OR_RETURN(embedded, file.embedded_tokenizer());
  }
  absl::StatusOr<ChosenTokenizer> chosen = ChooseTokenizer(
      {.name = options.tokenizer,
       .directory = file.directory(),
       .model_vocab_size = model_vocab_size,
       .embedded = {embedded.model, embedded.tokens, embedded.types},
       .file = file.path(),
       .share_folders = ShareFolders(options.share_dir)});
  if (chosen.ok() || !options.tokenizer.empty()) return chosen;
  return absl::Status(
      chosen.status().code(),
      absl::StrCat(chosen.status().message(),
                   "; --tokenizer=PATH chooses one, --tokenizer=none serves "
                   "token ids alone"));
}

}  // namespace

absl::StatusOr<ChosenTokenizer> OpenTokenizer(const Options& options,
                                              const TensorFile& file,
                                              int64_t model_vocab_size) {
  RWKVD_ASSIGN_OR_RETURN(ChosenTokenizer chosen,
                         Choose(options, file, model_vocab_size));
  LogChosen(chosen, model_vocab_size);
  const absl::Status fit = CheckFit(*chosen.tokenizer, model_vocab_size);
  if (fit.ok()) return chosen;
  const std::string message = absl::StrCat(chosen.source, ": ", fit.message());
  if (!options.allow_tokenizer_mismatch) {
    return absl::InvalidArgumentError(absl::StrCat(
        message, "; --allow_tokenizer_mismatch serves it nevertheless"));
  }
  LogWarning(message);
  return chosen;
}

absl::StatusOr<std::string> TokenizerJsonOf(const ChosenTokenizer& chosen) {
  if (chosen.tokenizer->kind() != "bpe") return std::string();
  RWKVD_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file,
                         MappedFile::Open(chosen.source));
  std::string text(file->bytes().size(), '\0');
  RWKVD_RETURN_IF_ERROR(file->Read(
      0,
      absl::MakeSpan(reinterpret_cast<std::byte*>(text.data()), text.size())));
  return text;
}

}  // namespace rwkvd
