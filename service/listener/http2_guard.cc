// SPDX-License-Identifier: Apache-2.0
#include "service/listener/http2_guard.h"

#include <algorithm>
#include <utility>

namespace rwkvd {
namespace {

constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Streams that the clients of one peer may reset. A client that cancels calls
// needs far fewer; gRPC needs about 0.1 ms to open and end one.
constexpr double kResetBurst = 2000;
constexpr double kResetsPerSecond = 500;

// Pings, settings and other frames without content on one connection. Some
// clients send a ping after each message, to measure the bandwidth.
constexpr double kControlFrameBurst = 20'000;
constexpr double kControlFramesPerSecond = 10'000;

// Types and flags of frames, RFC 9113.
constexpr uint8_t kData = 0, kHeaders = 1, kResetStream = 3, kSettings = 4,
                  kWindowUpdate = 8, kContinuation = 9;
constexpr uint8_t kEndStream = 0x1, kAcknowledgment = 0x1;

}  // namespace

bool RateLimit::Take(absl::Duration now) {
  absl::MutexLock lock(&mutex_);
  Refill(now);
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

bool RateLimit::IsFull(absl::Duration now) {
  absl::MutexLock lock(&mutex_);
  Refill(now);
  return left_ >= burst_;
}

void RateLimit::Refill(absl::Duration now) {
  left_ = std::min(burst_,
                   left_ + absl::ToDoubleSeconds(now - last_) * per_second_);
  last_ = now;
}

std::shared_ptr<RateLimit> ResetLimits::Of(const std::string& peer,
                                           absl::Duration now) {
  auto limit = std::make_shared<RateLimit>(kResetBurst, kResetsPerSecond);
  if (peer.empty()) return limit;
  if (by_peer_.size() >= size_to_clean_) RemoveUnused(now);
  return by_peer_.try_emplace(peer, std::move(limit)).first->second;
}

void ResetLimits::RemoveUnused(absl::Duration now) {
  absl::erase_if(by_peer_, [now](const auto& entry) {
    return entry.second.use_count() == 1 && entry.second->IsFull(now);
  });
  // So that the time for cleaning is shared by as many new peers.
  size_to_clean_ = std::max(size_to_clean_, 2 * by_peer_.size());
}

const char* NameOf(Http2Abuse abuse) {
  switch (abuse) {
    case Http2Abuse::kNone:
      return "none";
    case Http2Abuse::kHeaders:
      return "headers";
    case Http2Abuse::kNoSettings:
      return "no_settings";
    case Http2Abuse::kResets:
      return "resets";
    case Http2Abuse::kControlFrames:
      return "control_frames";
    case Http2Abuse::kCalls:
      return "calls";
  }
  return "";
}

Http2Guard::Http2Guard(std::shared_ptr<RateLimit> resets)
    : resets_(std::move(resets)),
      control_frames_(kControlFrameBurst, kControlFramesPerSecond) {}

Http2Abuse Http2Guard::Inspect(absl::string_view bytes, absl::Duration now) {
  TakePreface(bytes);
  while (is_http2_ && !bytes.empty()) {
    if (payload_left_ > 0) {
      const size_t size = std::min<size_t>(payload_left_, bytes.size());
      payload_left_ -= static_cast<uint32_t>(size);
      bytes.remove_prefix(size);
      continue;
    }
    frame_[frame_taken_++] = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    if (frame_taken_ < kFrameHeaderBytes) continue;
    frame_taken_ = 0;
    payload_left_ = uint32_t{frame_[0]} << 16 | uint32_t{frame_[1]} << 8 |
                    uint32_t{frame_[2]};
    const Http2Abuse abuse = OnFrame(now);
    if (abuse != Http2Abuse::kNone) return abuse;
  }
  return Http2Abuse::kNone;
}

void Http2Guard::TakePreface(absl::string_view& bytes) {
  const size_t size = std::min(kPreface.size() - preface_taken_, bytes.size());
  if (bytes.substr(0, size) != kPreface.substr(preface_taken_, size)) {
    is_http2_ = false;
  }
  preface_taken_ += size;
  bytes.remove_prefix(size);
}

Http2Abuse Http2Guard::OnFrame(absl::Duration now) {
  const uint8_t type = frame_[3], flags = frame_[4];
  const int64_t size = payload_left_;
  switch (type) {
    case kHeaders:
      header_block_bytes_ = 0;
      ++num_streams_;
      if (!acknowledged_ && ++early_streams_ > kMaxEarlyStreams) {
        return Http2Abuse::kNoSettings;
      }
      return OnHeaderBytes(size);
    case kContinuation:
      if (size > 0) return OnHeaderBytes(size);
      break;
    case kResetStream:
      return resets_->Take(now) ? Http2Abuse::kNone : Http2Abuse::kResets;
    case kSettings:
      if ((flags & kAcknowledgment) != 0) acknowledged_ = true;
      break;
    case kData:
      if (size > 0 || (flags & kEndStream) != 0) return Http2Abuse::kNone;
      break;
    case kWindowUpdate:
      // As many as the server has sent messages.
      return Http2Abuse::kNone;
    default:
      break;
  }
  return control_frames_.Take(now) ? Http2Abuse::kNone
                                   : Http2Abuse::kControlFrames;
}

Http2Abuse Http2Guard::OnHeaderBytes(int64_t size) {
  header_block_bytes_ += size;
  if (header_block_bytes_ > kMaxHeaderBlockBytes) return Http2Abuse::kHeaders;
  if (acknowledged_) return Http2Abuse::kNone;
  early_header_bytes_ += size;
  return early_header_bytes_ > kMaxEarlyHeaderBytes ? Http2Abuse::kNoSettings
                                                    : Http2Abuse::kNone;
}

}  // namespace rwkvd
