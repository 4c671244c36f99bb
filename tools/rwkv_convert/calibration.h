// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_CALIBRATION_H_
#define RWKVD_TOOLS_RWKV_CONVERT_CALIBRATION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "core/kernels/feedback.h"
#include "core/model/input_moments.h"
#include "core/model/model.h"

namespace rwkvd {

// Whether and how to calibrate. A value.
struct CalibrationOptions {
  std::string text;  // the path of a file; empty: no calibration
  // To read of it: windows of Calibration::kWindowTokens, evenly spread, each
  // from the state before the first token.
  int64_t max_tokens = 32768;
  // For moments; more where one matrix takes more.
  int64_t max_bytes = int64_t{2} << 30;
};

// Runs a network as it is stored over a text, to learn how the columns of its
// matrices can make up for one another's rounding (core/kernels/feedback.h).
//
// Where the moments of all matrices do not fit into max_bytes, it reads the
// text several times, for some matrices each. Thread-compatible. The results
// depend on the weights, the text and, as logits do, the instruction set; not
// on the number of threads.
class Calibration {
 public:
  using OnProgress = absl::FunctionRef<absl::Status(absl::string_view doing,
                                                    int64_t, int64_t)>;

  static constexpr int64_t kWindowTokens = 1024;
  static constexpr int64_t kMaxTextBytes = int64_t{64} << 20;

  // `pool` outlives it. Loads the network and its tokenizer, which is found
  // beside it. Errors are those of MappedFile, LoadModel and FindTokenizer, and
  // InvalidArgument for a text without a token, with one that the network does
  // not know, or of more than kMaxTextBytes.
  static absl::StatusOr<std::unique_ptr<Calibration>> Create(
      std::shared_ptr<const TensorFile> source,
      const CalibrationOptions& options, ThreadPool* pool);

  // The matrices that will be asked for, in that order; of `source`.
  void Plan(std::vector<const Tensor*> matrices) {
    planned_ = std::move(matrices);
  }

  // For `matrix`, one of those planned. InvalidArgument if what the network
  // multiplies it with is not always finite; or what `progress` returns, which
  // is told the bytes of text that have been read.
  absl::StatusOr<std::vector<Feedback>> FeedbackFor(const Tensor& matrix,
                                                    OnProgress progress);

 private:
  Calibration(std::shared_ptr<const TensorFile> source,
              const CalibrationOptions& options, ThreadPool* pool)
      : source_(std::move(source)), options_(options), pool_(*pool) {}

  absl::Status ReadText();
  // Gathers moments for as many matrices as fit, from that of number `first`
  // on.
  absl::Status Gather(size_t first, OnProgress progress);
  absl::Status ReadWindows(bool with_head, OnProgress progress);

  const std::shared_ptr<const TensorFile> source_;
  const CalibrationOptions options_;
  ThreadPool& pool_;
  std::unique_ptr<const Model> model_;
  std::vector<std::vector<int32_t>> windows_;  // of tokens
  int64_t num_tokens_ = 0, num_bytes_ = 0;     // in all windows
  std::vector<const Tensor*> planned_;
  std::optional<InputMoments> moments_;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_CALIBRATION_H_
