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

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/layered_model.h"
#include "core/model/matrix.h"
#include "core/quantize/matrix.h"
#include "core/quantize/weight_kind.h"
#include "tools/rwkv_convert/gptq/hessian_accumulator.h"

namespace rwkvd {

// Whether and how to calibrate. A value.
struct CalibrationOptions {
  std::string text;  // path of a text file; empty: no calibration
  // The most tokens to read: windows of Calibration::kWindowTokens tokens,
  // evenly spread over the text. Each window starts with the initial state.
  int64_t max_tokens = 32768;
};

// Quantizes the matrices of a model with GPTQ, calibrated with a text. Runs two
// models over the text: the original one, and the rounded one, in which the
// matrices up to the current block are quantized. Each matrix is first
// corrected for the change of its inputs, then rounded so that its columns
// compensate for one another's errors (tools/rwkv_convert/gptq).
//
// The matrices of a block are rounded in one or two steps: att.output and
// ffn.value follow the matrices that produce their inputs. In each step, and at
// the end of the block, both models run the block over the whole text. The
// activations that are carried from block to block are kept in memory: 8 bytes
// for each token and channel (version 7: 16).
//
// Thread-compatible. The result depends on the weights, the text and, as logits
// do, on the instruction set, but not on the number of threads.
class Calibration {
 public:
  using OnProgress = absl::FunctionRef<absl::Status(absl::string_view doing,
                                                    int64_t, int64_t)>;

  static constexpr int64_t kWindowTokens = 1024;
  static constexpr int64_t kMaxTextBytes = int64_t{64} << 20;

  // Loads the model `source` and the tokenizer next to it. `weights` says which
  // matrices will be quantized. `pool` outlives the result. Errors are those of
  // MappedFile, LoadModel and ChooseTokenizer, and InvalidArgument if the text
  // has no token, has a token outside of the vocabulary, or has more than
  // kMaxTextBytes.
  static absl::StatusOr<std::unique_ptr<Calibration>> Create(
      std::shared_ptr<const TensorFile> source, WeightKind weights,
      const CalibrationOptions& options, ThreadPool* pool);

  // Starts over: all matrices can be taken once more.
  void Restart();

  // Returns the quantized form of `matrix` of the source, which must not have
  // been taken yet. Runs the models as far as needed. Matrices that are taken
  // later than in the order of layers stay in memory until then. `progress`
  // receives the progress as if the text was read once. InvalidArgument if an
  // input of the matrix or a weight is not finite; or the error that `progress`
  // returned.
  absl::StatusOr<QuantizedMatrix> Take(const Tensor& matrix,
                                       OnProgress progress);

 private:
  enum ModelKind { kOriginal, kRounded, kNumModels };

  // A matrix of the source, and the form that it gets.
  struct Planned {
    const Tensor* matrix;
    QuantForm form;
  };

  // Consecutive tokens of a window, at most as many as a forward pass takes.
  struct Piece {
    absl::Span<const int32_t> tokens;
    bool begins_window;
    // The activations that the previous block carried over.
    std::vector<float> carried[kNumModels];
  };

  // Matrices that are rounded together.
  struct Step {
    int64_t block;
    bool is_second;  // the second step of its block
    std::vector<Planned> matrices;
  };

  // One run of a block over the whole text.
  struct TextPass {
    int64_t block;
    HessianAccumulator* hessian = nullptr;  // nullptr: not collected
    bool keeps_original = false;            // the activations after the block
    bool keeps_rounded = false;
  };

  Calibration(std::shared_ptr<const TensorFile> source,
              const CalibrationOptions& options, ThreadPool* pool)
      : source_(std::move(source)), options_(options), pool_(*pool) {}

  // Block 2 * i is the time mixing of layer i, block 2 * i + 1 its channel
  // mixing; block num_blocks() is the head.
  int64_t num_blocks() const { return 2 * model_->config().num_layers; }
  absl::Status ReadText();
  void Plan(WeightKind weights);
  Step StepFor(const Tensor& matrix) const;
  absl::Status RunNextBlock(OnProgress progress);
  absl::Status RunStep(const Step& step, bool is_last, OnProgress progress);
  absl::Status RunPass(const TextPass& pass, OnProgress progress);
  void RunPiece(const TextPass& pass, ModelKind kind, State& state,
                Piece& piece);

  const std::shared_ptr<const TensorFile> source_;
  const CalibrationOptions options_;
  ThreadPool& pool_;
  std::unique_ptr<const LayeredModel> model_;
  std::optional<Workspace> workspace_;
  std::vector<float> logits_;                  // of a piece; never read
  std::vector<std::vector<int32_t>> windows_;  // of tokens
  std::vector<Piece> pieces_;
  int64_t num_tokens_ = 0, num_bytes_ = 0;  // in all windows

  std::vector<Step> steps_;
  int64_t num_passes_ = 0;  // over the text, of the whole plan
  int64_t tokens_done_ = 0;
  int64_t next_block_ = 0;
  size_t next_step_ = 0;
  // The rounded matrices of the current block, by the address of the original
  // weights.
  absl::flat_hash_map<const std::byte*, Matrix> rounded_;
  // Rounded, but not taken yet.
  absl::flat_hash_map<const Tensor*, QuantizedMatrix> done_;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_CALIBRATION_H_
