// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/calibration.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/string_view.h"
#include "core/base/check.h"
#include "core/base/mapped_file.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/complaint.h"
#include "core/model/load_model.h"
#include "core/text/load_tokenizer.h"

namespace rwkvd {
namespace {

constexpr int64_t kPieceTokens = 128;  // of a forward pass
constexpr absl::string_view kHead = "head.weight";

using Tokens = absl::Span<const int32_t>;

}  // namespace

absl::StatusOr<std::unique_ptr<Calibration>> Calibration::Create(
    std::shared_ptr<const TensorFile> source, const CalibrationOptions& options,
    ThreadPool* pool) {
  auto calibration =
      absl::WrapUnique(new Calibration(std::move(source), options, pool));
  RWKVD_ASSIGN_OR_RETURN(calibration->model_, LoadModel(calibration->source_));
  RWKVD_RETURN_IF_ERROR(calibration->ReadText());
  return calibration;
}

absl::Status Calibration::ReadText() {
  const int64_t vocab_size = model_->config().vocab_size;
  RWKVD_ASSIGN_OR_RETURN(const auto tokenizer,
                         FindTokenizer(source_->directory(), vocab_size));
  RWKVD_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(options_.text));
  const auto bytes = file->bytes();
  if (static_cast<int64_t>(bytes.size()) > kMaxTextBytes) {
    return Complaint(options_.text)("expected at most ", kMaxTextBytes,
                                    " bytes of text, got ", bytes.size(),
                                    "; some hundred thousand suffice");
  }
  RWKVD_ASSIGN_OR_RETURN(
      const std::vector<int32_t> tokens,
      tokenizer->Encode(
          {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  if (tokens.empty()) return Complaint(options_.text)("holds no text");
  const int32_t largest = *std::max_element(tokens.begin(), tokens.end());
  if (largest >= vocab_size) {
    return Complaint(options_.text)("token ", largest,
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
      num_bytes_ += static_cast<int64_t>(tokenizer->TokenBytes(id).size());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Feedback>> Calibration::FeedbackFor(
    const Tensor& matrix, OnProgress progress) {
  const std::byte* const weights = matrix.data.data();
  if (!moments_.has_value() || !moments_->IsWatched(weights)) {
    const auto found = std::find_if(
        planned_.begin(), planned_.end(),
        [&](const Tensor* planned) { return planned->data.data() == weights; });
    RWKVD_CHECK(found != planned_.end());
    RWKVD_RETURN_IF_ERROR(Gather(found - planned_.begin(), progress));
  }
  std::vector<Feedback> feedback = moments_->MakeFeedbacks(weights);
  if (!feedback.empty()) return feedback;
  return Complaint(source_->path())
      .About("tensor", matrix.name)(
          "cannot be calibrated: what the network multiplies it with is not "
          "always finite");
}

absl::Status Calibration::Gather(size_t first, OnProgress progress) {
  moments_.emplace(&pool_);
  int64_t bytes = 0;
  bool with_head = false;
  for (size_t i = first; i < planned_.size(); ++i) {
    const Tensor& matrix = *planned_[i];
    bytes += moments_->BytesFor(matrix.shape[1]);
    if (bytes > options_.max_bytes && i > first) break;
    with_head |= matrix.name == kHead;
    // Tensors may share their weights.
    if (moments_->IsWatched(matrix.data.data())) continue;
    moments_->Watch(matrix.data.data(), matrix.shape[1]);
  }
  return ReadWindows(with_head, progress);
}

absl::Status Calibration::ReadWindows(bool with_head, OnProgress progress) {
  Workspace workspace = model_->NewWorkspace(kPieceTokens, &pool_);
  workspace.set_observer(&*moments_);
  std::vector<float> logits;
  int64_t done = 0;
  for (const std::vector<int32_t>& window : windows_) {
    State state = model_->NewState();
    for (size_t first = 0; first < window.size(); first += kPieceTokens) {
      const Tokens piece = Tokens(window).subspan(first, kPieceTokens);
      Chunk chunk{.tokens = piece, .state = &state};
      if (with_head) {
        logits.resize(piece.size() * model_->config().vocab_size);
        chunk.wanted = LogitsWanted::kAll;
        chunk.logits = absl::MakeSpan(logits);
      }
      model_->Forward({chunk}, workspace);
      done += static_cast<int64_t>(piece.size());
      RWKVD_RETURN_IF_ERROR(
          progress("calibrating", num_bytes_ * done / num_tokens_, num_bytes_));
    }
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
