// SPDX-License-Identifier: Apache-2.0
#include "service/model_watch.h"

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "service/log.h"

namespace rwkvd {
namespace {

constexpr absl::Duration kInterval = absl::Minutes(1);

// After a comparison the thread pauses this many times as long as it took, so
// that it uses at most 1 % of a CPU, and few calls to a slow file system.
constexpr int kPauseFactor = 99;

absl::Duration SinceBegin(std::chrono::steady_clock::time_point begin) {
  return absl::FromChrono(std::chrono::steady_clock::now() - begin);
}

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
  absl::Duration pause = absl::ZeroDuration();
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&stop_), pause);
      mutex_.AwaitWithTimeout(absl::Condition(&is_due), kInterval);
      if (stop_) return;
      check_soon_ = false;
    }
    const auto begin = std::chrono::steady_clock::now();
    absl::Status status = Check();
    if (!status.ok()) return on_damage(std::move(status));
    pause = kPauseFactor * SinceBegin(begin);
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
  LogInfo(absl::StrCat("files of ", files_->path(),
                       " were replaced; this server uses the earlier ones "
                       "until it is started again"));
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
