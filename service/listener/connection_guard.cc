// SPDX-License-Identifier: Apache-2.0
#include "service/listener/connection_guard.h"

#include <functional>
#include <utility>

#include "service/listener/clock_reading.h"
#include "service/listener/connected_socket.h"

namespace rwkvd {
namespace {

// Closes a connection whose unfinished messages take too much memory. Keeps no
// reference to the connection's guard.
std::function<void()> Closer(int fd, std::shared_ptr<AbuseReports> abuses) {
  return [fd, socket = SocketInode(fd), abuses = std::move(abuses)] {
    if (!ShutDownSocket(fd, socket)) return;
    abuses->Add(Http2Abuse::kMessages);
  };
}

}  // namespace

ConnectionGuard::ConnectionGuard(int fd, const std::string& peer,
                                 std::shared_ptr<RateLimit> resets,
                                 const Shared& shared)
    : abuses_(shared.abuses),
      calls_(shared.calls),
      share_(MessageBudget::NewShare(shared.messages, peer,
                                     Closer(fd, shared.abuses))),
      received_(std::move(resets), &messages_) {}

bool ConnectionGuard::OnReceived(absl::string_view bytes) {
  const Http2Abuse abuse = Inspect(bytes, ClockReading());
  if (abuse == Http2Abuse::kNone) return true;
  abuses_->Add(abuse);
  return false;
}

Http2Abuse ConnectionGuard::Inspect(absl::string_view bytes,
                                    absl::Duration now) {
  const int64_t num_streams = received_.num_streams();
  const Http2Abuse abuse = received_.Inspect(bytes, now);
  if (abuse != Http2Abuse::kNone) return abuse;
  const int64_t num_new = received_.num_streams() - num_streams;
  if (num_new > 0 && !calls_->Take(num_new)) return Http2Abuse::kCalls;
  const int64_t change = messages_.TakeChange();
  if (change != 0 && !share_->Add(change)) return Http2Abuse::kMessages;
  return Http2Abuse::kNone;
}

void ConnectionGuard::OnSent(absl::string_view bytes) {
  FrameReader::Part part = sent_.Next(bytes);
  for (; part != FrameReader::Part::kNone; part = sent_.Next(bytes)) {
    const bool has_payload = part == FrameReader::Part::kPayload;
    if (has_payload && sent_.frame().type == kWindowUpdateFrame) {
      TakeGrant(sent_.payload());
    }
    if (sent_.at_end()) OnSentFrame(sent_.frame());
  }
  const int64_t change = messages_.TakeChange();
  if (change != 0) share_->Add(change);
}

void ConnectionGuard::OnSentFrame(const FrameHeader& frame) {
  if (frame.type == kWindowUpdateFrame) messages_.Grant(frame.stream, grant_);
  if (frame.type == kResetFrame || frame.ends_stream()) {
    messages_.Close(frame.stream);
  }
}

void ConnectionGuard::TakeGrant(absl::string_view payload) {
  for (const char byte : payload) {
    grant_ = grant_ << 8 | static_cast<uint8_t>(byte);
  }
}

}  // namespace rwkvd
