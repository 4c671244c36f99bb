// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/text_format.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// A field's value as text; "-" if it is not set.
std::string ValueOf(const google::protobuf::Message& message,
                    const google::protobuf::FieldDescriptor* field) {
  const auto one = [&](int index) {
    if (field->type() == google::protobuf::FieldDescriptor::TYPE_STRING) {
      return index < 0 ? message.GetReflection()->GetString(message, field)
                       : message.GetReflection()->GetRepeatedString(
                             message, field, index);
    }
    std::string text;
    google::protobuf::TextFormat::PrintFieldValueToString(message, field, index,
                                                          &text);
    return text;
  };
  if (field->has_presence() &&
      !message.GetReflection()->HasField(message, field)) {
    return "-";
  }
  if (!field->is_repeated()) return one(-1);
  std::vector<std::string> values;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
    values.push_back(one(i));
  }
  return absl::StrJoin(values, ", ");
}

// Prints a line for each field of the message type: its name and value.
void PrintTable(const google::protobuf::Message& message) {
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  size_t width = 0;
  for (int i = 0; i < type.field_count(); ++i) {
    width = std::max(width, type.field(i)->name().size());
  }
  for (int i = 0; i < type.field_count(); ++i) {
    const std::string value = ValueOf(message, type.field(i));
    absl::PrintF("%-*s  %s\n", static_cast<int>(width), type.field(i)->name(),
                 value.empty() ? "-" : value);
  }
}

absl::StatusOr<int> RunModel(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) {
    return absl::InvalidArgumentError("model takes no arguments");
  }
  Call call;
  v1::GetModelResponse response;
  const grpc::Status status = v1::RwkvService::NewStub(Connect())->GetModel(
      call.context(), {}, &response);
  if (status.ok() && WantJson()) {
    PrintJson(response);
  } else if (status.ok()) {
    PrintTable(response);
  }
  return call.ExitCode(status);
}

constexpr absl::string_view kModelFiles[] = {"tools/rwkvctl/model.cc"};

}  // namespace

const Command kModel = {"model",
                        "",
                        "describe the model and the server",
                        "Prints the model, its sizes, and the server's limits "
                        "and initial states: a name\nand its value per line. "
                        "proto/rwkv/v1/rwkv.proto explains the names.",
                        "rwkvctl model\n"
                        "rwkvctl model --json | jq -r .architecture",
                        kModelFiles,
                        &RunModel};

}  // namespace rwkvd
