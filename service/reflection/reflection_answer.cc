// SPDX-License-Identifier: Apache-2.0
#include "service/reflection/reflection_answer.h"

#include <grpcpp/support/status_code_enum.h>

#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/quote.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"

namespace rwkvd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1::ExtensionRequest;
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;

const DescriptorPool& Pool() { return *DescriptorPool::generated_pool(); }

void SetError(grpc::StatusCode code, absl::string_view message,
              ServerReflectionResponse& response) {
  auto* const error = response.mutable_error_response();
  error->set_error_code(code);
  error->set_error_message(std::string(message));
}

void SetNotFound(absl::string_view kind, absl::string_view name,
                 ServerReflectionResponse& response) {
  SetError(grpc::StatusCode::NOT_FOUND,
           absl::StrCat("there is no ", kind, " ", Quoted(name)), response);
}

// The file and all files that it imports, directly or not, each once.
void SetFile(const FileDescriptor& file, ServerReflectionResponse& response) {
  auto* const files = response.mutable_file_descriptor_response();
  std::vector<const FileDescriptor*> pending = {&file};
  absl::flat_hash_set<const FileDescriptor*> seen = {&file};
  while (!pending.empty()) {
    const FileDescriptor* const next = pending.back();
    pending.pop_back();
    google::protobuf::FileDescriptorProto proto;
    next->CopyTo(&proto);
    files->add_file_descriptor_proto(proto.SerializeAsString());
    for (int i = 0; i < next->dependency_count(); ++i) {
      if (seen.insert(next->dependency(i)).second) {
        pending.push_back(next->dependency(i));
      }
    }
  }
}

void FindFile(const std::string& name, ServerReflectionResponse& response) {
  const FileDescriptor* const file = Pool().FindFileByName(name);
  if (file == nullptr) return SetNotFound("file", name, response);
  SetFile(*file, response);
}

void FindSymbol(const std::string& name, ServerReflectionResponse& response) {
  const FileDescriptor* const file = Pool().FindFileContainingSymbol(name);
  if (file == nullptr) return SetNotFound("symbol", name, response);
  SetFile(*file, response);
}

void FindExtension(const ExtensionRequest& request,
                   ServerReflectionResponse& response) {
  const std::string& name = request.containing_type();
  const Descriptor* const type = Pool().FindMessageTypeByName(name);
  if (type == nullptr) return SetNotFound("message", name, response);
  const FieldDescriptor* const field =
      Pool().FindExtensionByNumber(type, request.extension_number());
  if (field == nullptr) {
    return SetError(
        grpc::StatusCode::NOT_FOUND,
        absl::StrCat("there is no extension ", request.extension_number(),
                     " of ", Quoted(name)),
        response);
  }
  SetFile(*field->file(), response);
}

void ListExtensions(const std::string& name,
                    ServerReflectionResponse& response) {
  const Descriptor* const type = Pool().FindMessageTypeByName(name);
  if (type == nullptr) return SetNotFound("message", name, response);
  std::vector<const FieldDescriptor*> extensions;
  Pool().FindAllExtensions(type, &extensions);
  auto* const answer = response.mutable_all_extension_numbers_response();
  answer->set_base_type_name(name);
  for (const FieldDescriptor* extension : extensions) {
    answer->add_extension_number(extension->number());
  }
}

}  // namespace

ServerReflectionResponse AnswerReflection(
    const ServerReflectionRequest& request,
    absl::Span<const std::string> services) {
  ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kFileByFilename:
      FindFile(request.file_by_filename(), response);
      break;
    case ServerReflectionRequest::kFileContainingSymbol:
      FindSymbol(request.file_containing_symbol(), response);
      break;
    case ServerReflectionRequest::kFileContainingExtension:
      FindExtension(request.file_containing_extension(), response);
      break;
    case ServerReflectionRequest::kAllExtensionNumbersOfType:
      ListExtensions(request.all_extension_numbers_of_type(), response);
      break;
    case ServerReflectionRequest::kListServices:
      for (const std::string& name : services) {
        response.mutable_list_services_response()->add_service()->set_name(
            name);
      }
      break;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      SetError(grpc::StatusCode::INVALID_ARGUMENT,
               "the request has no message_request", response);
  }
  return response;
}

}  // namespace rwkvd
