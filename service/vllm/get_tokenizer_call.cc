// SPDX-License-Identifier: Apache-2.0
#include "service/vllm/get_tokenizer_call.h"

#include <iterator>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/exceptions.h"
#include "core/base/status_macros.h"
#include "service/calls/admission.h"
#include "service/calls/request_task.h"
#include "service/calls/response_bytes.h"
#include "vllm/common.pb.h"

namespace rwkvd {
namespace {

using ::smg::grpc::common::GetTokenizerChunk;
using ::smg::grpc::common::GetTokenizerRequest;

// A message with the part of the archive that begins at `begin`.
grpc::ByteBuffer ChunkOf(const std::shared_ptr<const TokenizerArchive>& archive,
                         absl::string_view part, bool is_last) {
  std::string head;
  AppendFieldHeader(GetTokenizerChunk::kDataFieldNumber, part.size(), &head);
  GetTokenizerChunk rest;
  if (is_last) rest.set_sha256(archive->sha256);
  const grpc::Slice slices[] = {grpc::Slice(head), SliceOf(part, archive),
                                grpc::Slice(rest.SerializeAsString())};
  return grpc::ByteBuffer(slices, std::size(slices));
}

}  // namespace

GetTokenizerCall* GetTokenizerCall::Start(const CallEnvironment& environment,
                                          grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* message,
                                          TokenizerArchives* archives) {
  auto* call = new GetTokenizerCall(environment, context, archives);
  const absl::Status status = call->Begin(message);
  if (!status.ok()) call->End(status);
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call;
}

GetTokenizerCall::GetTokenizerCall(const CallEnvironment& environment,
                                   grpc::CallbackServerContext* context,
                                   TokenizerArchives* archives)
    : MonitoredCall(environment.monitor, context,
                    environment.caller.unread_bytes()),
      environment_(environment),
      context_(context),
      archives_(archives),
      record_(environment, Rpc::kVllmGetTokenizer, context->peer()) {}

absl::Status GetTokenizerCall::Begin(const grpc::ByteBuffer* message) {
  RWKVD_RETURN_IF_ERROR(environment_.CheckAllowed());
  RWKVD_ASSIGN_OR_RETURN(
      task_,
      AddRequestTask(
          message, environment_, this,
          [this](RequestMessage request) { return Answer(std::move(request)); },
          [this](const absl::Status& error) { End(error); }));
  return absl::OkStatus();
}

absl::Status GetTokenizerCall::Answer(RequestMessage message) {
  GetTokenizerRequest request;
  RWKVD_RETURN_IF_ERROR(message.ParseInto(&request));
  auto archive =
      CatchExceptions([&] { return archives_->Get(*environment_.model); });
  if (!archive.ok()) return archive.status();
  archive_ = *std::move(archive);
  SendNext();
  return absl::OkStatus();
}

void GetTokenizerCall::SendNext() {
  if (sent_ == archive_->zip.size()) return End(absl::OkStatus());
  if (!end_.Enter()) return;
  const absl::string_view part =
      absl::ClippedSubstr(archive_->zip, sent_, kChunkBytes);
  sent_ += part.size();
  response_ = ChunkOf(archive_, part, sent_ == archive_->zip.size());
  record_.Writing(context_);
  WaitForClientToRead();
  StartWrite(&response_);
}

void GetTokenizerCall::OnWriteDone(bool ok) {
  ClientResponded();
  response_.Clear();
  end_.Leave();
  if (end_.is_decided()) return FinishIfDue();
  if (ok) {
    SendNext();
  } else {
    End(CallCancelled());
  }
}

bool GetTokenizerCall::GiveUp(GiveUpReason, const absl::Status& why) {
  if (!end_.Decide(why, context_)) return false;
  FinishIfDue();
  return true;
}

void GetTokenizerCall::End(const absl::Status& status) {
  if (end_.Decide(status, context_)) FinishIfDue();
}

void GetTokenizerCall::FinishIfDue() {
  if (!end_.TakeFinish()) return;
  WaitForClientToRead();
  Finish(record_.Finishing(end_.status(), context_));
}

void GetTokenizerCall::OnCancel() {
  if (!environment_.pool->Remove(task_)) return;
  End(CallCancelled());
  Unref();  // that of the task
}

void GetTokenizerCall::OnDone() {
  record_.End(FinalStatus(end_.status()));
  Done();
}

}  // namespace rwkvd
