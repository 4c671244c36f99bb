// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_SAVED_STATE_H_
#define RWKVD_TOOLS_RWKVCTL_SAVED_STATE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/support/status.h"
#include "rwkv/v1/rwkv.grpc.pb.h"

namespace rwkvd {

// The source file that defines --save_state, --load_state and --resume.
inline constexpr absl::string_view kSavedStateFile =
    "tools/rwkvctl/saved_state.cc";

// InvalidArgument if the directory of --save_state is not writable. Called
// before generation, so that no answer is lost.
absl::Status CheckSaveState();

// Sets the request's fields that --resume and --save_state control.
void SetStateOptions(::rwkv::v1::GenerateRequest* request);

// Uploads the file given by --load_state, if any, and puts the state's handle
// into the request.
grpc::Status UploadState(::rwkv::v1::RwkvService::Stub* stub,
                         ::rwkv::v1::GenerateRequest* request);

// Writes a state to the file given by --save_state. Does nothing without that
// flag, or if `bytes` is empty.
absl::Status SaveState(absl::string_view bytes);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_SAVED_STATE_H_
