// SPDX-License-Identifier: Apache-2.0
#include "service/states/redis_tls.h"

#include <openssl/err.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/listener/openssl_error.h"

namespace rwkvd {
namespace {

// OpenSSL would wait for the writer of a pipe.
absl::Status CheckRegular(const char* flag, const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": ", Quoted(path), ": ", std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": ", Quoted(path), ": not a regular file"));
  }
  return absl::OkStatus();
}

// `is_loaded` is what OpenSSL says about a file.
absl::Status CheckLoaded(bool is_loaded, const char* flag,
                         const std::string& path) {
  if (is_loaded) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": ", Quoted(path), ": ", TakeOpenSslError()));
}

// Without a function, OpenSSL would ask for a passphrase at the terminal.
int RefusePassphrase(char*, int, int, void*) { return -1; }

}  // namespace

absl::StatusOr<SslContext> NewSslContext(const RedisOptions& options) {
  ERR_clear_error();
  SslContext context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return absl::UnavailableError(TakeOpenSslError());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context.get(), SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_default_passwd_cb(context.get(), RefusePassphrase);
  if (options.ca.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else {
    constexpr char kFlag[] = "--state_store_ca";
    RWKVD_RETURN_IF_ERROR(CheckRegular(kFlag, options.ca));
    const int loaded =
        SSL_CTX_load_verify_file(context.get(), options.ca.c_str());
    RWKVD_RETURN_IF_ERROR(CheckLoaded(loaded == 1, kFlag, options.ca));
  }
  if (options.cert.empty()) return context;
  constexpr char kCert[] = "--state_store_cert", kKey[] = "--state_store_key";
  RWKVD_RETURN_IF_ERROR(CheckRegular(kCert, options.cert));
  RWKVD_RETURN_IF_ERROR(CheckRegular(kKey, options.key));
  const int cert =
      SSL_CTX_use_certificate_chain_file(context.get(), options.cert.c_str());
  RWKVD_RETURN_IF_ERROR(CheckLoaded(cert == 1, kCert, options.cert));
  const int key = SSL_CTX_use_PrivateKey_file(
      context.get(), options.key.c_str(), SSL_FILETYPE_PEM);
  RWKVD_RETURN_IF_ERROR(CheckLoaded(key == 1, kKey, options.key));
  return context;
}

}  // namespace rwkvd
