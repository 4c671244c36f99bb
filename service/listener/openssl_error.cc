// SPDX-License-Identifier: Apache-2.0
#include "service/listener/openssl_error.h"

#include <openssl/err.h>

namespace rwkvd {

std::string TakeOpenSslError() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  std::string text = reason == nullptr ? "unknown error" : reason;
  ERR_clear_error();
  return text;
}

}  // namespace rwkvd
