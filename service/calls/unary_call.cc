// SPDX-License-Identifier: Apache-2.0
#include "service/calls/unary_call.h"

#include <grpcpp/support/slice.h>

#include <cstdint>

#include "cli/grpc_status.h"
#include "core/base/status_macros.h"
#include "google/protobuf/message.h"
#include "service/calls/admission.h"
#include "service/calls/serialize.h"

namespace rwkvd {

UnaryCall* UnaryCall::Start(const CallEnvironment& environment, Rpc rpc,
                            grpc::CallbackServerContext* context,
                            const grpc::ByteBuffer* message,
                            grpc::ByteBuffer* response, Answer answer) {
  auto* call = new UnaryCall(environment, rpc, context, response);
  const absl::Status status = call->Begin(message, std::move(answer));
  if (!status.ok()) call->End(status);
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

UnaryCall* UnaryCall::StartAnswered(const CallEnvironment& environment, Rpc rpc,
                                    grpc::CallbackServerContext* context,
                                    grpc::ByteBuffer* response,
                                    const absl::Status& status,
                                    const google::protobuf::Message& answer) {
  auto* call = new UnaryCall(environment, rpc, context, response);
  if (status.ok()) *response = ToByteBuffer(answer);
  call->FinishWith(status);
  return call;
}

UnaryCall::UnaryCall(const CallEnvironment& environment, Rpc rpc,
                     grpc::CallbackServerContext* context,
                     grpc::ByteBuffer* response)
    : MonitoredCall(environment.monitor, context,
                    environment.caller.unread_bytes()),
      environment_(environment),
      context_(context),
      response_(response),
      record_(environment, rpc, context->peer()) {}

absl::Status UnaryCall::Begin(const grpc::ByteBuffer* message, Answer answer) {
  RWKVD_RETURN_IF_ERROR(environment_.CheckAllowed());
  RWKVD_ASSIGN_OR_RETURN(RequestMessage request,
                         RequestMessage::Take(message, environment_));
  const int64_t size = request.size();
  RWKVD_ASSIGN_OR_RETURN(
      task_,
      environment_.pool->Add(size, [this, answer = std::move(answer),
                                    request = std::move(request)]() mutable {
        std::move(answer)(*environment_.model, std::move(request), this);
      }));
  return absl::OkStatus();
}

void UnaryCall::End(absl::Status status,
                    const google::protobuf::Message* response) {
  if (status.ok() && response != nullptr) {
    status = SetAnswer(*response, response_);
  } else if (status.ok()) {
    const grpc::Slice empty;
    *response_ = grpc::ByteBuffer(&empty, 1);
  }
  FinishWith(status);
}

void UnaryCall::FinishWith(const absl::Status& status) {
  status_ = EndStatus(status, context_);
  WaitForClientToRead();
  Finish(record_.Finishing(status_, context_));
}

void UnaryCall::OnCancel() {
  if (environment_.pool->Remove(task_)) End(CallCancelled());
}

void UnaryCall::OnDone() {
  record_.End(FinalStatus(status_));
  Done();
}

}  // namespace rwkvd
