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

// Computes a SHA-256 digest incrementally. Thread-compatible.
class Sha256 {
 public:
  Sha256();

  void Update(absl::Span<const std::byte> bytes);
  // Adds the length of `text` and then `text`, so that two sequences of strings
  // give the same digest only if they are equal.
  void UpdateWithLength(absl::string_view text);

  // The digest as 64 hexadecimal digits. No other call may follow.
  std::string Hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_SHA256_H_
