// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_SHA256_H_
#define RWKVD_CORE_BASE_SHA256_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

struct evp_md_ctx_st;

namespace rwkvd {

// A SHA-256 digest in the making. Owned by who computes it; thread-compatible.
class Sha256 {
 public:
  Sha256();

  void Update(absl::Span<const std::byte> bytes);
  // The length first, so that no two sequences of strings collide.
  void UpdateWithLength(absl::string_view text);

  // 64 hexadecimal digits. Ends the digest: nothing may follow.
  std::string Hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_SHA256_H_
