// SPDX-License-Identifier: Apache-2.0
#include "service/calls/channelz_service.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <grpcpp/impl/codegen/rpc_service_method.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/json_util.h"
#include "service/calls/monitored_call.h"
#include "service/convert/small_message.h"
#include "service/telemetry/request_identity.h"

namespace rwkvd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::MethodDescriptor;
using google::protobuf::Reflection;
using google::protobuf::ServiceDescriptor;
using ChannelzHandler =
    grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>;

// What a request asks for. A value.
struct ChannelzQuery {
  int64_t id = 0;     // of what to describe
  int64_t start = 0;  // the lowest id to list
  int64_t max_results = ChannelzService::kMaxResults;
};

// What distinguishes the methods. A constant.
struct ChannelzMethod {
  const char* path;   // "/PACKAGE.SERVICE/METHOD"
  const char* id;     // the request's field with the id; null: it has none
  const char* start;  // that with the lowest id; null: the answer is no list
  // Returns gRPC's answer as JSON, which the caller frees with gpr_free; null
  // if there is nothing with this id.
  char* (*read)(const ChannelzQuery& query);
};

constexpr ChannelzMethod kChannelzMethods[] = {
    {"/grpc.channelz.v1.Channelz/GetTopChannels", nullptr, "start_channel_id",
     [](const ChannelzQuery& query) {
       return grpc_channelz_get_top_channels(query.start);
     }},
    {"/grpc.channelz.v1.Channelz/GetServers", nullptr, "start_server_id",
     [](const ChannelzQuery& query) {
       return grpc_channelz_get_servers(query.start);
     }},
    {"/grpc.channelz.v1.Channelz/GetServer", "server_id", nullptr,
     [](const ChannelzQuery& query) {
       return grpc_channelz_get_server(query.id);
     }},
    {"/grpc.channelz.v1.Channelz/GetServerSockets", "server_id",
     "start_socket_id",
     [](const ChannelzQuery& query) {
       return grpc_channelz_get_server_sockets(query.id, query.start,
                                               query.max_results);
     }},
    {"/grpc.channelz.v1.Channelz/GetChannel", "channel_id", nullptr,
     [](const ChannelzQuery& query) {
       return grpc_channelz_get_channel(query.id);
     }},
    {"/grpc.channelz.v1.Channelz/GetSubchannel", "subchannel_id", nullptr,
     [](const ChannelzQuery& query) {
       return grpc_channelz_get_subchannel(query.id);
     }},
    {"/grpc.channelz.v1.Channelz/GetSocket", "socket_id", nullptr,
     [](const ChannelzQuery& query) {
       return grpc_channelz_get_socket(query.id);
     }},
};

// The messages of gRPC's library for channelz, which has no headers for them.
const MethodDescriptor* FindChannelzMethod(const ChannelzMethod& method) {
  const ServiceDescriptor* const service =
      DescriptorPool::generated_pool()->FindServiceByName(
          ChannelzService::kName);
  RWKVD_CHECK(service != nullptr);
  const absl::string_view path = method.path;
  const MethodDescriptor* const found =
      service->FindMethodByName(std::string(path.substr(path.rfind('/') + 1)));
  RWKVD_CHECK(found != nullptr);
  return found;
}

std::unique_ptr<Message> NewMessage(const Descriptor* type) {
  return std::unique_ptr<Message>(
      MessageFactory::generated_factory()->GetPrototype(type)->New());
}

// Sets `number` to the value of a field, if `field` names one. InvalidArgument
// if it is negative.
absl::Status ReadNumber(const Message& request, const char* field,
                        int64_t* number) {
  if (field == nullptr) return absl::OkStatus();
  *number = request.GetReflection()->GetInt64(
      request, request.GetDescriptor()->FindFieldByName(field));
  if (*number >= 0) return absl::OkStatus();
  return FieldError(field,
                    absl::StrCat("is ", *number, ", must be at least 0"));
}

absl::StatusOr<ChannelzQuery> QueryIn(const ChannelzMethod& method,
                                      const Message& request) {
  constexpr int64_t kMax = ChannelzService::kMaxResults;
  ChannelzQuery query;
  RWKVD_RETURN_IF_ERROR(ReadNumber(request, method.id, &query.id));
  if (method.start == nullptr) return query;
  RWKVD_RETURN_IF_ERROR(ReadNumber(request, method.start, &query.start));
  RWKVD_RETURN_IF_ERROR(ReadNumber(request, "max_results", &query.max_results));
  // 0 means that the server decides.
  if (query.max_results == 0 || query.max_results > kMax) {
    query.max_results = kMax;
  }
  return query;
}

absl::Status EntityNotFound(absl::string_view id_field, int64_t id) {
  const absl::string_view type = absl::StripSuffix(id_field, "_id");
  return WithResource(FieldError(ErrorReason::kChannelzEntityNotFound, id_field,
                                 absl::StrCat("there is no ", type, " ", id)),
                      type, absl::StrCat(id));
}

// Keeps the first `max` items of a list. gRPC lists up to 100 servers or
// channels, whatever the client asks for.
void ShortenList(int64_t max, Message* response) {
  const Reflection& reflection = *response->GetReflection();
  const Descriptor& type = *response->GetDescriptor();
  const FieldDescriptor* const items = type.FindFieldByNumber(1);
  if (reflection.FieldSize(*response, items) <= max) return;
  while (reflection.FieldSize(*response, items) > max) {
    reflection.RemoveLast(response, items);
  }
  reflection.ClearField(response, type.FindFieldByName("end"));
}

// Sets `response` to gRPC's answer to `query`.
absl::Status AnswerQuery(const ChannelzMethod& method,
                         const ChannelzQuery& query, Message* response) {
  const std::unique_ptr<char, decltype(&gpr_free)> json(method.read(query),
                                                        &gpr_free);
  if (json == nullptr && method.id != nullptr) {
    return EntityNotFound(method.id, query.id);
  }
  // It is the JSON form of the message.
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      json == nullptr ? "" : json.get(), response);
  if (!parsed.ok()) {
    return MakeError(ErrorReason::kInternalError,
                     absl::StrCat("cannot parse gRPC's answer to ", method.path,
                                  ": ", parsed.ToString()));
  }
  if (method.start != nullptr) ShortenList(query.max_results, response);
  return absl::OkStatus();
}

// Sets `response` to the answer to a call whose message has arrived.
absl::Status AnswerCall(const ChannelzMethod& method,
                        const grpc::CallbackServerContext& context,
                        const grpc::ByteBuffer& bytes, Authorizer* authorizer,
                        Message* request, Message* response) {
  RWKVD_RETURN_IF_ERROR(
      authorizer->Authorize(context, absl::StripPrefix(method.path, "/"))
          .status());
  RWKVD_RETURN_IF_ERROR(ParseSmallMessage(bytes, request));
  RWKVD_ASSIGN_OR_RETURN(const ChannelzQuery query, QueryIn(method, *request));
  return AnswerQuery(method, query, response);
}

// A call that ends at once. Owns itself: OnDone deletes it. Thread-safe.
class ChannelzCall final : public grpc::ServerUnaryReactor,
                           public MonitoredCall {
 public:
  ChannelzCall(CallMonitor* monitor, grpc::CallbackServerContext* context)
      : MonitoredCall(monitor, context), identity_(context) {}

  // Ends the call with `status` and, if it is OK, with `response`, as `bytes`,
  // which are gRPC's. Called once.
  void End(absl::Status status, const Message& response,
           grpc::ByteBuffer* bytes) {
    if (status.ok()) status = SetAnswer(response, bytes);
    WaitForClientToRead();
    Finish(identity_.End(status));
  }

 private:
  ~ChannelzCall() override = default;

  // There is nothing to drop: what the call holds is with gRPC already.
  bool GiveUp(GiveUpReason, const absl::Status&) override { return false; }
  void OnDone() override { Done(); }

  const IdentifiedCall identity_;
};

}  // namespace

ChannelzService::ChannelzService(Authorizer* authorizer, CallMonitor* monitor) {
  int index = 0;
  for (const ChannelzMethod& method : kChannelzMethods) {
    AddMethod(new grpc::internal::RpcServiceMethod(
        method.path, grpc::internal::RpcMethod::NORMAL_RPC, nullptr));
    const auto start = [authorizer, monitor, &method,
                        types = FindChannelzMethod(method)](
                           grpc::CallbackServerContext* context,
                           const grpc::ByteBuffer* request_bytes,
                           grpc::ByteBuffer* response_bytes) {
      auto* const call = new ChannelzCall(monitor, context);
      const auto request = NewMessage(types->input_type());
      const auto response = NewMessage(types->output_type());
      const absl::Status status =
          AnswerCall(method, *context, *request_bytes, authorizer,
                     request.get(), response.get());
      call->End(status, *response, response_bytes);
      // The call still exists: gRPC calls OnDone only after this has returned.
      return call;
    };
    MarkMethodCallback(index++, new ChannelzHandler(start));
  }
}

}  // namespace rwkvd
