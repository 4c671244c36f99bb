// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/calibration.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "cli/share_folders.h"
#include "core/base/check.h"
#include "core/base/file_error.h"
#include "core/base/mapped_file.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/stored_name.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/model/load_model.h"
#include "core/model/matmul_interceptor.h"
#include "core/text/load_tokenizer.h"
#include "tools/rwkv_convert/conversion.h"
#include "tools/rwkv_convert/gptq/gptq_quantize.h"

namespace rwkvd {
namespace {

constexpr int64_t kPieceTokens = 128;  // per forward pass
constexpr absl::string_view kHead = "head.weight";
// These are rounded after the other matrices of their block.
constexpr absl::string_view kOutput = "att.output.weight";
constexpr absl::string_view kFfnValue = "ffn.value.weight";

using Tokens = absl::Span<const int32_t>;

std::vector<float> CopyOf(const std::vector<Rows>& activations) {
  std::vector<float> copy;
  for (const Rows& rows : activations) {
    copy.insert(copy.end(), rows.data, rows.data + rows.num * rows.width);
  }
  return copy;
}

void CopyTo(const std::vector<Rows>& activations, const float* from) {
  for (const Rows& rows : activations) {
    const int64_t size = rows.num * rows.width;
    std::copy_n(from, size, rows.data);
    from += size;
  }
}

// Passes the inputs of matmuls to the accumulator, and replaces the matrices of
// the rounded model.
class Interceptor final : public MatMulInterceptor {
 public:
  Interceptor(bool is_rounded, HessianAccumulator* hessian,
              const absl::flat_hash_map<const std::byte*, Matrix>& rounded)
      : is_rounded_(is_rounded), hessian_(hessian), rounded_(rounded) {}

  const Matrix& Intercept(const Matrix& w, Rows x) override {
    if (!is_rounded_) {
      if (hessian_ != nullptr) hessian_->AddOriginal(w, x);
      return w;
    }
    if (hessian_ != nullptr) hessian_->AddRounded(w, x);
    const auto found = rounded_.find(w.data);
    return found == rounded_.end() ? w : found->second;
  }

 private:
  const bool is_rounded_;
  HessianAccumulator* const hessian_;
  const absl::flat_hash_map<const std::byte*, Matrix>& rounded_;
};

Matrix ViewOf(const QuantizedMatrix& quantized, const Tensor& matrix,
              QuantForm form) {
  const int64_t rows = matrix.shape[0], cols = matrix.shape[1];
  return {.rows = rows,
          .cols = cols,
          .quantized =
              QuantizedWeights{.type = form.type,
                               .order = form.order,
                               .int16_activations = form.int16_activations(),
                               .rows = rows,
                               .cols = cols,
                               .quants = quantized.quants.data(),
                               .scales = quantized.scales.data()}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Calibration>> Calibration::Create(
    std::shared_ptr<const TensorFile> source, WeightKind weights,
    const CalibrationOptions& options, ThreadPool* pool) {
  auto calibration =
      absl::WrapUnique(new Calibration(std::move(source), options, pool));
  RWKVD_ASSIGN_OR_RETURN(calibration->model_, LoadModel(calibration->source_));
  RWKVD_RETURN_IF_ERROR(calibration->ReadText());
  calibration->workspace_ =
      calibration->model_->NewWorkspace(kPieceTokens, pool);
  calibration->Plan(weights);
  calibration->Restart();
  return calibration;
}

absl::Status Calibration::ReadText() {
  const int64_t vocab_size = model_->config().vocab_size;
  RWKVD_ASSIGN_OR_RETURN(const GgufTokenizer embedded,
                         source_->embedded_tokenizer());
  RWKVD_ASSIGN_OR_RETURN(
      const ChosenTokenizer chosen,
      ChooseTokenizer(
          {.directory = source_->directory(),
           .model_vocab_size = vocab_size,
           .embedded = {embedded.model, embedded.tokens, embedded.types},
           .file = source_->path(),
           .share_folders = ShareFolders("")}));
  const Tokenizer& tokenizer = *chosen.tokenizer;
  RWKVD_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(options_.text));
  const auto bytes = file->bytes();
  if (static_cast<int64_t>(bytes.size()) > kMaxTextBytes) {
    return FileError(options_.text)("expected at most ", kMaxTextBytes,
                                    " bytes of text, got ", bytes.size(),
                                    "; some hundred thousand are enough");
  }
  RWKVD_ASSIGN_OR_RETURN(
      const std::vector<int32_t> tokens,
      tokenizer.Encode(
          {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  if (tokens.empty())
    return FileError(options_.text)("expected text, got an empty file");
  const int32_t largest = *std::max_element(tokens.begin(), tokens.end());
  if (largest >= vocab_size) {
    return FileError(options_.text)("token ", largest,
                                    " is not in a vocabulary of ", vocab_size);
  }
  const int64_t size = static_cast<int64_t>(tokens.size());
  const int64_t all = (size + kWindowTokens - 1) / kWindowTokens;
  const int64_t wanted =
      std::min(all, std::max<int64_t>(1, options_.max_tokens / kWindowTokens));
  for (int64_t i = 0; i < wanted; ++i) {
    const Tokens window =
        Tokens(tokens).subspan(i * all / wanted * kWindowTokens, kWindowTokens);
    windows_.emplace_back(window.begin(), window.end());
    num_tokens_ += static_cast<int64_t>(window.size());
    for (const int32_t id : window) {
      num_bytes_ += static_cast<int64_t>(tokenizer.TokenBytes(id).size());
    }
  }
  return absl::OkStatus();
}

Calibration::Step Calibration::StepFor(const Tensor& matrix) const {
  if (matrix.name == kHead) return {num_blocks(), false, {}};
  const std::optional<LayerName> name = SplitLayerName(matrix.name);
  RWKVD_CHECK(name.has_value());
  int64_t layer;
  RWKVD_CHECK(absl::SimpleAtoi(name->number, &layer));
  return {2 * layer + absl::StartsWith(name->part, "ffn."),
          name->part == kOutput || name->part == kFfnValue,
          {}};
}

void Calibration::Plan(WeightKind weights) {
  std::map<std::pair<int64_t, bool>, Step> steps;
  for (const auto& [name, matrix] : source_->tensors()) {
    const auto form = FormAfter(matrix, weights);
    if (!form.has_value()) continue;
    Step step = StepFor(matrix);
    const auto at = std::pair(step.block, step.is_second);
    steps.try_emplace(at, std::move(step))
        .first->second.matrices.push_back({&matrix, *form});
  }
  for (auto& [at, step] : steps) steps_.push_back(std::move(step));
  const int64_t blocks =
      std::min(steps_.empty() ? 0 : steps_.back().block + 1, num_blocks());
  num_passes_ = blocks + static_cast<int64_t>(steps_.size());
}

void Calibration::Restart() {
  tokens_done_ = 0;
  next_block_ = 0;
  next_step_ = 0;
  done_.clear();
  pieces_.clear();
  State state = model_->NewState();  // Embed does not change it
  for (const std::vector<int32_t>& window : windows_) {
    for (size_t first = 0; first < window.size(); first += kPieceTokens) {
      Piece& piece = pieces_.emplace_back();
      piece.tokens = Tokens(window).subspan(first, kPieceTokens);
      piece.begins_window = first == 0;
      const Chunk chunk{.tokens = piece.tokens, .state = &state};
      const auto pass = model_->BeginPass({&chunk, 1}, *workspace_);
      pass->Embed();
      piece.carried[kOriginal] = piece.carried[kRounded] =
          CopyOf(pass->CarriedActivations());
    }
  }
}

absl::StatusOr<QuantizedMatrix> Calibration::Take(const Tensor& matrix,
                                                  OnProgress progress) {
  while (!done_.contains(&matrix)) {
    RWKVD_CHECK(next_step_ < steps_.size());  // it was planned
    RWKVD_RETURN_IF_ERROR(RunNextBlock(progress));
  }
  return std::move(done_.extract(&matrix).mapped());
}

absl::Status Calibration::RunNextBlock(OnProgress progress) {
  const int64_t block = next_block_++;
  bool has_steps = false;
  while (next_step_ < steps_.size() && steps_[next_step_].block == block) {
    const Step& step = steps_[next_step_++];
    const bool is_last =
        next_step_ == steps_.size() || steps_[next_step_].block != block;
    RWKVD_RETURN_IF_ERROR(RunStep(step, is_last, progress));
    has_steps = true;
  }
  if (block < num_blocks()) {
    RWKVD_RETURN_IF_ERROR(RunPass(
        {.block = block, .keeps_original = !has_steps, .keeps_rounded = true},
        progress));
  }
  rounded_.clear();
  return absl::OkStatus();
}

// Collects the Hessians of the matrices of a step, and rounds the matrices. The
// activations of the original model after the block do not depend on rounding:
// they are kept in the last step of the block.
absl::Status Calibration::RunStep(const Step& step, bool is_last,
                                  OnProgress progress) {
  HessianAccumulator hessian(&BestKernels(), &pool_);
  // In other versions the receptance gates the output of ffn.value before it is
  // added to the stream.
  const bool adds_value = model_->config().architecture == Architecture::kRwkv7;
  for (const Planned& planned : step.matrices) {
    const Tensor& matrix = *planned.matrix;
    const bool adds = absl::EndsWith(matrix.name, kOutput) ||
                      (absl::EndsWith(matrix.name, kFfnValue) && adds_value);
    hessian.Track(matrix.data.data(), matrix.shape[1],
                  adds ? model_->config().embedding_size : 0);
  }
  RWKVD_RETURN_IF_ERROR(RunPass(
      {.block = step.block, .hessian = &hessian, .keeps_original = is_last},
      progress));
  // Several tensors may share their weights.
  absl::flat_hash_map<const std::byte*, std::vector<GptqFactors>> made;
  for (const auto& [matrix, form] : step.matrices) {
    const auto [found, is_new] = made.try_emplace(matrix->data.data());
    std::vector<GptqFactors>& factors = found->second;
    if (is_new) factors = hessian.MakeFactors(matrix->data.data());
    if (factors.empty()) {
      return FileError(source_->path())
          .In("tensor", matrix->name)(
              "cannot be calibrated: its inputs are not always finite");
    }
    RWKVD_ASSIGN_OR_RETURN(QuantizedMatrix quantized,
                           GptqQuantizeMatrix(*matrix, form, factors, pool_));
    rounded_[matrix->data.data()] = ViewOf(quantized, *matrix, form);
    done_.emplace(matrix, std::move(quantized));
  }
  return absl::OkStatus();
}

absl::Status Calibration::RunPass(const TextPass& pass, OnProgress progress) {
  std::optional<State> states[kNumModels];
  std::vector<float> lack;
  for (Piece& piece : pieces_) {
    const int64_t num = static_cast<int64_t>(piece.tokens.size());
    if (piece.begins_window) {
      for (auto& state : states) state = model_->NewState();
    }
    if (pass.hessian != nullptr) {
      const int64_t width = model_->config().embedding_size;
      lack.resize(num * width);
      for (int64_t i = 0; i < num * width; ++i) {
        lack[i] = piece.carried[kOriginal][i] - piece.carried[kRounded][i];
      }
      pass.hessian->set_stream_error({lack.data(), num, width});
    }
    for (const ModelKind kind : {kOriginal, kRounded}) {
      if (pass.hessian == nullptr && kind == kOriginal &&
          !pass.keeps_original) {
        continue;
      }
      RunPiece(pass, kind, *states[kind], piece);
    }
    tokens_done_ += num;
    RWKVD_RETURN_IF_ERROR(progress(
        "calibrating", num_bytes_ * tokens_done_ / (num_passes_ * num_tokens_),
        num_bytes_));
  }
  return absl::OkStatus();
}

void Calibration::RunPiece(const TextPass& pass, ModelKind kind, State& state,
                           Piece& piece) {
  const int64_t num = static_cast<int64_t>(piece.tokens.size());
  const bool is_head = pass.block == num_blocks();
  Chunk chunk{.tokens = piece.tokens, .state = &state};
  if (is_head) {
    logits_.resize(num * model_->config().vocab_size);
    chunk.wanted = LogitsWanted::kAll;
    chunk.logits = absl::MakeSpan(logits_);
  }
  const auto run = model_->BeginPass({&chunk, 1}, *workspace_);
  CopyTo(run->CarriedActivations(), piece.carried[kind].data());
  Interceptor interceptor(kind == kRounded, pass.hessian, rounded_);
  workspace_->set_interceptor(&interceptor);
  if (is_head) {
    run->ComputeLogits();
  } else if (pass.block % 2 == 0) {
    run->RunTimeMixing(pass.block / 2);
  } else {
    run->RunChannelMixing(pass.block / 2);
  }
  workspace_->set_interceptor(nullptr);
  const bool is_kept =
      kind == kOriginal ? pass.keeps_original : pass.keeps_rounded;
  if (is_kept) piece.carried[kind] = CopyOf(run->CarriedActivations());
}

}  // namespace rwkvd
