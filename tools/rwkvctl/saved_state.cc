// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/saved_state.h"

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/grpc_status.h"
#include "core/base/mapped_file.h"
#include "core/base/replace_file.h"
#include "tools/rwkvctl/connection.h"

ABSL_FLAG(std::string, save_state, "",
          "File for the state at the end of the answer, or at the shutdown of "
          "the server. --load_state reads it.");
ABSL_FLAG(std::string, load_state, "",
          "Continue from a state file of --save_state, on any server with the "
          "same model. The prompt follows the text that the state has seen.");
ABSL_FLAG(bool, resume, false,
          "With --load_state: resume an interrupted answer. Repeat the other "
          "flags of the first call, but not its prompt.");

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

constexpr size_t kChunkBytes = size_t{1} << 20;

// The server keeps an uploaded state for this long: enough for one call.
constexpr double kSecondsToKeep = 600;

// An error in the content of the file begins with its path.
grpc::Status NameFile(const std::string& path, const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::INVALID_ARGUMENT &&
      status.error_code() != grpc::StatusCode::FAILED_PRECONDITION) {
    return status;
  }
  return {status.error_code(),
          absl::StrCat(path, ": ", status.error_message())};
}

}  // namespace

absl::Status CheckSaveState() {
  const std::string path = absl::GetFlag(FLAGS_save_state);
  const size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (path.empty() || access(folder.c_str(), W_OK | X_OK) == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--save_state: cannot write to ", folder, ": ", std::strerror(errno)));
}

void SetStateOptions(v1::GenerateRequest* request) {
  request->set_resume(absl::GetFlag(FLAGS_resume));
  if (absl::GetFlag(FLAGS_save_state).empty()) return;
  request->mutable_return_state()->set_at_end(true);
  request->mutable_return_state()->set_on_drain(!request->has_best_of());
}

grpc::Status UploadState(v1::RwkvService::Stub* stub,
                         v1::GenerateRequest* request) {
  const std::string path = absl::GetFlag(FLAGS_load_state);
  if (path.empty()) return grpc::Status::OK;
  const auto file = MappedFile::Open(path);
  if (!file.ok()) return ToGrpcStatus(file.status());
  const absl::string_view bytes(
      reinterpret_cast<const char*>((*file)->bytes().data()),
      (*file)->bytes().size());
  grpc::ClientContext context;
  const absl::Duration timeout = CallTimeout();
  if (timeout > absl::ZeroDuration()) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  }
  v1::PutStateResponse response;
  const auto writer = stub->PutState(&context, &response);
  for (size_t begin = 0; begin < bytes.size(); begin += kChunkBytes) {
    v1::PutStateRequest chunk;
    chunk.set_data(std::string(bytes.substr(begin, kChunkBytes)));
    chunk.set_ttl_seconds(kSecondsToKeep);
    if (!writer->Write(chunk)) break;
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  request->set_state_handle(response.state().handle());
  return NameFile(path, status);
}

absl::Status SaveState(absl::string_view bytes) {
  const std::string path = absl::GetFlag(FLAGS_save_state);
  if (path.empty() || bytes.empty()) return absl::OkStatus();
  return ReplaceFile(path, bytes);
}

}  // namespace rwkvd
