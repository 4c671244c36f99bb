// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_VERIFY_FILES_H_
#define RWKVD_CORE_CHECKPOINT_VERIFY_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// What VerifyFiles has compared. A value.
struct VerifiedFiles {
  int64_t num_digests = 0;    // SHA-256 digests of files
  int64_t num_checksums = 0;  // CRC-32 checksums of parts of .pth files
  int64_t num_bytes = 0;      // that these cover
  // The paths of the files of weights of which at least a part has neither.
  std::vector<std::string> unverified;
};

// Receives the number of bytes that have been read and the total. An error ends
// the verification with this error. The calls come from any thread, one at a
// time.
using VerifyFilesProgress = absl::FunctionRef<absl::Status(int64_t, int64_t)>;

// Reads the files of a checkpoint and compares them with their checksums:
//
// - Files that release-manifest.json in the same directory lists, with the
//   SHA-256 digests there: the weights and their index, and, if they exist, the
//   tokenizer, the chat template and the configuration. Other files, such as
//   README.md, are not needed to serve the model and not examined.
// - Other .pth files, with the CRC-32 checksums that they contain.
//
// The files are read in parallel on `pool`, in small pieces. DataLoss, with the
// file and the two values, if one differs; InvalidArgument if the manifest is
// malformed; or the error of reading.
absl::StatusOr<VerifiedFiles> VerifyFiles(const TensorFile& file,
                                          ThreadPool& pool,
                                          VerifyFilesProgress progress);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_VERIFY_FILES_H_
