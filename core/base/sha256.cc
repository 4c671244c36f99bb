// SPDX-License-Identifier: Apache-2.0
#include "core/base/sha256.h"

#include <openssl/evp.h>

#include <cstdint>

#include "absl/strings/escaping.h"
#include "core/base/check.h"

namespace rwkvd {

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  RWKVD_CHECK(context_ != nullptr);
  RWKVD_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256::Update(absl::Span<const std::byte> bytes) {
  RWKVD_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) ==
              1);
}

void Sha256::UpdateWithLength(absl::string_view text) {
  unsigned char length[8];
  for (int i = 0; i < 8; ++i) {
    length[i] = static_cast<unsigned char>(uint64_t{text.size()} >> (8 * i));
  }
  Update(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(length), 8));
  Update(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()),
                             text.size()));
}

std::string Sha256::Hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  RWKVD_CHECK(EVP_DigestFinal_ex(context_.get(), digest, &size) == 1);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

}  // namespace rwkvd
