// SPDX-License-Identifier: Apache-2.0
#include "service/reflection/reflection_streams.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "service/convert/small_message.h"
#include "service/reflection/reflection_answer.h"
#include "service/telemetry/request_identity.h"

namespace rwkvd {
namespace {

using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;

grpc::ByteBuffer Serialize(const ServerReflectionResponse& response) {
  grpc::ByteBuffer bytes;
  bool owned = false;
  // Cannot fail: a response is far smaller than 2 GiB.
  grpc::SerializationTraits<ServerReflectionResponse>::Serialize(
      response, &bytes, &owned);
  return bytes;
}

absl::Status Idle() {
  return WithQuota(
      MakeError(ErrorReason::kTooManyReflectionStreams,
                absl::StrCat("more than ", ReflectionStreams::kMaxOpen,
                             " reflection streams are open, and this one has "
                             "been idle for the longest time")),
      "reflection_streams");
}

}  // namespace

// One call. It reads a request, writes its response, and so on.
//
// Owns itself: it is deleted by OnDone. ReflectionStreams guards its members.
class ReflectionStreams::Stream final : public Reactor {
 public:
  Stream(ReflectionStreams* owner, grpc::CallbackServerContext* call)
      : streams(owner), context(call), identity(call) {}

  void OnReadDone(bool ok) override { streams->OnRead(this, ok); }
  void OnWriteDone(bool ok) override { streams->OnWritten(this, ok); }
  void OnDone() override { delete this; }

  ReflectionStreams* const streams;
  grpc::CallbackServerContext* const context;
  const IdentifiedCall identity;
  grpc::ByteBuffer request;   // gRPC writes it during a read
  grpc::ByteBuffer response;  // gRPC reads it during a write
  std::optional<std::list<Stream*>::iterator> position;  // while it is open
  bool has_ended = false;
  bool is_writing = false;
};

ReflectionStreams::Reactor* ReflectionStreams::Open(
    grpc::CallbackServerContext* context, absl::string_view method) {
  auto* const stream = new Stream(this, context);
  const absl::Status access =
      authorizer_ == nullptr
          ? absl::OkStatus()
          : authorizer_->Authorize(*context, method).status();
  absl::MutexLock lock(&mutex_);
  if (!access.ok()) {
    End(stream, access);
    return stream;
  }
  if (stopped_) {
    End(stream, ServerShuttingDown());
    return stream;
  }
  if (static_cast<int>(open_.size()) >= kMaxOpen) End(open_.front(), Idle());
  stream->position = open_.insert(open_.end(), stream);
  stream->StartRead(&stream->request);
  return stream;
}

void ReflectionStreams::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  while (!open_.empty()) End(open_.front(), ServerShuttingDown());
}

void ReflectionStreams::OnRead(Stream* stream, bool ok) {
  absl::MutexLock lock(&mutex_);
  if (stream->has_ended) return;
  if (!ok) return End(stream, absl::OkStatus());
  // The last in the list is the last to be ended for another.
  open_.splice(open_.end(), open_, *stream->position);
  Respond(stream);
}

void ReflectionStreams::Respond(Stream* stream) {
  ServerReflectionRequest request;
  const absl::Status status = ParseSmallMessage(stream->request, &request);
  stream->request.Clear();
  if (!status.ok()) return End(stream, status);
  stream->response = Serialize(AnswerReflection(request, services_));
  stream->is_writing = true;
  stream->StartWrite(&stream->response);
}

void ReflectionStreams::OnWritten(Stream* stream, bool ok) {
  absl::MutexLock lock(&mutex_);
  stream->is_writing = false;
  stream->response.Clear();
  if (stream->has_ended) return;
  if (!ok) {
    return End(stream, MakeError(ErrorReason::kCancelled, "cancelled"));
  }
  stream->StartRead(&stream->request);
}

void ReflectionStreams::End(Stream* stream, const absl::Status& status) {
  if (stream->has_ended) return;
  stream->has_ended = true;
  if (stream->position.has_value()) open_.erase(*stream->position);
  // A client that does not read would delay the end forever.
  if (stream->is_writing) stream->context->TryCancel();
  stream->Finish(stream->identity.End(status));
}

}  // namespace rwkvd
