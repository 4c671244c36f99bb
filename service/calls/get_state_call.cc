// SPDX-License-Identifier: Apache-2.0
#include "service/calls/get_state_call.h"

#include <utility>

#include "absl/status/statusor.h"
#include "cli/grpc_status.h"
#include "service/convert/responses.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

GetStateCall* GetStateCall::Start(const ServedModel* model, Metrics* metrics,
                                  const v1::GetStateRequest& request) {
  auto* call = new GetStateCall(model, metrics, request.handle());
  if (model == nullptr) {
    call->End(absl::UnavailableError("the model is being loaded"));
  } else if (!(call->has_transfer_ = model->states->BeginTransfer())) {
    call->End(
        absl::ResourceExhaustedError("too many states are being transferred"));
  } else {
    model->states->worker().Do([call] { call->Load(); });
  }
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

GetStateCall::GetStateCall(const ServedModel* model, Metrics* metrics,
                           std::string handle)
    : model_(model),
      handle_(std::move(handle)),
      record_(metrics, Rpc::kGetState) {}

void GetStateCall::Load() {
  absl::StatusOr<std::shared_ptr<const std::string>> bytes =
      model_->states->Fetch(handle_);
  if (!bytes.ok()) return End(bytes.status());
  bytes_ = *std::move(bytes);
  SendNext();
}

void GetStateCall::SendNext() {
  if (sent_ == bytes_->size()) return End(absl::OkStatus());
  response_.set_data(bytes_->substr(sent_, kStateChunkBytes));
  sent_ += response_.data().size();
  StartWrite(&response_);
}

void GetStateCall::OnWriteDone(bool ok) {
  if (ok) {
    SendNext();
  } else {
    End(absl::CancelledError("cancelled"));
  }
}

void GetStateCall::End(const absl::Status& status) {
  status_ = ToGrpcStatus(status);
  Finish(status_);
}

void GetStateCall::OnDone() {
  if (has_transfer_) model_->states->EndTransfer();
  record_.End(status_);
  delete this;
}

}  // namespace rwkvd
