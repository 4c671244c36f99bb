// SPDX-License-Identifier: Apache-2.0
//
// Reads the input as a file of --auth_tokens.
#include <set>
#include <string>

#include "core/base/check.h"
#include "service/auth/token_file.h"
#include "tests/fuzz/fuzz_input.h"

namespace rwkvd {
namespace {

void Read(absl::string_view input) {
  const auto entries = ParseTokenFile(input, "tokens");
  if (!entries.ok()) {
    RWKVD_CHECK(entries.status().code() == absl::StatusCode::kInvalidArgument);
    RWKVD_CHECK(entries.status().message().substr(0, 6) == "tokens");
    return;
  }
  RWKVD_CHECK(!entries->empty() && entries->size() <= kMaxIdentities);
  std::set<std::string> names;
  std::set<Credential> credentials;
  for (const IdentityEntry& entry : *entries) {
    const Identity& identity = entry.identity;
    RWKVD_CHECK(names.insert(identity.name).second);
    RWKVD_CHECK(!identity.name.empty() &&
                identity.name.size() <= kMaxNameBytes);
    RWKVD_CHECK(identity.roles != 0 && (identity.roles & ~kAllRoles) == 0);
    RWKVD_CHECK(identity.quotas.weight >= 1 &&
                identity.quotas.weight <= kMaxWeight);
    RWKVD_CHECK(identity.quotas.state_bytes >= 1 << 20);
    for (const ByteQuota& bytes :
         {identity.quotas.message_bytes, identity.quotas.unread_bytes}) {
      RWKVD_CHECK(bytes.percent >= 0 && bytes.percent <= 100);
      RWKVD_CHECK(bytes.Of(1) >= 1 && bytes.Of(kNoLimit) >= 1);
    }
    RWKVD_CHECK(identity.quotas.MaxTimeToLive() >= absl::Seconds(1));
    RWKVD_CHECK(!entry.credentials.empty() &&
                entry.credentials.size() <= kMaxCredentialsPerIdentity);
    for (const Credential& credential : entry.credentials) {
      RWKVD_CHECK(credentials.insert(credential).second);
    }
  }
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::Read(rwkvd::testing::AsText(data, size));
  return 0;
}
