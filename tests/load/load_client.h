// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_LOAD_LOAD_CLIENT_H_
#define RWKVD_TESTS_LOAD_LOAD_CLIENT_H_

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "rwkv/v1/rwkv.grpc.pb.h"
#include "tests/load/load_answer.h"
#include "tests/load/load_requests.h"

namespace rwkvd::testing {

// Sends requests with a behavior, over a number of shared connections; requests
// whose connection is cut have one of their own.
//
// Thread-safe.
class LoadClient {
 public:
  LoadClient(const std::string& server, int connections);

  const ::rwkv::v1::GetModelResponse& model() const { return model_; }

  // Returns the answer, whatever its status. `random` chooses pauses and the
  // connection.
  LoadAnswer Ask(const ::rwkv::v1::GenerateRequest& request,
                 const Behavior& behavior, std::mt19937_64& random) const;

 private:
  const std::string server_;
  std::vector<std::unique_ptr<::rwkv::v1::RwkvService::Stub>> stubs_;
  ::rwkv::v1::GetModelResponse model_;
};

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_LOAD_LOAD_CLIENT_H_
