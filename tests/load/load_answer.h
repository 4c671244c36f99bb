// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_LOAD_LOAD_ANSWER_H_
#define RWKVD_TESTS_LOAD_LOAD_ANSWER_H_

#include <grpcpp/support/status.h>

#include <optional>
#include <string>
#include <vector>

#include "rwkv/v1/rwkv.pb.h"
#include "tests/load/load_requests.h"

namespace rwkvd::testing {

// All that came of a request, bit for bit. Thread-compatible.
struct LoadAnswer {
  std::vector<std::string>
      tokens;         // each serialized, log-probabilities and all
  std::string bytes;  // deltas' and the finish's
  std::string text;
  std::optional<::rwkv::v1::Finish> finish;
  bool after_finish = false;  // whether something came after the finish
  grpc::Status status;

  void Add(const ::rwkv::v1::GenerateResponse& response);
};

// What is wrong with `answer`, given the one to the same request alone: "" if
// nothing. A whole answer is equal to it; a part is its beginning, and has a
// status that `behavior` explains.
std::string WhatIsWrong(const LoadAnswer& alone, const LoadAnswer& answer,
                        Behavior::Kind behavior);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_LOAD_LOAD_ANSWER_H_
