// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/input.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

absl::StatusOr<int> RunDetokenize(const std::vector<std::string>& arguments) {
  const std::string text = arguments.size() == 1
                               ? ReadArgument(arguments[0])
                               : absl::StrJoin(arguments, " ");
  RWKVD_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(text));
  v1::DetokenizeRequest request;
  request.mutable_ids()->Assign(ids.begin(), ids.end());
  Call call;
  v1::DetokenizeResponse response;
  const grpc::Status status = v1::RwkvService::NewStub(Connect())->Detokenize(
      call.context(), request, &response);
  if (status.ok() && WantJson()) {
    PrintJson(response);
  } else if (status.ok()) {
    std::fwrite(response.bytes().data(), 1, response.bytes().size(), stdout);
  }
  return call.ExitCode(status);
}

constexpr absl::string_view kDetokenizeFiles[] = {
    "tools/rwkvctl/detokenize.cc"};

}  // namespace

const Command kDetokenize = {
    "detokenize",
    "IDS | -",
    "turn token ids into bytes",
    "Prints the bytes of the given tokens, and nothing else. The ids are "
    "separated by\ncommas or blanks.",
    "rwkvctl detokenize 97,98 99\n"
    "rwkvctl tokenize abc | rwkvctl detokenize -",
    kDetokenizeFiles,
    &RunDetokenize};

}  // namespace rwkvd
