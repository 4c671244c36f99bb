// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKVCTL_SAVED_STATE_H_
#define RWKVD_TOOLS_RWKVCTL_SAVED_STATE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/support/status.h"
#include "rwkv/v1/rwkv.grpc.pb.h"

namespace rwkvd {

// Where --save_state, --load_state and --resume are defined.
inline constexpr absl::string_view kSavedStateFile =
    "tools/rwkvctl/saved_state.cc";

// InvalidArgument, if the folder of --save_state cannot be written to: better
// known before the answer than after it.
absl::Status CheckSaveState();

// Sets what the flags say, but for the state to load.
void SetStates(::rwkv::v1::GenerateRequest* request);

// Gives the server the file of --load_state, if there is one, and the request
// its handle.
grpc::Status LoadState(::rwkv::v1::RwkvService::Stub* stub,
                       ::rwkv::v1::GenerateRequest* request);

// Writes what came of a state to the file of --save_state, if there is one.
absl::Status SaveState(absl::string_view bytes);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKVCTL_SAVED_STATE_H_
