// SPDX-License-Identifier: Apache-2.0
#include "cli/error_details.h"

#include <grpcpp/support/error_details.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/quote.h"
#include "core/base/retry_after.h"
#include "google/rpc/error_details.pb.h"

namespace rwkvd {
namespace {

// Longer descriptions are cut; the message of the status has the whole.
constexpr size_t kMaxDescriptionBytes = 200;

// `text` as it is if that is short and printable, otherwise quoted and cut.
std::string Shown(absl::string_view text) {
  const bool is_plain =
      text.size() <= kMaxQuotedBytes &&
      std::all_of(text.begin(), text.end(), absl::ascii_isprint);
  return is_plain ? std::string(text) : Quoted(text);
}

std::string Description(absl::string_view text) {
  return std::string(CutUtf8(text, kMaxDescriptionBytes));
}

google::rpc::ErrorInfo ErrorInfoOf(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  const std::optional<ErrorReason> reason = ReasonOf(status);
  // Every error of the server has a reason. The code says least.
  info.set_reason(reason.has_value() ? std::string(InfoOf(*reason).name)
                                     : absl::StatusCodeToString(status.code()));
  info.set_domain(kErrorDomain);
  for (const auto& [key, value] : MetadataOf(status)) {
    (*info.mutable_metadata())[key] = Shown(value);
  }
  return info;
}

google::rpc::BadRequest BadRequestOf(absl::string_view field,
                                     const absl::Status& status) {
  google::rpc::BadRequest bad_request;
  auto* const violation = bad_request.add_field_violations();
  violation->set_field(Shown(field));
  absl::string_view problem = status.message();
  if (absl::ConsumePrefix(&problem, field)) absl::ConsumePrefix(&problem, ": ");
  violation->set_description(Description(problem));
  return bad_request;
}

google::rpc::RetryInfo RetryInfoOf(absl::Duration retry_after) {
  google::rpc::RetryInfo retry;
  const int64_t seconds = absl::ToInt64Seconds(retry_after);
  retry.mutable_retry_delay()->set_seconds(seconds);
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(retry_after - absl::Seconds(seconds))));
  return retry;
}

google::rpc::QuotaFailure QuotaFailureOf(const std::string& quota,
                                         const absl::Status& status) {
  google::rpc::QuotaFailure failure;
  auto* const violation = failure.add_violations();
  violation->set_subject(quota);
  violation->set_description(Description(status.message()));
  return failure;
}

google::rpc::ResourceInfo ResourceInfoOf(const NamedResource& resource,
                                         const absl::Status& status) {
  google::rpc::ResourceInfo info;
  info.set_resource_type(resource.type);
  info.set_resource_name(Shown(resource.name));
  info.set_description(Description(status.message()));
  return info;
}

}  // namespace

google::rpc::Status ErrorDetails(const absl::Status& status,
                                 absl::string_view message) {
  google::rpc::Status details;
  details.set_code(static_cast<int32_t>(status.code()));
  details.set_message(std::string(message));
  size_t bytes = 0;
  const auto add = [&](const google::protobuf::Message& detail) {
    google::protobuf::Any any;
    any.PackFrom(detail);
    bytes += any.ByteSizeLong();
    if (bytes <= kMaxDetailsBytes) *details.add_details() = std::move(any);
  };
  add(ErrorInfoOf(status));
  const std::optional<std::string> field = FieldOf(status);
  if (field.has_value()) add(BadRequestOf(*field, status));
  const std::optional<absl::Duration> retry_after = RetryAfter(status);
  if (retry_after.has_value()) add(RetryInfoOf(*retry_after));
  const std::optional<std::string> quota = QuotaOf(status);
  if (quota.has_value()) add(QuotaFailureOf(*quota, status));
  const std::optional<NamedResource> resource = ResourceOf(status);
  if (resource.has_value()) add(ResourceInfoOf(*resource, status));
  return details;
}

std::string ReasonIn(const grpc::Status& status) {
  google::rpc::Status details;
  if (!grpc::ExtractErrorDetails(status, &details).ok()) return "";
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info)) return info.reason();
  }
  return "";
}

grpc::Status WithErrorMetadata(const grpc::Status& status,
                               const std::string& key,
                               const std::string& value) {
  google::rpc::Status details;
  if (status.error_details().empty() ||
      !grpc::ExtractErrorDetails(status, &details).ok()) {
    return status;
  }
  for (google::protobuf::Any& detail : *details.mutable_details()) {
    google::rpc::ErrorInfo info;
    if (!detail.UnpackTo(&info)) continue;
    (*info.mutable_metadata())[key] = value;
    detail.PackFrom(info);
    return {status.error_code(), status.error_message(),
            details.SerializeAsString()};
  }
  return status;
}

}  // namespace rwkvd
