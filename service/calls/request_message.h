// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_REQUEST_MESSAGE_H_
#define RWKVD_SERVICE_CALLS_REQUEST_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/byte_budget.h"
#include "google/protobuf/message.h"
#include "service/calls/call_environment.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// A request message that has arrived but has not been parsed. Its bytes, and
// then the parsed message, are reserved in the budget for requests, and in the
// caller's share of it.
//
// Owned by a call, or by its task in the work pool. Thread-compatible. The
// model, the budget and the metrics outlive it.
class RequestMessage {
 public:
  // Takes the bytes of a message that gRPC has received for a call. They are
  // copied, so that messages which wait do not fill gRPC's own buffers: if
  // these are full, gRPC closes connections. ResourceExhausted with a
  // RetryAfter if the budget or the share has too little left; Cancelled if the
  // client has ended the call, or was disconnected, before its message arrived.
  static absl::StatusOr<RequestMessage> Take(
      const grpc::ByteBuffer* message, const CallEnvironment& environment);

  RequestMessage(RequestMessage&&) = default;
  // The reservation must not outlive its account.
  RequestMessage& operator=(RequestMessage&&) = delete;

  // The size on the wire, in bytes.
  int64_t size() const { return size_; }

  // Parses the message into `proto`, and releases its bytes. Called once.
  // InvalidArgument, with the path of the field, if the bytes are not a message
  // of this type; ResourceExhausted with a RetryAfter if the budget has too
  // little left for the parsed message; NotFound if its `model` is not the one
  // that is served.
  absl::Status ParseInto(google::protobuf::Message* proto);

  // Counts `status` in the metrics if it is that of ReserveMore, and returns
  // it.
  absl::Status Counted(absl::Status status) const;

  // What is reserved for the parsed message, until this object is destroyed.
  // Its owner changes it to what the message and everything that is made from
  // it take.
  ByteBudget::Reservation& reservation() { return reservation_; }

 private:
  RequestMessage(ByteBudget::Reservation reservation,
                 const CallEnvironment& environment)
      : model_(environment.model),
        metrics_(environment.metrics),
        budget_(&environment.budgets->requests),
        account_(environment.caller.account),
        reservation_(std::move(reservation)) {}

  absl::Status Parse(absl::string_view bytes, google::protobuf::Message* proto);
  // Changes the reservation.
  absl::Status Reserve(int64_t bytes);

  const ServedModel* model_;  // null while it is being loaded
  Metrics* metrics_;
  const ByteBudget* budget_;
  // Keeps the share of the reservation, also after the call; null if there is
  // none.
  std::shared_ptr<Account> account_;
  ByteBudget::Reservation reservation_;
  int64_t size_ = 0;
  std::string bytes_;  // until ParseInto
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_REQUEST_MESSAGE_H_
