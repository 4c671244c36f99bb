// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_STREAM_END_H_
#define RWKVD_SERVICE_CALLS_STREAM_END_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace rwkvd {

// The end of a stream that several threads may end at any time. One of them
// decides on the status, and one of them passes it to gRPC: as soon as no
// operation runs that gRPC does not allow at the same time.
//
// Owned by a call; thread-safe.
class StreamEnd {
 public:
  // Begins an operation: to start a read, or to write a message. Returns false
  // if the end has been decided; then the operation must not be begun.
  bool Enter() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the operation. The caller then asks TakeFinish.
  void Leave() ABSL_LOCKS_EXCLUDED(mutex_);

  // Decides on the status, with what a client needs to retry. Returns false if
  // it was decided before. The caller then asks TakeFinish.
  bool Decide(const absl::Status& status, grpc::CallbackServerContext* context)
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool is_decided() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the caller must pass the status to gRPC now; true once.
  bool TakeFinish() ABSL_LOCKS_EXCLUDED(mutex_);
  // Valid once it was decided; it does not change afterwards.
  grpc::Status status() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  int num_operations_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_decided_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_STREAM_END_H_
