// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_UNARY_CALL_H_
#define RWKVD_SERVICE_CALLS_UNARY_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/base/byte_budget.h"
#include "core/base/exceptions.h"
#include "core/base/status_macros.h"
#include "service/calls/call_environment.h"
#include "service/calls/call_record.h"
#include "service/calls/monitored_call.h"
#include "service/calls/request_message.h"
#include "service/metrics/metrics.h"

namespace rwkvd {

// A unary call that does not wait in the engine's queue. Unless its answer is
// known, its message is parsed, and its answer computed, on a thread of the
// work pool.
//
// Owns itself: OnDone deletes it. Thread-safe. Everything in the environment
// outlives it.
class UnaryCall final : public grpc::ServerUnaryReactor, public MonitoredCall {
 public:
  // Answers the call of a model by calling End, once, on any thread. Runs on a
  // thread of the pool.
  using Answer =
      absl::AnyInvocable<void(const ServedModel& model, RequestMessage message,
                              UnaryCall* call) &&>;

  // Starts a call whose message has arrived. `response` is gRPC's.
  static UnaryCall* Start(const CallEnvironment& environment, Rpc rpc,
                          grpc::CallbackServerContext* context,
                          const grpc::ByteBuffer* message,
                          grpc::ByteBuffer* response, Answer answer);

  // Starts a call and ends it at once with `status` and, if it is OK, with
  // `answer`, whose few bytes no budget is charged for.
  static UnaryCall* StartAnswered(const CallEnvironment& environment, Rpc rpc,
                                  grpc::CallbackServerContext* context,
                                  grpc::ByteBuffer* response,
                                  const absl::Status& status,
                                  const google::protobuf::Message& answer);

  // An Answer that parses a Request and lets `answer` compute the Response,
  // within what it reserves in `memory`.
  template <typename Request, typename Response>
  static Answer Computed(absl::Status (*answer)(const ServedModel& model,
                                                const Request& request,
                                                ByteBudget::Reservation* memory,
                                                Response* response)) {
    return [answer](const ServedModel& model, RequestMessage message,
                    UnaryCall* call) {
      Request request;
      Response response;
      const absl::Status status = CatchExceptions([&]() -> absl::Status {
        RWKVD_RETURN_IF_ERROR(message.ParseInto(&request));
        return message.Counted(
            answer(model, request, &message.reservation(), &response));
      });
      call->End(status, &response);
    };
  }

  // The same for an answer that depends on who makes the call.
  template <typename Request, typename Response>
  static Answer ComputedFor(absl::Status (*answer)(const ServedModel& model,
                                                   const Caller& caller,
                                                   const Request& request,
                                                   Response* response)) {
    return [answer](const ServedModel& model, RequestMessage message,
                    UnaryCall* call) {
      Request request;
      Response response;
      const absl::Status status = CatchExceptions([&]() -> absl::Status {
        RWKVD_RETURN_IF_ERROR(message.ParseInto(&request));
        return answer(model, call->caller(), request, &response);
      });
      call->End(status, &response);
    };
  }

  // Who makes the call.
  const Caller& caller() const { return environment_.caller; }

  // Ends the call with `status` and, if it is OK, with `response`, or with an
  // empty message if that is null. An answer that is larger than clients accept
  // by default becomes RESOURCE_EXHAUSTED.
  void End(absl::Status status,
           const google::protobuf::Message* response = nullptr);

 private:
  UnaryCall(const CallEnvironment& environment, Rpc rpc,
            grpc::CallbackServerContext* context, grpc::ByteBuffer* response);
  ~UnaryCall() override = default;

  absl::Status Begin(const grpc::ByteBuffer* message, Answer answer);
  // Passes `status` to gRPC, and with it the response, if it has been set.
  void FinishWith(const absl::Status& status);

  // There is nothing to drop: what the call holds is with gRPC already.
  bool GiveUp(GiveUpReason, const absl::Status&) override { return false; }

  void OnCancel() override;
  void OnDone() override;

  const CallEnvironment environment_;
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;  // owned by gRPC, valid until Finish
  CallRecord record_;
  // Set before Start returns; gRPC does not call OnCancel before.
  WorkPool::TaskId task_;
  grpc::Status status_;  // set before Finish is called, read after
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_UNARY_CALL_H_
