// SPDX-License-Identifier: Apache-2.0
#include "service/calls/stream_end.h"

#include "cli/grpc_status.h"

namespace rwkvd {

bool StreamEnd::Enter() {
  absl::MutexLock lock(&mutex_);
  if (is_decided_) return false;
  ++num_operations_;
  return true;
}

void StreamEnd::Leave() {
  absl::MutexLock lock(&mutex_);
  --num_operations_;
}

bool StreamEnd::Decide(const absl::Status& status,
                       grpc::CallbackServerContext* context) {
  absl::MutexLock lock(&mutex_);
  if (is_decided_) return false;
  status_ = EndStatus(status, context);
  is_decided_ = true;
  return true;
}

bool StreamEnd::is_decided() const {
  absl::MutexLock lock(&mutex_);
  return is_decided_;
}

bool StreamEnd::TakeFinish() {
  absl::MutexLock lock(&mutex_);
  if (!is_decided_ || is_finished_ || num_operations_ > 0) return false;
  is_finished_ = true;
  return true;
}

grpc::Status StreamEnd::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

}  // namespace rwkvd
