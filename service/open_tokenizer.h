// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPEN_TOKENIZER_H_
#define RWKVD_SERVICE_OPEN_TOKENIZER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"
#include "core/text/load_tokenizer.h"
#include "service/options/options.h"

namespace rwkvd {

// Opens the tokenizer of the model in `file` with this vocabulary: the one that
// --tokenizer names, or the one that ChooseTokenizer finds. Logs where it comes
// from. Returns the errors of ChooseTokenizer, and InvalidArgument if it cannot
// belong to the model, unless --allow_tokenizer_mismatch is given.
absl::StatusOr<ChosenTokenizer> OpenTokenizer(const Options& options,
                                              const TensorFile& file,
                                              int64_t model_vocab_size);

// The tokenizer.json that a BPE tokenizer was loaded from; empty for others.
// Returns the errors of MappedFile.
absl::StatusOr<std::string> TokenizerJsonOf(const ChosenTokenizer& chosen);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPEN_TOKENIZER_H_
