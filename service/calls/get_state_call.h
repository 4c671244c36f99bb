// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_GET_STATE_CALL_H_
#define RWKVD_SERVICE_CALLS_GET_STATE_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"

namespace rwkvd {

// One GetState call. It sends a saved state, in several messages.
//
// Owns itself: OnDone deletes it. Used by one thread at a time: first the
// worker's, then gRPC's. The model and the metrics outlive it.
class GetStateCall final
    : public grpc::ServerWriteReactor<::rwkv::v1::GetStateResponse> {
 public:
  // Answers the call; `model` is null while it is being loaded.
  static GetStateCall* Start(const ServedModel* model, Metrics* metrics,
                             const ::rwkv::v1::GetStateRequest& request);

 private:
  GetStateCall(const ServedModel* model, Metrics* metrics, std::string handle);
  ~GetStateCall() override = default;

  void OnWriteDone(bool ok) override;
  void OnDone() override;

  // Reads the state. On the worker's thread.
  void Load();
  void SendNext();
  void End(const absl::Status& status);

  const ServedModel* const model_;
  const std::string handle_;
  CallRecord record_;
  bool has_transfer_ = false;
  std::shared_ptr<const std::string> bytes_;
  size_t sent_ = 0;  // of bytes_
  ::rwkv::v1::GetStateResponse response_;
  grpc::Status status_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_GET_STATE_CALL_H_
