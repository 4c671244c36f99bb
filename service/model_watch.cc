// SPDX-License-Identifier: Apache-2.0
#include "service/model_watch.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "service/log.h"

namespace rwkvd {
namespace {

constexpr absl::Duration kInterval = absl::Minutes(1);

// The pause after a comparison, so that many short requests do not cause many
// comparisons.
constexpr absl::Duration kPause = absl::Milliseconds(2);

}  // namespace

ModelWatch::ModelWatch(std::shared_ptr<const TensorFile> files)
    : files_(std::move(files)) {}

ModelWatch::~ModelWatch() { Stop(); }

void ModelWatch::Start(std::function<void(absl::Status)> on_damage) {
  thread_ =
      std::thread([this, on_damage = std::move(on_damage)] { Run(on_damage); });
}

void ModelWatch::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void ModelWatch::CheckSoon() {
  absl::MutexLock lock(&mutex_);
  check_soon_ = true;
}

void ModelWatch::Run(const std::function<void(absl::Status)>& on_damage) {
  const auto is_due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stop_ || check_soon_;
  };
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&stop_), kPause);
      mutex_.AwaitWithTimeout(absl::Condition(&is_due), kInterval);
      if (stop_) return;
      check_soon_ = false;
    }
    absl::Status status = Check();
    if (!status.ok()) return on_damage(std::move(status));
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
    if (!files_->IsLost()) return absl::OkStatus();
    CheckSoon();
  }
  return absl::InternalError(
      "the files of the model were changed while they were served; this server "
      "ends");
}

}  // namespace rwkvd
