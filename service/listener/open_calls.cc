// SPDX-License-Identifier: Apache-2.0
#include "service/listener/open_calls.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

// The number of sockets in one answer of gRPC.
constexpr intptr_t kPage = 500;

// Takes over a text that gRPC has allocated, or null.
std::string Take(char* text) {
  std::string result = text == nullptr ? "" : text;
  gpr_free(text);
  return result;
}

// The functions below search the JSON that gRPC writes without parsing it,
// since that takes as long as everything else, and an attack leaves no time.
// The names that they search for occur nowhere else in these texts.

// The text after `"name":`; empty if there is none.
absl::string_view After(absl::string_view json, absl::string_view name) {
  const std::string key = absl::StrCat("\"", name, "\":");
  const size_t begin = json.find(key);
  return begin == absl::string_view::npos ? ""
                                          : json.substr(begin + key.size());
}

// A number, which gRPC leaves out if it is 0, and writes as a string if it may
// be large.
int64_t NumberIn(absl::string_view json, absl::string_view name) {
  absl::string_view value = After(json, name);
  absl::ConsumePrefix(&value, "\"");
  int64_t number = 0;
  const bool valid = absl::SimpleAtoi(
      value.substr(0, value.find_first_not_of("0123456789")), &number);
  return valid ? number : 0;
}

// The ids of servers or sockets, in ascending order.
std::vector<int64_t> IdsIn(absl::string_view json, absl::string_view name) {
  std::vector<int64_t> ids;
  for (absl::string_view rest = json; !After(rest, name).empty();
       rest = After(rest, name)) {
    ids.push_back(NumberIn(rest, name));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

// As EndpointKey: the bytes of the address and of the port.
std::string EndpointIn(absl::string_view socket) {
  const absl::string_view remote = After(socket, "remote");
  absl::string_view address = After(remote, "ip_address");
  absl::ConsumePrefix(&address, "\"");
  std::string key;
  if (address.empty() ||
      !absl::Base64Unescape(address.substr(0, address.find('"')), &key)) {
    return "";
  }
  const int64_t port = NumberIn(remote, "port");
  key.push_back(static_cast<char>(port >> 8));
  key.push_back(static_cast<char>(port & 0xFF));
  return key;
}

}  // namespace

OpenCalls::OpenCalls() {
  const std::string servers = Take(grpc_channelz_get_servers(0));
  for (const int64_t id : IdsIn(servers, "serverId")) server_id_ = id;
}

int64_t OpenCalls::Count() const {
  return ParseOpenCalls(Take(grpc_channelz_get_server(server_id_)));
}

std::vector<ConnectionCalls> OpenCalls::CountByConnection() const {
  std::vector<ConnectionCalls> result;
  int64_t first = 0;
  while (true) {
    const std::vector<int64_t> ids =
        IdsIn(Take(grpc_channelz_get_server_sockets(server_id_, first, kPage)),
              "socketId");
    if (ids.empty()) return result;
    for (const int64_t id : ids) {
      result.push_back(ParseConnection(Take(grpc_channelz_get_socket(id))));
    }
    first = ids.back() + 1;
  }
}

int64_t ParseOpenCalls(absl::string_view server) {
  return NumberIn(server, "callsStarted") - NumberIn(server, "callsSucceeded") -
         NumberIn(server, "callsFailed");
}

ConnectionCalls ParseConnection(absl::string_view socket) {
  ConnectionCalls result;
  result.endpoint = EndpointIn(socket);
  result.num_calls = NumberIn(socket, "streamsStarted") -
                     NumberIn(socket, "streamsSucceeded") -
                     NumberIn(socket, "streamsFailed");
  return result;
}

}  // namespace rwkvd
