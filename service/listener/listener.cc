// SPDX-License-Identifier: Apache-2.0
#include "service/listener/listener.h"

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/base/status_macros.h"
#include "service/listener/clock_reading.h"
#include "service/listener/open_calls.h"
#include "service/listener/tls_filter.h"

namespace rwkvd {
namespace {

// Looking for connections that have ended examines each of them, so it is done
// about once a second.
constexpr int64_t kTicksPerCount = 1000 / AcceptLoop::kTickMs;

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
    const std::string& address, const ConnectionLimits& limits,
    const CallGuard::Limits& call_limits,
    const MessageBudget::Limits& message_limits,
    std::optional<mode_t> unix_mode) {
  RWKVD_ASSIGN_OR_RETURN(ListeningSockets sockets,
                         ListeningSockets::Open(address, unix_mode));
  return std::unique_ptr<Listener>(
      new Listener(std::move(sockets), limits, call_limits, message_limits));
}

Listener::Listener(ListeningSockets sockets, const ConnectionLimits& limits,
                   const CallGuard::Limits& call_limits,
                   const MessageBudget::Limits& message_limits)
    : address_(sockets.address()),
      is_local_(sockets.is_local()),
      sockets_(std::make_unique<ListeningSockets>(std::move(sockets))),
      call_limits_(call_limits),
      connections_(limits),
      shared_{.messages = std::make_shared<MessageBudget>(message_limits)} {}

absl::Status Listener::Start(std::unique_ptr<Acceptor> acceptor, bool tls) {
  acceptor_ = std::move(acceptor);
  tls_ = tls;
  AcceptLoop::Handlers handlers;
  handlers.on_connection = [this](OwnedFd connection,
                                  const sockaddr_storage& peer) {
    Handle(std::move(connection), peer);
  };
  handlers.on_failure = [this](bool closed, int error) {
    Refuse(closed ? Refusal::kDescriptors : Refusal::kSystem,
           std::strerror(error));
  };
  const OpenCalls calls;
  CallGuard::Functions functions;
  functions.count = [calls] { return calls.Count(); };
  functions.count_by_connection = [calls] { return calls.CountByConnection(); };
  functions.close = [this](const ConnectionCalls& connection) {
    return Close(connection);
  };
  functions.allow = [this](int64_t calls) { shared_.calls->Set(calls); };
  shared_.calls->Set(call_limits_.total);
  guard_ = std::make_unique<CallGuard>(call_limits_, std::move(functions));
  handlers.on_tick = [this] { return Tick(); };
  return loop_.Start(sockets_->fds(), std::move(handlers));
}

bool Listener::Tick() {
  guard_->Check(ClockReading());
  if (++num_ticks_ % kTicksPerCount == 0) {
    connections_.Count();
    RemoveFiltersOfClosedSockets();
  }
  return !connections_.IsEmpty();
}

void Listener::Stop() {
  loop_.Stop();
  shared_.calls->Set(
      std::numeric_limits<int64_t>::max());  // nobody counts any more
  sockets_ = nullptr;
}

void Listener::Handle(OwnedFd connection, const sockaddr_storage& peer) {
  const std::string key = PeerKey(peer);
  switch (connections_.Admit(connection.get(), key, EndpointKey(peer))) {
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
  SocketFilter guard = NewGuard(connection.get(), key);
  Acceptor::NewConnectionParameters parameters;
  parameters.fd = connection.Release();
  if (tls_) {
    FilterTlsSession(std::move(guard),
                     [&] { acceptor_->HandleNewConnection(&parameters); });
  } else {
    FilterSocket(parameters.fd, std::move(guard));
    acceptor_->HandleNewConnection(&parameters);
  }
}

SocketFilter Listener::NewGuard(int fd, const std::string& peer) {
  const auto guard = std::make_shared<ConnectionGuard>(
      fd, peer, resets_.Of(peer, ClockReading()), shared_);
  return {
      .on_received =
          [guard](absl::string_view bytes) { return guard->OnReceived(bytes); },
      .on_sent = [guard](absl::string_view bytes) { guard->OnSent(bytes); }};
}

bool Listener::Close(const ConnectionCalls& connection) {
  if (connection.endpoint.empty() ||
      !connections_.ShutDown(connection.endpoint)) {
    return false;
  }
  shared_.abuses->Add(Http2Abuse::kCalls);
  return true;
}

void Listener::Refuse(Refusal refusal, const std::string& why) {
  const size_t index = static_cast<size_t>(refusal);
  refused_[index].fetch_add(1, std::memory_order_relaxed);
  const char* what = "refused a connection: ";
  if (refusal == Refusal::kSystem) what = "new connections wait: ";
  logs_[index].Warning(absl::StrCat(what, why));
}

}  // namespace rwkvd
