// SPDX-License-Identifier: Apache-2.0
#include "service/calls/unknown_methods.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/error.h"
#include "core/base/quote.h"
#include "service/telemetry/request_identity.h"

namespace rwkvd {
namespace {

// A call that ends at once. Deletes itself.
class RefusedCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedCall(const grpc::Status& status) { Finish(status); }

 private:
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerGenericBidiReactor* UnknownMethods::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const IdentifiedCall call(context);
  const absl::string_view method = absl::StripPrefix(context->method(), "/");
  const absl::Status access = authorizer_->CheckCredential(*context, method);
  if (!access.ok()) return new RefusedCall(call.End(access));
  return new RefusedCall(call.End(MakeError(
      ErrorReason::kMethodUnknown,
      absl::StrCat("the server has no method ", Quoted(context->method())))));
}

}  // namespace rwkvd
