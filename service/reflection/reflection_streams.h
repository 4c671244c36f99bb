// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_REFLECTION_REFLECTION_STREAMS_H_
#define RWKVD_SERVICE_REFLECTION_REFLECTION_STREAMS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "service/auth/authorizer.h"

namespace rwkvd {

// The open streams of the reflection services, at most kMaxOpen of them and
// without threads of their own. If there is one more, the one that has been
// without a request for the longest time is ended, so that idle clients cannot
// keep others out.
//
// Owned by Reflection; outlives the calls. Thread-safe.
class ReflectionStreams {
 public:
  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  static constexpr int kMaxOpen = 16;

  // `services` are the names to list. `authorizer` outlives the streams;
  // without one, anyone may open them.
  ReflectionStreams(std::vector<std::string> services, Authorizer* authorizer)
      : services_(std::move(services)), authorizer_(authorizer) {}

  // Answers a new call of `method`, "PACKAGE.SERVICE/METHOD". The reactor owns
  // itself.
  Reactor* Open(grpc::CallbackServerContext* context, absl::string_view method)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends all streams, and from now on new ones at once, with UNAVAILABLE: the
  // server is shutting down.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Stream;

  // Events of a stream.
  void OnRead(Stream* stream, bool ok) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWritten(Stream* stream, bool ok) ABSL_LOCKS_EXCLUDED(mutex_);

  void Respond(Stream* stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Removes the stream from the open ones and ends its call, once.
  void End(Stream* stream, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::vector<std::string> services_;
  Authorizer* const authorizer_;

  // Also guards the state of each stream: reflection need not be fast.
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  // Those that have not been ended, the one with the oldest request first.
  std::list<Stream*> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_REFLECTION_REFLECTION_STREAMS_H_
