// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_HTTP2_GUARD_H_
#define RWKVD_SERVICE_LISTENER_HTTP2_GUARD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "service/listener/connection_messages.h"
#include "service/listener/frame_reader.h"

namespace rwkvd {

// All times here are those of one clock that never goes back.

// Allows `burst` events at once, and `per_second` in the long run. Thread-safe.
class RateLimit {
 public:
  RateLimit(double burst, double per_second)
      : burst_(burst), per_second_(per_second), left_(burst) {}

  // Counts an event. Returns whether it is within the limit.
  bool Take(absl::Duration now) ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the whole burst is allowed again.
  bool IsFull(absl::Duration now) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Refill(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const double burst_, per_second_;
  absl::Mutex mutex_;
  double left_ ABSL_GUARDED_BY(mutex_);
  absl::Duration last_ ABSL_GUARDED_BY(mutex_);
};

// The limits on streams that clients reset, one for each peer, so that a new
// connection brings no new allowance. Thread-compatible.
class ResetLimits {
 public:
  // The limit of a peer (see PeerKey). A peer without a key gets a limit of its
  // own for each connection.
  std::shared_ptr<RateLimit> Of(const std::string& peer, absl::Duration now);

 private:
  void RemoveUnused(absl::Duration now);

  absl::flat_hash_map<std::string, std::shared_ptr<RateLimit>> by_peer_;
  size_t size_to_clean_ = 1024;
};

// Abuses of HTTP/2 that gRPC 1.51 does not limit (docs/security.md).
enum class Http2Abuse {
  kNone,
  kHeaders,        // a header block that is too long, or has no end
  kNoSettings,     // many calls before the server's settings are acknowledged
  kResets,         // many streams that are opened and reset
  kControlFrames,  // many frames without content
  kCalls,          // more open calls than there is memory for (CallGuard)
  kMessages,       // more unfinished messages than that (MessageBudget)
};
inline constexpr int kNumHttp2Abuses = 7;

// The value of the label "reason" in metrics.
const char* NameOf(Http2Abuse abuse);

// Follows the frames that a client sends on one connection, before gRPC parses
// them. Reports the messages in them to a ConnectionMessages.
//
// One for each connection. Thread-compatible.
class Http2Guard {
 public:
  // The longest header block, as sent. gRPC limits its decoded size to less,
  // once the client has acknowledged the settings.
  static constexpr int64_t kMaxHeaderBlockBytes = 32 << 10;
  // Before that, since gRPC does not apply its limits: the number of streams,
  // and the bytes of all header blocks.
  static constexpr int64_t kMaxEarlyStreams = 128;
  static constexpr int64_t kMaxEarlyHeaderBytes = 64 << 10;

  // `resets` is shared by the connections of a peer. `messages` outlives the
  // guard.
  Http2Guard(std::shared_ptr<RateLimit> resets, ConnectionMessages* messages);

  // Examines the next bytes. After the first abuse, the connection is to be
  // closed.
  Http2Abuse Inspect(absl::string_view bytes, absl::Duration now);

  // The number of streams that the client has opened, each by a header block;
  // the rare trailers of a client count as well.
  int64_t num_streams() const { return num_streams_; }

 private:
  // A frame begins; its header is known.
  Http2Abuse OnFrame(const FrameHeader& frame, absl::Duration now);
  Http2Abuse OnHeaderBytes(int64_t size);
  // The frame is complete.
  void OnFrameEnd(const FrameHeader& frame);
  // Takes as much of `bytes` as the preface still needs.
  void TakePreface(absl::string_view& bytes);

  const std::shared_ptr<RateLimit> resets_;
  ConnectionMessages* const messages_;
  RateLimit control_frames_;

  size_t preface_taken_ = 0;
  bool is_http2_ = true;  // otherwise gRPC closes the connection
  FrameReader frames_;

  bool acknowledged_ = false;       // the server's settings
  int64_t header_block_bytes_ = 0;  // of the current or last block
  int64_t num_streams_ = 0;
  int64_t early_streams_ = 0;
  int64_t early_header_bytes_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_HTTP2_GUARD_H_
