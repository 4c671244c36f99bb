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
    case Http2Abuse::kMessages:
      return "messages";
  }
  return "";
}

Http2Guard::Http2Guard(std::shared_ptr<RateLimit> resets,
                       ConnectionMessages* messages)
    : resets_(std::move(resets)),
      messages_(messages),
      control_frames_(kControlFrameBurst, kControlFramesPerSecond) {}

Http2Abuse Http2Guard::Inspect(absl::string_view bytes, absl::Duration now) {
  messages_->BeginBytes(bytes);
  TakePreface(bytes);
  while (is_http2_) {
    const FrameReader::Part part = frames_.Next(bytes);
    if (part == FrameReader::Part::kNone) break;
    const FrameHeader& frame = frames_.frame();
    if (part == FrameReader::Part::kHeader) {
      const Http2Abuse abuse = OnFrame(frame, now);
      if (abuse != Http2Abuse::kNone) return abuse;
    } else if (frame.type == kDataFrame) {
      messages_->Receive(frame.stream, frames_.payload());
    }
    if (frames_.at_end()) OnFrameEnd(frame);
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

Http2Abuse Http2Guard::OnFrame(const FrameHeader& frame, absl::Duration now) {
  switch (frame.type) {
    case kHeadersFrame:
      header_block_bytes_ = 0;
      ++num_streams_;
      messages_->Open(frame.stream);
      if (!acknowledged_ && ++early_streams_ > kMaxEarlyStreams) {
        return Http2Abuse::kNoSettings;
      }
      return OnHeaderBytes(frame.size);
    case kContinuationFrame:
      if (frame.size > 0) return OnHeaderBytes(frame.size);
      break;
    case kResetFrame:
      return resets_->Take(now) ? Http2Abuse::kNone : Http2Abuse::kResets;
    case kSettingsFrame:
      if ((frame.flags & kAcknowledgmentFlag) != 0) acknowledged_ = true;
      break;
    case kDataFrame:
      if (frame.size > 0 || frame.ends_stream()) return Http2Abuse::kNone;
      break;
    case kWindowUpdateFrame:
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

void Http2Guard::OnFrameEnd(const FrameHeader& frame) {
  if (frame.type == kResetFrame) messages_->Close(frame.stream);
  if (frame.ends_stream()) messages_->EndRequest(frame.stream);
}

}  // namespace rwkvd
