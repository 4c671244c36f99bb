// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/request_identity.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "cli/error_details.h"
#include "cli/grpc_status.h"

namespace rwkvd {
namespace {

constexpr size_t kMadeIdDigits = 32;

// The value of metadata that is there exactly once; else empty.
absl::string_view OnlyValue(const grpc::ServerContextBase& context,
                            const char* key) {
  const auto [begin, end] = context.client_metadata().equal_range(key);
  if (begin == end || std::next(begin) != end) return "";
  return absl::string_view(begin->second.data(), begin->second.size());
}

// The values of metadata that may be split. Ends once it is too long.
std::string JoinedValues(const grpc::ServerContextBase& context,
                         const char* key, size_t max_bytes) {
  const auto [begin, end] = context.client_metadata().equal_range(key);
  std::string joined;
  for (auto value = begin; value != end && joined.size() <= max_bytes;
       ++value) {
    absl::StrAppend(
        &joined, joined.empty() ? "" : ",",
        absl::string_view(value->second.data(), value->second.size()));
  }
  return joined;
}

}  // namespace

bool IsRequestId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxRequestIdBytes &&
         std::all_of(id.begin(), id.end(),
                     [](char c) { return c > ' ' && c <= '~'; });
}

RequestIdentity IdentityOf(const grpc::ServerContextBase& context,
                           bool sample_new) {
  RequestIdentity identity;
  const absl::string_view id = OnlyValue(context, kRequestIdKey);
  identity.request_id =
      IsRequestId(id) ? std::string(id) : RandomHex(kMadeIdDigits);
  identity.trace = TraceContextOf(
      OnlyValue(context, kTraceparentKey),
      JoinedValues(context, kTraceStateKey, kMaxTraceStateBytes), sample_new);
  return identity;
}

void ReturnIdentity(const RequestIdentity& identity,
                    grpc::ServerContextBase* context) {
  context->AddInitialMetadata(kRequestIdKey, identity.request_id);
  context->AddInitialMetadata(kTraceparentKey, identity.trace.ToTraceparent());
}

void ReturnIdentityAtEnd(const RequestIdentity& identity,
                         grpc::ServerContextBase* context) {
  context->AddTrailingMetadata(kRequestIdKey, identity.request_id);
  context->AddTrailingMetadata(kTraceparentKey, identity.trace.ToTraceparent());
}

IdentifiedCall::IdentifiedCall(grpc::ServerContextBase* context)
    : context_(context), identity_(IdentityOf(*context, /*sample_new=*/false)) {
  ReturnIdentity(identity_, context);
}

grpc::Status IdentifiedCall::End(const absl::Status& status) const {
  return WithErrorMetadata(EndStatus(status, context_), kErrorRequestIdKey,
                           identity_.request_id);
}

}  // namespace rwkvd
