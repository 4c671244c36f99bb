// SPDX-License-Identifier: Apache-2.0
#include "service/model_watch.h"

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/futex.h"
#include "core/checkpoint/finite_weights.h"
#include "service/log.h"

namespace rwkvd {
namespace {

constexpr std::chrono::minutes kInterval{1};

// The pause after a comparison, so that many short requests do not cause many
// comparisons.
constexpr std::chrono::milliseconds kPause{2};

}  // namespace

ModelWatch::ModelWatch(std::shared_ptr<const TensorFile> files)
    : files_(std::move(files)) {}

ModelWatch::~ModelWatch() { Stop(); }

void ModelWatch::Start(std::function<void(absl::Status)> on_damage) {
  thread_ =
      std::thread([this, on_damage = std::move(on_damage)] { Run(on_damage); });
}

void ModelWatch::Stop() {
  stop_ = true;
  CheckSoon();
  if (thread_.joinable()) thread_.join();
}

void ModelWatch::CheckSoon() {
  num_wishes_.fetch_add(1);
  FutexWake(num_wishes_, 1);
}

void ModelWatch::SearchWeightsSoon() {
  if (!wants_search_.exchange(true)) CheckSoon();
}

void ModelWatch::SearchWeights() {
  const absl::Status status =
      CheckFinite(*files_, [this] { return stop_.load(); });
  if (absl::IsCancelled(status)) return;
  LogWarning(
      status.ok()
          ? absl::StrCat(
                "predictions were not finite, although all weights of ",
                files_->path(), " are: the model's arithmetic has overflowed")
          : absl::StrCat("predictions were not finite because of a weight: ",
                         status.message()));
}

void ModelWatch::Run(const std::function<void(absl::Status)>& on_damage) {
  uint32_t num_fulfilled = 0;
  bool has_searched = false;
  while (true) {
    // Returns at once if there are new wishes.
    FutexWait(num_wishes_, num_fulfilled, kInterval);
    if (stop_) return;
    num_fulfilled = num_wishes_;
    absl::Status status = Check();
    if (!status.ok()) return on_damage(std::move(status));
    if (wants_search_ && !std::exchange(has_searched, true)) SearchWeights();
    std::this_thread::sleep_for(kPause);
  }
}

absl::Status ModelWatch::Check() {
  absl::Status status = files_->CheckUnchanged();
  const bool is_replaced = status.ok() && files_->IsReplaced();
  absl::MutexLock lock(&mutex_);
  if (is_replaced) NoteReplacement();
  if (status.ok() || !damage_.ok()) return damage_;
  damage_ = std::move(status);
  is_damaged_ = true;
  LogWarning(absl::StrCat("the model is damaged: ", damage_.message()));
  return damage_;
}

void ModelWatch::NoteReplacement() {
  if (std::exchange(noted_replacement_, true)) return;
  LogInfo(
      absl::StrCat("files of ", files_->path(),
                   " were replaced or removed; this server uses the earlier "
                   "ones until it is started again"));
}

absl::Status ModelWatch::ForRequests() {
  if (!is_damaged_) {
    const bool is_lost = files_->IsLost();
    const uint32_t step = num_steps_.fetch_add(1, std::memory_order_relaxed);
    if (is_lost || step % kStepsPerCheck == 0) CheckSoon();
    if (!is_lost) return absl::OkStatus();
  }
  return MakeError(
      ErrorReason::kModelFilesChanged,
      "the files of the model were changed while they were served; this server "
      "ends");
}

}  // namespace rwkvd
