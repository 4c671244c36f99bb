// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/input.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

absl::StatusOr<int> RunTokenize(const std::vector<std::string>& arguments) {
  if (arguments.size() != 1) {
    return absl::InvalidArgumentError(
        "tokenize takes one text; put it in quotes");
  }
  v1::TokenizeRequest request;
  request.set_bytes(ReadArgument(arguments[0]));
  Call call;
  v1::TokenizeResponse response;
  const grpc::Status status = v1::RwkvService::NewStub(Connect())->Tokenize(
      call.context(), request, &response);
  if (status.ok() && WantJson()) {
    PrintJson(response);
  } else if (status.ok()) {
    std::printf("%s\n", absl::StrJoin(response.ids(), ",").c_str());
  }
  return call.ExitCode(status);
}

constexpr absl::string_view kTokenizeFiles[] = {"tools/rwkvctl/tokenize.cc"};

}  // namespace

const Command kTokenize = {
    "tokenize",
    "TEXT | -",
    "turn text into token ids",
    "Prints the token ids of a text, separated by commas.",
    "rwkvctl tokenize \"In the beginning\"\n"
    "rwkvctl tokenize - < book.txt | tr , '\\n' | wc -l",
    kTokenizeFiles,
    &RunTokenize};

}  // namespace rwkvd
