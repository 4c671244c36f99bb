// SPDX-License-Identifier: Apache-2.0
#include "service/auth/identity_table.h"

#include "core/base/sha256.h"

namespace rwkvd {
namespace {

// Few tokens of a table have the same first digits. A client cannot choose the
// digits of its token's digest, so that it learns nothing from the time that
// finding them takes.
constexpr size_t kIndexDigits = 16;

// Whether two digests of the same size are equal. Looks at all digits of both.
bool EqualDigests(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  volatile unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = difference | static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return difference == 0;
}

}  // namespace

std::string DigestOf(absl::string_view token) {
  Sha256 digest;
  digest.Update(
      {reinterpret_cast<const std::byte*>(token.data()), token.size()});
  return digest.Hex();
}

IdentityTable::IdentityTable(const std::vector<IdentityEntry>& entries) {
  for (const IdentityEntry& entry : entries) {
    identities_.push_back(std::make_shared<const Identity>(entry.identity));
    for (const Credential& credential : entry.credentials) {
      if (credential.kind == Credential::Kind::kToken) {
        tokens_[credential.value.substr(0, kIndexDigits)].push_back(
            {credential.value, identities_.back()});
      } else {
        certificates_[credential] = identities_.back();
      }
    }
  }
}

std::shared_ptr<const Identity> IdentityTable::FindByToken(
    absl::string_view token) const {
  if (token.empty() || token.size() > kMaxTokenBytes) return nullptr;
  const std::string digest = DigestOf(token);
  const auto candidates = tokens_.find(digest.substr(0, kIndexDigits));
  if (candidates == tokens_.end()) return nullptr;
  std::shared_ptr<const Identity> found;
  for (const Token& candidate : candidates->second) {
    if (EqualDigests(candidate.digest, digest)) found = candidate.identity;
  }
  return found;
}

std::shared_ptr<const Identity> IdentityTable::FindByCertificate(
    const CertificateNames& names) const {
  const auto find = [this](Credential::Kind kind,
                           absl::Span<const absl::string_view> values) {
    for (const absl::string_view value : values) {
      const auto found = certificates_.find({kind, std::string(value)});
      if (found != certificates_.end()) return found->second;
    }
    return std::shared_ptr<const Identity>();
  };
  auto found = find(Credential::Kind::kUri, names.uris);
  if (found == nullptr) found = find(Credential::Kind::kDns, names.dns);
  if (found == nullptr) {
    found = find(Credential::Kind::kCommonName, names.common_names);
  }
  return found;
}

}  // namespace rwkvd
