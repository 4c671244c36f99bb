// SPDX-License-Identifier: Apache-2.0
#include "service/listener/open_calls.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <netinet/in.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "core/base/json.h"

namespace rwkvd {
namespace {

// The number of sockets in one answer of gRPC.
constexpr intptr_t kPage = 500;

// Takes over a text that gRPC has allocated; null becomes an empty object.
Json ParseOwned(char* text) {
  if (text == nullptr) return Json::object();
  absl::StatusOr<Json> json = ParseJson(text, "channelz");
  gpr_free(text);
  return json.ok() ? *std::move(json) : Json::object();
}

// The member `name` of an object; null if there is none.
const Json& Member(const Json& object, const char* name) {
  static const Json* const kNull = new Json();
  const auto found = object.find(name);
  return object.is_object() && found != object.end() ? *found : *kNull;
}

// A number in gRPC's JSON, where large ones are strings and 0 is left out.
int64_t NumberIn(const Json& object, const char* name) {
  const Json& value = Member(object, name);
  int64_t number = 0;
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_string() ||
      !absl::SimpleAtoi(value.get_ref<const std::string&>(), &number)) {
    return 0;
  }
  return number;
}

int64_t OpenCallsIn(const Json& server) {
  const Json& data = Member(server, "data");
  return NumberIn(data, "callsStarted") - NumberIn(data, "callsSucceeded") -
         NumberIn(data, "callsFailed");
}

// As EndpointKey: the bytes of the address and of the port.
std::string EndpointIn(const Json& socket) {
  const Json& address = Member(Member(socket, "remote"), "tcpip_address");
  const Json& encoded = Member(address, "ip_address");
  std::string key;
  if (!encoded.is_string() ||
      !absl::Base64Unescape(encoded.get_ref<const std::string&>(), &key)) {
    return "";
  }
  const int64_t port = NumberIn(address, "port");
  key.push_back(static_cast<char>(port >> 8));
  key.push_back(static_cast<char>(port & 0xFF));
  return key;
}

ConnectionCalls ConnectionIn(const Json& answer) {
  const Json& socket = Member(answer, "socket");
  const Json& data = Member(socket, "data");
  ConnectionCalls result;
  result.endpoint = EndpointIn(socket);
  result.num_calls = NumberIn(data, "streamsStarted") -
                     NumberIn(data, "streamsSucceeded") -
                     NumberIn(data, "streamsFailed");
  return result;
}

}  // namespace

OpenCalls::OpenCalls() {
  const Json answer = ParseOwned(grpc_channelz_get_servers(0));
  for (const Json& server : Member(answer, "server")) {
    server_id_ =
        std::max(server_id_, NumberIn(Member(server, "ref"), "serverId"));
  }
}

int64_t OpenCalls::Count() const {
  const Json answer = ParseOwned(grpc_channelz_get_server(server_id_));
  return OpenCallsIn(Member(answer, "server"));
}

std::vector<ConnectionCalls> OpenCalls::CountByConnection() const {
  std::vector<ConnectionCalls> result;
  int64_t first = 0;
  while (true) {
    const Json page =
        ParseOwned(grpc_channelz_get_server_sockets(server_id_, first, kPage));
    const Json& sockets = Member(page, "socketRef");
    if (!sockets.is_array() || sockets.empty()) return result;
    for (const Json& socket : sockets) {
      const int64_t id = NumberIn(socket, "socketId");
      first = std::max(first, id + 1);
      result.push_back(ConnectionIn(ParseOwned(grpc_channelz_get_socket(id))));
    }
  }
}

int64_t ParseOpenCalls(absl::string_view server) {
  const absl::StatusOr<Json> json = ParseJson(server, "channelz");
  return json.ok() ? OpenCallsIn(Member(*json, "server")) : 0;
}

ConnectionCalls ParseConnection(absl::string_view socket) {
  const absl::StatusOr<Json> json = ParseJson(socket, "channelz");
  return json.ok() ? ConnectionIn(*json) : ConnectionCalls();
}

}  // namespace rwkvd
