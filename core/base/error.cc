// SPDX-License-Identifier: Apache-2.0
#include "core/base/error.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

constexpr char kReasonPayload[] = "rwkvd/reason";
constexpr char kQuotaPayload[] = "rwkvd/quota";
// Followed by a key, or by a type.
constexpr char kMetadataPrefix[] = "rwkvd/metadata/";
constexpr char kResourcePrefix[] = "rwkvd/resource/";

constexpr size_t kMaxNameBytes = 256;

std::optional<std::string> PayloadOf(const absl::Status& status,
                                     absl::string_view type_url) {
  const auto payload = status.GetPayload(type_url);
  if (!payload.has_value()) return std::nullopt;
  return std::string(*payload);
}

absl::Status With(absl::Status status, absl::string_view type_url,
                  absl::string_view value) {
  status.SetPayload(type_url, absl::Cord(value));
  return status;
}

}  // namespace

absl::Status MakeError(ErrorReason reason, absl::string_view message) {
  return WithReason(absl::Status(InfoOf(reason).code, message), reason);
}

absl::Status WithMessage(const absl::Status& status,
                         absl::string_view message) {
  absl::Status copy(status.code(), message);
  status.ForEachPayload(
      [&](absl::string_view type_url, const absl::Cord& payload) {
        // A copy of the Cord would need a library of Abseil that nothing else
        // here does.
        copy.SetPayload(type_url, absl::Cord(std::string(payload)));
      });
  return copy;
}

absl::Status WithReason(absl::Status status, ErrorReason reason) {
  return With(std::move(status), kReasonPayload, InfoOf(reason).name);
}

absl::Status WithMetadata(absl::Status status, absl::string_view key,
                          absl::string_view value) {
  return With(std::move(status), absl::StrCat(kMetadataPrefix, key), value);
}

absl::Status WithQuota(absl::Status status, absl::string_view quota) {
  return With(std::move(status), kQuotaPayload, quota);
}

absl::Status WithResource(absl::Status status, absl::string_view type,
                          absl::string_view name) {
  // More of it would not be sent.
  return With(std::move(status), absl::StrCat(kResourcePrefix, type),
              name.substr(0, kMaxNameBytes));
}

std::optional<ErrorReason> ReasonOf(const absl::Status& status) {
  return FindErrorReason(PayloadOf(status, kReasonPayload).value_or(""));
}

std::vector<std::pair<std::string, std::string>> MetadataOf(
    const absl::Status& status) {
  std::vector<std::pair<std::string, std::string>> metadata;
  status.ForEachPayload(
      [&](absl::string_view type_url, const absl::Cord& payload) {
        if (!absl::ConsumePrefix(&type_url, kMetadataPrefix)) return;
        metadata.emplace_back(type_url, payload);
      });
  std::sort(metadata.begin(), metadata.end());
  return metadata;
}

std::optional<std::string> QuotaOf(const absl::Status& status) {
  return PayloadOf(status, kQuotaPayload);
}

std::optional<NamedResource> ResourceOf(const absl::Status& status) {
  std::optional<NamedResource> resource;
  status.ForEachPayload(
      [&](absl::string_view type_url, const absl::Cord& payload) {
        if (!absl::ConsumePrefix(&type_url, kResourcePrefix)) return;
        resource = {std::string(type_url), std::string(payload)};
      });
  return resource;
}

}  // namespace rwkvd
