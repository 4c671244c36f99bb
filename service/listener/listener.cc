// SPDX-License-Identifier: Apache-2.0
#include "service/listener/listener.h"

#include <time.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/base/status_macros.h"
#include "service/listener/receive_filter.h"
#include "service/log.h"

namespace rwkvd {
namespace {

// At most one line per reason and period; a client can cause refusals without
// end.
constexpr absl::Duration kLogPeriod = absl::Seconds(10);

absl::Duration MonotonicNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace

const char* NameOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kTotalLimit:
      return "max_connections";
    case Refusal::kPeerLimit:
      return "max_connections_per_peer";
    case Refusal::kDescriptors:
      return "descriptors";
    case Refusal::kSystem:
      return "system";
  }
  return "";
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(
    const std::string& address, const ConnectionLimits& limits) {
  RWKVD_ASSIGN_OR_RETURN(ListeningSockets sockets,
                         ListeningSockets::Open(address));
  return std::unique_ptr<Listener>(new Listener(std::move(sockets), limits));
}

Listener::Listener(ListeningSockets sockets, const ConnectionLimits& limits)
    : address_(sockets.address()),
      sockets_(std::make_unique<ListeningSockets>(std::move(sockets))),
      connections_(limits),
      logs_{RefusalLog(kLogPeriod), RefusalLog(kLogPeriod),
            RefusalLog(kLogPeriod), RefusalLog(kLogPeriod)} {}

absl::Status Listener::Start(std::unique_ptr<Acceptor> acceptor) {
  acceptor_ = std::move(acceptor);
  AcceptLoop::Handlers handlers;
  handlers.on_connection = [this](OwnedFd connection,
                                  const sockaddr_storage& peer) {
    Handle(std::move(connection), peer);
  };
  handlers.on_failure = [this](bool closed, int error) {
    Refuse(closed ? Refusal::kDescriptors : Refusal::kSystem,
           std::strerror(error));
  };
  return loop_.Start(sockets_->fds(), std::move(handlers));
}

void Listener::Stop() {
  loop_.Stop();
  sockets_ = nullptr;
}

void Listener::Handle(OwnedFd connection, const sockaddr_storage& peer) {
  const std::string key = PeerKey(peer);
  switch (connections_.Admit(connection.get(), key)) {
    case ConnectionTable::Decision::kTooMany:
      return Refuse(
          Refusal::kTotalLimit,
          absl::StrCat("there are ", limits().total, " (--max_connections)"));
    case ConnectionTable::Decision::kTooManyOfPeer:
      return Refuse(Refusal::kPeerLimit,
                    absl::StrCat("one peer has ", limits().per_peer,
                                 " (--max_connections_per_peer)"));
    case ConnectionTable::Decision::kAdmitted:
      break;
  }
  Guard(connection.get(), key);
  Acceptor::NewConnectionParameters parameters;
  parameters.fd = connection.Release();
  acceptor_->HandleNewConnection(&parameters);
}

void Listener::Guard(int fd, const std::string& peer) {
  FilterReceivedBytes(
      fd,
      [guard = std::make_shared<Http2Guard>(resets_.Of(peer, MonotonicNow())),
       abuses = abuses_](absl::string_view bytes) {
        const absl::Duration now = MonotonicNow();
        const Http2Abuse abuse = guard->Inspect(bytes, now);
        if (abuse == Http2Abuse::kNone) return true;
        abuses->Add(abuse, now);
        return false;
      });
}

void Listener::Refuse(Refusal refusal, const std::string& why) {
  const size_t index = static_cast<size_t>(refusal);
  refused_[index].fetch_add(1, std::memory_order_relaxed);
  const char* const what = refusal == Refusal::kSystem
                               ? "new connections wait: "
                               : "refused a connection: ";
  const std::string line =
      logs_[index].Add(absl::StrCat(what, why), MonotonicNow());
  if (!line.empty()) LogWarning(line);
}

}  // namespace rwkvd
