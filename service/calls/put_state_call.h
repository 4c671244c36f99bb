// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_PUT_STATE_CALL_H_
#define RWKVD_SERVICE_CALLS_PUT_STATE_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One PutState call. It receives a state in several messages, checks it, and
// saves it.
//
// Owns itself: OnDone deletes it. Used by one thread at a time: first gRPC's,
// then the worker's. The model and the metrics outlive it.
class PutStateCall final
    : public grpc::ServerReadReactor<::rwkv::v1::PutStateRequest> {
 public:
  // Answers the call into `response`; `model` is null while it is being loaded.
  static PutStateCall* Start(const ServedModel* model, Metrics* metrics,
                             grpc::CallbackServerContext* context,
                             ::rwkv::v1::PutStateResponse* response);

 private:
  PutStateCall(const ServedModel* model, Metrics* metrics,
               grpc::CallbackServerContext* context,
               ::rwkv::v1::PutStateResponse* response);
  ~PutStateCall() override = default;

  void OnReadDone(bool ok) override;
  void OnDone() override;

  absl::Status Begin();
  // Appends the message that was read to bytes_.
  absl::Status AppendMessage();
  // Checks and saves bytes_. On the worker's thread.
  absl::Status Save();
  void End(const absl::Status& status);

  const ServedModel* const model_;
  grpc::CallbackServerContext* const context_;
  ::rwkv::v1::PutStateResponse* const
      response_;  // owned by gRPC, valid until Finish
  CallRecord record_;
  bool has_transfer_ = false;
  ::rwkv::v1::PutStateRequest request_;  // the message being read
  std::string bytes_;
  std::optional<absl::Duration> time_to_live_;
  grpc::Status status_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_PUT_STATE_CALL_H_
