// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_CONNECTION_GUARD_H_
#define RWKVD_SERVICE_LISTENER_CONNECTION_GUARD_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "service/listener/abuse_reports.h"
#include "service/listener/call_guard.h"
#include "service/listener/connection_messages.h"
#include "service/listener/frame_reader.h"
#include "service/listener/http2_guard.h"
#include "service/listener/message_budget.h"

namespace rwkvd {

// Inspects what a client and gRPC send on one connection, and decides whether
// the connection may stay open.
//
// Owned by the connection's socket filter. OnReceived and OnSent are each
// called by one thread at a time; the two may run at the same time.
class ConnectionGuard {
 public:
  // What connections share. It outlives the listener, since gRPC may read a
  // connection when the listener is gone.
  struct Shared {
    const std::shared_ptr<AbuseReports> abuses =
        std::make_shared<AbuseReports>();
    const std::shared_ptr<CallBudget> calls = std::make_shared<CallBudget>();
    std::shared_ptr<MessageBudget> messages;
  };

  // For the connection `fd` of `peer` (see PeerKey). `resets` is shared by the
  // connections of the peer.
  ConnectionGuard(int fd, const std::string& peer,
                  std::shared_ptr<RateLimit> resets, const Shared& shared);

  // The client has sent `bytes`. Returns whether gRPC may have them; if not,
  // the connection is to be closed.
  bool OnReceived(absl::string_view bytes);
  // gRPC has sent `bytes`.
  void OnSent(absl::string_view bytes);

 private:
  Http2Abuse Inspect(absl::string_view bytes, absl::Duration now);
  // gRPC has sent the frame as a whole.
  void OnSentFrame(const FrameHeader& frame);
  // Takes bytes of the number in a WINDOW_UPDATE frame.
  void TakeGrant(absl::string_view payload);

  const std::shared_ptr<AbuseReports> abuses_;
  const std::shared_ptr<CallBudget> calls_;
  ConnectionMessages messages_;
  const std::unique_ptr<MessageBudget::Share> share_;
  Http2Guard received_;
  // Used by the thread that sends:
  FrameReader sent_;
  uint32_t grant_ = 0;  // the last four bytes of WINDOW_UPDATE frames
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_CONNECTION_GUARD_H_
