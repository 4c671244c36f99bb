// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/stopper.h"

namespace rwkvd {

void Stopper::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  for (grpc::ClientContext* call : calls_) call->TryCancel();
}

bool Stopper::stopped() const {
  absl::MutexLock lock(&mutex_);
  return stopped_;
}

bool Stopper::Pause(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&stopped_), duration);
}

Stopper::Guard::Guard(Stopper* stopper, grpc::ClientContext* context)
    : stopper_(stopper), context_(context) {
  absl::MutexLock lock(&stopper_->mutex_);
  if (stopper_->stopped_) context_->TryCancel();
  stopper_->calls_.insert(context_);
}

Stopper::Guard::~Guard() {
  absl::MutexLock lock(&stopper_->mutex_);
  stopper_->calls_.erase(context_);
}

}  // namespace rwkvd
