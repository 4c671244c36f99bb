// SPDX-License-Identifier: Apache-2.0
#include "service/auth/authorizer.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "service/auth/method_policy.h"

namespace rwkvd {
namespace {

constexpr char kAuthorization[] = "authorization";
constexpr absl::string_view kBearer = "bearer ";

absl::string_view ToView(grpc::string_ref text) {
  return {text.data(), text.size()};
}

// The names in the certificate of the client. They are empty unless gRPC has
// verified it, for which the server must require client certificates.
// `connection` outlives them.
CertificateNames NamesIn(const grpc::AuthContext& connection) {
  CertificateNames names;
  if (!connection.IsPeerAuthenticated()) return names;
  const auto find = [&connection](const char* property) {
    std::vector<absl::string_view> values;
    for (const grpc::string_ref& value :
         connection.FindPropertyValues(property)) {
      values.push_back(ToView(value));
    }
    return values;
  };
  names.uris = find(GRPC_PEER_URI_PROPERTY_NAME);
  names.dns = find(GRPC_PEER_DNS_PROPERTY_NAME);
  names.common_names = find(GRPC_X509_CN_PROPERTY_NAME);
  return names;
}

bool IsEmpty(const CertificateNames& names) {
  return names.uris.empty() && names.dns.empty() && names.common_names.empty();
}

// The partition of a client whose certificate is verified, on a server without
// a token file.
std::string PartitionOf(const CertificateNames& names) {
  if (!names.uris.empty()) return absl::StrCat("uri:", names.uris[0]);
  if (!names.dns.empty()) return absl::StrCat("dns:", names.dns[0]);
  if (names.common_names.empty()) return "";
  return absl::StrCat("cn:", names.common_names[0]);
}

absl::Status CredentialMissing() {
  return MakeError(ErrorReason::kCredentialMissing,
                   "expected the metadata \"authorization: Bearer TOKEN\" or a "
                   "client certificate, got neither");
}

// It says nothing of the credential, and is the same for all of them.
absl::Status CredentialUnknown() {
  return MakeError(ErrorReason::kCredentialUnknown,
                   "expected a token or a certificate of an identity that this "
                   "server knows, got another one");
}

}  // namespace

absl::Status Authorizer::Open(const std::string& token_file) {
  RWKVD_ASSIGN_OR_RETURN(source_, IdentitySource::Open(token_file));
  return absl::OkStatus();
}

bool Authorizer::ReloadSoon() {
  if (source_ == nullptr) return false;
  source_->ReloadSoon();
  return true;
}

absl::StatusOr<Caller> Authorizer::Authorize(
    const grpc::ServerContextBase& context, absl::string_view method) {
  if (source_ == nullptr) {
    const auto connection = context.auth_context();
    return Caller{nullptr, PartitionOf(NamesIn(*connection)), nullptr};
  }
  absl::StatusOr<std::shared_ptr<const Identity>> identity =
      Authenticate(context);
  if (!identity.ok()) return Refuse(identity.status(), context.peer(), method);
  const MethodPolicy* const policy = FindMethodPolicy(method);
  const bool is_allowed =
      policy != nullptr && (policy->access != Access::kRole ||
                            ((*identity)->roles & policy->roles) != 0);
  if (!is_allowed) {
    accounts_.Get((*identity)->name, *source_)
        ->AddCall({.calls = 1, .refused = 1});
    const RoleSet roles = policy == nullptr ? 0 : policy->roles;
    return Refuse(RoleMissing(**identity, roles, method), context.peer(),
                  method);
  }
  std::string partition = (*identity)->Partition();
  std::shared_ptr<Account> account = accounts_.Get((*identity)->name, *source_);
  return Caller{*std::move(identity), std::move(partition), std::move(account)};
}

absl::Status Authorizer::CheckCredential(const grpc::ServerContextBase& context,
                                         absl::string_view method) {
  if (source_ == nullptr) return absl::OkStatus();
  const absl::Status status = Authenticate(context).status();
  return status.ok() ? status : Refuse(status, context.peer(), method);
}

absl::StatusOr<std::shared_ptr<const Identity>> Authorizer::Authenticate(
    const grpc::ServerContextBase& context) const {
  const auto [begin, end] =
      context.client_metadata().equal_range(kAuthorization);
  std::shared_ptr<const Identity> identity;
  if (begin == end) {
    const auto connection = context.auth_context();
    const CertificateNames names = NamesIn(*connection);
    if (IsEmpty(names)) return CredentialMissing();
    identity = source_->table()->FindByCertificate(names);
  } else if (std::next(begin) == end) {
    const absl::string_view value = ToView(begin->second);
    if (absl::StartsWithIgnoreCase(value, kBearer)) {
      identity = source_->table()->FindByToken(value.substr(kBearer.size()));
    }
  }
  if (identity == nullptr) return CredentialUnknown();
  return identity;
}

absl::Status Authorizer::Refuse(absl::Status status, const std::string& peer,
                                absl::string_view method) {
  const std::optional<ErrorReason> reason = ReasonOf(status);
  if (reason == ErrorReason::kRoleMissing) {
    num_without_role_.fetch_add(1, std::memory_order_relaxed);
    return status;
  }
  (reason == ErrorReason::kCredentialMissing ? num_missing_ : num_unknown_)
      .fetch_add(1, std::memory_order_relaxed);
  log_.Warning(absl::StrCat("refused a call of ", method, " by ", peer,
                            reason == ErrorReason::kCredentialMissing
                                ? ", which has no credential"
                                : ", whose credential nobody has"));
  return status;
}

std::vector<std::pair<std::string, Account::Usage>> Authorizer::Usages() {
  if (source_ == nullptr) return {};
  return accounts_.Usages(*source_);
}

Authorizer::Refusals Authorizer::refusals() const {
  return {num_missing_.load(), num_unknown_.load(), num_without_role_.load()};
}

}  // namespace rwkvd
