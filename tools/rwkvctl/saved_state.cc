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
          "Where to write the state at the end of the answer, or when the "
          "server shuts down: for --load_state.");
ABSL_FLAG(std::string, load_state, "",
          "Go on from a state that --save_state has written, with a server of "
          "the same model: the prompt comes after what it has read.");
ABSL_FLAG(bool, resume, false,
          "With --load_state: take up the answer where it was cut short. The "
          "other flags are those of the first time, without the prompt.");

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

constexpr size_t kChunkBytes = size_t{1} << 20;

// Long enough for one call.
constexpr double kSecondsToKeep = 600;

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

void SetStates(v1::GenerateRequest* request) {
  request->set_resume(absl::GetFlag(FLAGS_resume));
  if (absl::GetFlag(FLAGS_save_state).empty()) return;
  request->mutable_return_state()->set_at_end(true);
  request->mutable_return_state()->set_on_drain(!request->has_best_of());
}

grpc::Status LoadState(v1::RwkvService::Stub* stub,
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
  return status;
}

absl::Status SaveState(absl::string_view bytes) {
  const std::string path = absl::GetFlag(FLAGS_save_state);
  if (path.empty() || bytes.empty()) return absl::OkStatus();
  return ReplaceFile(path, bytes);
}

}  // namespace rwkvd
