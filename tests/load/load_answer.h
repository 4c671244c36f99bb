// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_LOAD_LOAD_ANSWER_H_
#define RWKVD_TESTS_LOAD_LOAD_ANSWER_H_

#include <grpcpp/support/status.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "rwkv/v1/rwkv.pb.h"
#include "tests/load/load_requests.h"

namespace rwkvd::testing {

// Everything that a client received for a request. Thread-compatible.
struct LoadAnswer {
  std::vector<std::string> tokens;  // serialized, with log-probabilities
  std::string bytes;                // of the deltas and the finish
  std::string text;
  std::optional<::rwkv::v1::Finish> finish;
  bool after_finish = false;  // whether a message followed the finish
  grpc::Status status;
  absl::Duration retry_after;  // with RESOURCE_EXHAUSTED

  void Add(const ::rwkv::v1::GenerateResponse& response);
};

// What is wrong with `answer`, given the answer to the same request alone; ""
// if nothing. A complete answer must equal that one. A partial answer must be
// its beginning, with a status that `behavior` explains.
std::string FindProblem(const LoadAnswer& alone, const LoadAnswer& answer,
                        Behavior::Kind behavior);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_LOAD_LOAD_ANSWER_H_
