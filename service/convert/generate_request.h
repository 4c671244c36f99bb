// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CONVERT_GENERATE_REQUEST_H_
#define RWKVD_SERVICE_CONVERT_GENERATE_REQUEST_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/request.h"
#include "rwkv/v1/rwkv.pb.h"
#include "service/convert/request_limits.h"

namespace rwkvd {

// How many samples of a request are generated, and how many of them, the best,
// are returned. A value.
struct SampleCounts {
  int32_t generated = 1;
  int32_t returned = 1;
};

// What the client receives of each sample in addition to its text. A value.
struct Delivery {
  bool logprobs = false;
  bool token_text = false;  // the bytes and text of each token
  // How its state is sent, if the request asks for it: as a handle, which
  // expires after `time_to_live` (0: the server's default), or as bytes.
  bool state_as_handle = false;
  absl::Duration time_to_live;
};

// All that one Generate message asks for. A value.
struct GenerateInput {
  GenerateRequest request;   // `start`, `received` and `deadline` are not set
  std::string state_handle;  // of the saved state to set as `start`; or empty
  SampleCounts samples;
  Delivery delivery;
  // How many of the request's stop strings are from `stop_strings`; those from
  // `stop_texts` follow, and then those of a chat template.
  int64_t num_stop_strings = 0;
};

// Converts a Generate message. It checks what core's request cannot express:
// InvalidArgument or FailedPrecondition, with the name of the field. The engine
// checks the values of the core request; see NameGenerateField.
absl::StatusOr<GenerateInput> FromProto(
    const ::rwkv::v1::GenerateRequest& proto, const RequestLimits& limits);

// Renames the field in an error of the engine to its name on the wire, for a
// request with these samples and this number of `stop_strings`.
absl::Status NameGenerateField(const absl::Status& status,
                               const SampleCounts& samples,
                               int64_t num_stop_strings);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CONVERT_GENERATE_REQUEST_H_
