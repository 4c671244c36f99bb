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
  std::string text;  // the path of a file; empty: no calibration
  // To read of it: windows of Calibration::kWindowTokens, evenly spread, each
  // from the state before the first token.
  int64_t max_tokens = 32768;
};

// Quantizes the matrices of a network for a text: runs the network as it is
// stored over it, and beside it one whose matrices are rounded as far as it has
// come. A matrix is corrected for what its inputs have become, and rounded so
// that its columns make up for one another
// (tools/rwkv_convert/gptq/gptq_factors.h).
//
// The matrices of a block are rounded in one or two steps: att.output and
// ffn.value when those are that make their inputs. For each step, and at the
// end of the block, both networks run the block over the whole text; what
// passes from block to block is kept in memory, 8 bytes for each token and
// channel (version 7: 16).
//
// Thread-compatible. The results depend on the weights, the text and, as logits
// do, the instruction set; not on the number of threads.
class Calibration {
 public:
  using OnProgress = absl::FunctionRef<absl::Status(absl::string_view doing,
                                                    int64_t, int64_t)>;

  static constexpr int64_t kWindowTokens = 1024;
  static constexpr int64_t kMaxTextBytes = int64_t{64} << 20;

  // For the matrices that `weights` has quantized. `pool` outlives it. Loads
  // the network and its tokenizer, which is found beside it. Errors are those
  // of MappedFile, LoadModel and FindTokenizer, and InvalidArgument for a text
  // without a token, with one that the network does not know, or of more than
  // kMaxTextBytes.
  static absl::StatusOr<std::unique_ptr<Calibration>> Create(
      std::shared_ptr<const TensorFile> source, WeightKind weights,
      const CalibrationOptions& options, ThreadPool* pool);

  // From then on, all matrices can be asked for once more.
  void Restart();

  // `matrix` of the source, quantized; nobody has asked for it yet. Runs as far
  // as it must; what is not asked for in the order of layers stays in memory
  // until then. InvalidArgument if what the network multiplies it with is not
  // always finite, or a weight is not; or what `progress` returns, which
  // is told how far it has come as if it read the text once.
  absl::StatusOr<QuantizedMatrix> Take(const Tensor& matrix,
                                       OnProgress progress);

 private:
  enum Network { kOriginal, kRounded, kNumNetworks };

  // A matrix of the source, and how it is to be quantized.
  struct Planned {
    const Tensor* matrix;
    QuantForm form;
  };

  // Consecutive tokens of a window, as many as a forward pass takes.
  struct Piece {
    absl::Span<const int32_t> tokens;
    bool begins_window;
    // The activations that the previous block carried over.
    std::vector<float> carried[kNumNetworks];
  };

  // Matrices that are rounded together. The head comes after the last block.
  struct Step {
    int64_t block;
    bool is_second;  // of the block
    std::vector<Planned> matrices;
  };

  // What is done with the text at a time.
  struct Pass {
    int64_t block;
    HessianAccumulator* hessian = nullptr;  // nullptr: none are gathered
    bool keeps_original = false;            // what the block passes on
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
  absl::Status RunPass(const Pass& pass, OnProgress progress);
  void RunPiece(const Pass& pass, Network network, State& state, Piece& piece);

  const std::shared_ptr<const TensorFile> source_;
  const CalibrationOptions options_;
  ThreadPool& pool_;
  std::unique_ptr<const LayeredModel> model_;
  std::optional<Workspace> workspace_;
  std::vector<float> logits_;                  // of a piece; nobody reads them
  std::vector<std::vector<int32_t>> windows_;  // of tokens
  std::vector<Piece> pieces_;
  int64_t num_tokens_ = 0, num_bytes_ = 0;  // in all windows

  std::vector<Step> steps_;
  int64_t num_passes_ = 0;  // that the plan takes
  int64_t tokens_done_ = 0;
  int64_t next_block_ = 0;
  size_t next_step_ = 0;
  // Of the block at work, by where the original's weights lie.
  absl::flat_hash_map<const std::byte*, Matrix> rounded_;
  absl::flat_hash_map<const Tensor*, QuantizedMatrix> done_;
};

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_CALIBRATION_H_
