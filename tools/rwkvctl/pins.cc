// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"

ABSL_FLAG(std::string, unpin, "", "Name of a pinned prompt to remove.");

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

void Print(const v1::PinnedPrefix& prefix) {
  absl::PrintF("%s\t%d tokens\t%d bytes", prefix.name(), prefix.token_count(),
               prefix.bytes());
  if (prefix.has_expires_in_seconds()) {
    absl::PrintF("\t%.0f s left", prefix.expires_in_seconds());
  }
  absl::PrintF("\n");
}

int Unpin(const std::string& name) {
  Call call;
  v1::UnpinPrefixRequest request;
  request.set_name(name);
  v1::UnpinPrefixResponse response;
  const grpc::Status status = v1::RwkvService::NewStub(Connect())->UnpinPrefix(
      call.context(), request, &response);
  if (status.ok() && WantJson()) PrintJson(response);
  return call.ExitCode(status);
}

int List() {
  Call call;
  v1::ListPinnedPrefixesResponse response;
  const grpc::Status status =
      v1::RwkvService::NewStub(Connect())->ListPinnedPrefixes(call.context(),
                                                              {}, &response);
  if (status.ok() && WantJson()) {
    PrintJson(response);
  } else if (status.ok()) {
    for (const v1::PinnedPrefix& prefix : response.prefixes()) Print(prefix);
  }
  return call.ExitCode(status);
}

absl::StatusOr<int> RunPins(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    return absl::InvalidArgumentError("pins takes no arguments");
  }
  const std::string name = absl::GetFlag(FLAGS_unpin);
  return name.empty() ? List() : Unpin(name);
}

constexpr absl::string_view kPinsFiles[] = {"tools/rwkvctl/pins.cc"};

}  // namespace

const Command kPins = {
    "pins",
    "",
    "list or remove pinned prompts",
    "Prints the prompts that the server keeps under a name (rwkvctl generate "
    "--pin), one\nper line, or removes one of them (--unpin).",
    "rwkvctl pins\n"
    "rwkvctl pins --unpin=rules",
    kPinsFiles,
    &RunPins};

}  // namespace rwkvd
