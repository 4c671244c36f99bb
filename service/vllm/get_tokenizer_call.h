// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_VLLM_GET_TOKENIZER_CALL_H_
#define RWKVD_SERVICE_VLLM_GET_TOKENIZER_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "service/calls/call_environment.h"
#include "service/calls/call_record.h"
#include "service/calls/monitored_call.h"
#include "service/calls/request_message.h"
#include "service/calls/stream_end.h"
#include "service/metrics/metrics.h"
#include "service/vllm/tokenizer_archive.h"
#include "service/work_pool.h"

namespace rwkvd {

// One GetTokenizer call. It sends the archive in several messages, which view
// the bytes that all calls share: the call takes no memory for them.
//
// Owns itself: it is deleted when gRPC (OnDone) and the work pool no longer use
// it. Thread-safe. Everything in the environment, and `archives`, outlive it.
class GetTokenizerCall final
    : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
      public MonitoredCall {
 public:
  // The most bytes of the archive in a message.
  static constexpr size_t kChunkBytes = size_t{1} << 20;

  // Answers the call, whose message has arrived.
  static GetTokenizerCall* Start(const CallEnvironment& environment,
                                 grpc::CallbackServerContext* context,
                                 const grpc::ByteBuffer* message,
                                 TokenizerArchives* archives);

 private:
  GetTokenizerCall(const CallEnvironment& environment,
                   grpc::CallbackServerContext* context,
                   TokenizerArchives* archives);
  ~GetTokenizerCall() override = default;

  absl::Status Begin(const grpc::ByteBuffer* message);
  // On a thread of the work pool.
  absl::Status Answer(RequestMessage message);

  // Nothing is buffered: the next write is not begun.
  bool GiveUp(GiveUpReason reason, const absl::Status& why) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void SendNext();
  // Ends the call, unless that has happened.
  void End(const absl::Status& status);
  void FinishIfDue();

  const CallEnvironment environment_;
  grpc::CallbackServerContext* const context_;
  TokenizerArchives* const archives_;
  CallRecord record_;
  StreamEnd end_;
  WorkPool::TaskId task_;  // set before Start returns
  // Used by Answer, and then by OnWriteDone only.
  std::shared_ptr<const TokenizerArchive> archive_;
  size_t sent_ = 0;            // of the archive
  grpc::ByteBuffer response_;  // that gRPC writes
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_VLLM_GET_TOKENIZER_CALL_H_
