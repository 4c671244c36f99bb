// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_TOKENIZER_ARCHIVE_H_
#define RWKVD_SERVICE_VLLM_TOKENIZER_ARCHIVE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "service/served_model.h"

namespace rwkvd {

// The files from which a gateway makes the tokenizer and the chat template of a
// model, as a zip archive, and its SHA-256 digest in hexadecimal. A value.
struct TokenizerArchive {
  std::string zip;
  std::string sha256;
};

// Builds the archive: tokenizer.json in the form of the official releases,
// tokenizer_config.json, chat_template.jinja and config.json. Returns the
// errors of WriteTokenizerJson.
absl::StatusOr<TokenizerArchive> BuildTokenizerArchive(
    const ServedModel& model);

// Builds the archive of the one model when it is needed first, and keeps it:
// some megabytes, which all calls share. Thread-safe.
class TokenizerArchives {
 public:
  // Takes some ten milliseconds the first time. Returns the errors of
  // BuildTokenizerArchive.
  absl::StatusOr<std::shared_ptr<const TokenizerArchive>> Get(
      const ServedModel& model) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  std::shared_ptr<const TokenizerArchive> archive_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_TOKENIZER_ARCHIVE_H_
