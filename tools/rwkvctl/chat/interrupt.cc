// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/interrupt.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "core/base/check.h"

namespace rwkvd {

Interrupt::Interrupt() : end_fd_(eventfd(0, EFD_CLOEXEC)) {
  RWKVD_CHECK(end_fd_ >= 0);
  signals_.Start([this](int signal) { OnSignal(signal); });
}

Interrupt::~Interrupt() {
  signals_.Stop();
  close(end_fd_);
}

bool Interrupt::ended() const {
  absl::MutexLock lock(&mutex_);
  return ended_;
}

void Interrupt::OnSignal(int signal) {
  absl::MutexLock lock(&mutex_);
  if (call_ != nullptr) {
    call_interrupted_ = true;
    call_->TryCancel();
    if (signal == SIGINT) return;
  }
  ended_ = true;
  const uint64_t one = 1;
  RWKVD_CHECK(write(end_fd_, &one, sizeof(one)) == sizeof(one));
}

Interrupt::Guard::Guard(Interrupt* interrupt, grpc::ClientContext* context)
    : interrupt_(interrupt) {
  absl::MutexLock lock(&interrupt_->mutex_);
  if (interrupt_->ended_) context->TryCancel();
  interrupt_->call_ = context;
  interrupt_->call_interrupted_ = interrupt_->ended_;
}

Interrupt::Guard::~Guard() {
  absl::MutexLock lock(&interrupt_->mutex_);
  interrupt_->call_ = nullptr;
}

bool Interrupt::Guard::interrupted() const {
  absl::MutexLock lock(&interrupt_->mutex_);
  return interrupt_->call_interrupted_;
}

}  // namespace rwkvd
