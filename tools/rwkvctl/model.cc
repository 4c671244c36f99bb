// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

absl::StatusOr<int> Run(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    return absl::InvalidArgumentError("no argument is needed");
  }
  Call call;
  v1::GetModelResponse response;
  const grpc::Status status = v1::RwkvService::NewStub(Connect())->GetModel(
      call.context(), {}, &response);
  if (status.ok() && WantJson()) {
    PrintJson(response);
  } else if (status.ok()) {
    std::printf("%s", response.DebugString().c_str());
  }
  return call.ExitCode(status);
}

constexpr absl::string_view kFiles[] = {"tools/rwkvctl/model.cc"};

}  // namespace

const Command kModel = {"model",
                        "",
                        "tell what is served",
                        "Prints what is being served: the model, its sizes, "
                        "limits and states.",
                        "rwkvctl model\n"
                        "rwkvctl model --json | jq -r .architecture",
                        kFiles,
                        &Run};

}  // namespace rwkvd
