// SPDX-License-Identifier: Apache-2.0
#include "service/listener/tls_keys.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/listener/openssl_error.h"
#include "service/listener/owned_fd.h"
#include "service/log.h"

namespace rwkvd {
namespace {

template <typename T, void (*kFree)(T*)>
struct Freer {
  void operator()(T* object) const { kFree(object); }
};

using Certificate = std::unique_ptr<X509, Freer<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY, EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Freer<SSL_CTX, SSL_CTX_free>>;
using Reader = std::unique_ptr<BIO, Freer<BIO, BIO_free_all>>;

// One of the files. A value.
struct TlsFile {
  const char* flag;
  const std::string& path;
};

// The parts of the reason are concatenated.
template <typename... Parts>
absl::Status FileError(const TlsFile& file, const Parts&... reason) {
  return absl::InvalidArgumentError(
      absl::StrCat(file.flag, ": ", Quoted(file.path), ": ", reason...));
}

// The file's bytes. A pipe or device, which could block or never end, is
// refused.
absl::StatusOr<std::string> ReadContents(const TlsFile& file) {
  const OwnedFd fd(open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info;
  if (!fd.valid() || fstat(fd.get(), &info) != 0) {
    return FileError(file, std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) return FileError(file, "not a regular file");
  std::string contents;
  char buffer[16 << 10];
  while (true) {
    const ssize_t size = read(fd.get(), buffer, sizeof(buffer));
    if (size < 0) return FileError(file, std::strerror(errno));
    if (size == 0) return contents;
    contents.append(buffer, static_cast<size_t>(size));
    if (contents.size() > kMaxTlsFileBytes) {
      return FileError(file, "has more than ", kMaxTlsFileBytes, " bytes");
    }
  }
}

Reader ReaderOf(const std::string& contents) {
  return Reader(
      BIO_new_mem_buf(contents.data(), static_cast<int>(contents.size())));
}

// Whether reading PEM has ended since there is no further object, not because
// an object is malformed. Clears OpenSSL's list of errors if so.
bool IsEndOfPem() {
  const unsigned long error = ERR_peek_last_error();
  const bool is_end = ERR_GET_LIB(error) == ERR_LIB_PEM &&
                      ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (is_end) ERR_clear_error();
  return is_end;
}

absl::StatusOr<std::vector<Certificate>> ParseCertificates(
    const TlsFile& file, const std::string& contents) {
  const Reader reader = ReaderOf(contents);
  std::vector<Certificate> certificates;
  ERR_clear_error();
  while (X509* const certificate =
             PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
    if (certificates.size() > kMaxTlsCertificates) {
      return FileError(file, "has more than ", kMaxTlsCertificates,
                       " certificates");
    }
  }
  if (!IsEndOfPem()) {
    return FileError(file, "certificate ", certificates.size() + 1,
                     " is malformed: ", TakeOpenSslError());
  }
  if (certificates.empty()) {
    return FileError(file,
                     "has no certificate in PEM form (a block that "
                     "begins with -----BEGIN CERTIFICATE-----)");
  }
  return certificates;
}

absl::StatusOr<Key> ParseKey(const TlsFile& file, const std::string& contents) {
  bool is_encrypted = false;
  // Without a function, OpenSSL would ask for a passphrase at the terminal.
  const auto refuse_passphrase = [](char*, int, int, void* encrypted) {
    *static_cast<bool*>(encrypted) = true;
    return -1;
  };
  ERR_clear_error();
  Key key(PEM_read_bio_PrivateKey(ReaderOf(contents).get(), nullptr,
                                  refuse_passphrase, &is_encrypted));
  ERR_clear_error();
  if (key != nullptr) return key;
  if (is_encrypted) {
    return FileError(file,
                     "the key is encrypted; expected one without a "
                     "passphrase, which only rwkvd's user can read");
  }
  return FileError(file, "has no private key in PEM form that can be read");
}

absl::Time TimeOf(const ASN1_TIME* time) {
  tm utc = {};
  if (time == nullptr || ASN1_TIME_to_tm(time, &utc) != 1) {
    return absl::InfinitePast();
  }
  return absl::FromTimeT(timegm(&utc));
}

std::string DateOf(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", time, absl::UTCTimeZone());
}

// OK if the certificate is valid at `now`.
absl::Status CheckValidity(const TlsFile& file, const X509* certificate,
                           absl::Time now) {
  const absl::Time begin = TimeOf(X509_get0_notBefore(certificate));
  const absl::Time end = TimeOf(X509_get0_notAfter(certificate));
  if (now > end) {
    return FileError(file, "a certificate has expired at ", DateOf(end));
  }
  if (now < begin) {
    return FileError(file, "a certificate is not valid before ", DateOf(begin));
  }
  return absl::OkStatus();
}

// Loads the certificates and the key as gRPC does.
absl::Status CheckPair(const TlsFile& cert_file, const TlsFile& key_file,
                       const std::vector<Certificate>& certificates, Key key) {
  ERR_clear_error();
  const Context context(SSL_CTX_new(TLS_server_method()));
  X509* const own = certificates[0].get();
  if (context == nullptr || SSL_CTX_use_certificate(context.get(), own) != 1) {
    return FileError(cert_file, "OpenSSL refuses it: ", TakeOpenSslError());
  }
  if (X509_check_purpose(own, X509_PURPOSE_SSL_SERVER, /*ca=*/0) != 1) {
    return FileError(cert_file, "the first certificate is not for servers");
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    ERR_clear_error();
    return FileError(key_file,
                     "the key does not belong to the first "
                     "certificate of ",
                     Quoted(cert_file.path));
  }
  return absl::OkStatus();
}

absl::Status CheckClientCa(const TlsFile& file, const std::string& contents,
                           absl::Time now) {
  RWKVD_ASSIGN_OR_RETURN(const std::vector<Certificate> authorities,
                         ParseCertificates(file, contents));
  absl::Status status;
  for (const Certificate& authority : authorities) {
    status = CheckValidity(file, authority.get(), now);
    if (status.ok()) return status;
  }
  return status;
}

bool SameFiles(const TlsKeys& a, const TlsKeys& b) {
  return a.cert == b.cert && a.key == b.key && a.client_ca == b.client_ca;
}

}  // namespace

absl::StatusOr<TlsKeys> ReadTlsKeys(const TlsPaths& paths, absl::Time now) {
  const TlsFile cert_file = {"--tls_cert", paths.cert};
  const TlsFile key_file = {"--tls_key", paths.key};
  const TlsFile client_ca_file = {"--tls_client_ca", paths.client_ca};
  TlsKeys keys;
  RWKVD_ASSIGN_OR_RETURN(keys.cert, ReadContents(cert_file));
  RWKVD_ASSIGN_OR_RETURN(keys.key, ReadContents(key_file));
  RWKVD_ASSIGN_OR_RETURN(const std::vector<Certificate> certificates,
                         ParseCertificates(cert_file, keys.cert));
  RWKVD_ASSIGN_OR_RETURN(Key key, ParseKey(key_file, keys.key));
  RWKVD_RETURN_IF_ERROR(
      CheckPair(cert_file, key_file, certificates, std::move(key)));
  keys.expiry = absl::InfiniteFuture();
  for (const Certificate& certificate : certificates) {
    RWKVD_RETURN_IF_ERROR(CheckValidity(cert_file, certificate.get(), now));
    keys.expiry =
        std::min(keys.expiry, TimeOf(X509_get0_notAfter(certificate.get())));
  }
  if (paths.client_ca.empty()) return keys;
  RWKVD_ASSIGN_OR_RETURN(keys.client_ca, ReadContents(client_ca_file));
  RWKVD_RETURN_IF_ERROR(CheckClientCa(client_ca_file, keys.client_ca, now));
  return keys;
}

absl::StatusOr<std::string> ReadMetricsToken(const char* flag,
                                             const std::string& path) {
  const TlsFile file = {flag, path};
  RWKVD_ASSIGN_OR_RETURN(std::string token, ReadContents(file));
  absl::StripTrailingAsciiWhitespace(&token);
  if (token.size() < kMinMetricsTokenBytes ||
      token.size() > kMaxMetricsTokenBytes ||
      !absl::c_all_of(token, absl::ascii_isgraph)) {
    return FileError(file, "has no token of ", kMinMetricsTokenBytes, " to ",
                     kMaxMetricsTokenBytes,
                     " printable characters without spaces");
  }
  return token;
}

absl::StatusOr<std::unique_ptr<TlsKeyStore>> TlsKeyStore::Open(
    const TlsPaths& paths) {
  RWKVD_ASSIGN_OR_RETURN(TlsKeys keys, ReadTlsKeys(paths, absl::Now()));
  return std::unique_ptr<TlsKeyStore>(new TlsKeyStore(paths, std::move(keys)));
}

TlsKeyStore::TlsKeyStore(TlsPaths paths, TlsKeys keys)
    : paths_(std::move(paths)),
      keys_(std::make_shared<const TlsKeys>(std::move(keys))) {}

bool TlsKeyStore::Reload() {
  absl::MutexLock reload_lock(&reload_mutex_);
  absl::StatusOr<TlsKeys> read = ReadTlsKeys(paths_, absl::Now());
  const std::shared_ptr<const TlsKeys> used = keys();
  const bool is_new = read.ok() && !SameFiles(*read, *used);
  if (is_new) {
    const absl::Time expiry = read->expiry;
    Use(*std::move(read));
    // After the keys are in use, so that whoever reads it may rely on it.
    LogInfo(absl::StrCat("TLS: new files are in use; the certificate expires ",
                         DateOf(expiry)));
    return true;
  }
  absl::MutexLock lock(&mutex_);
  if (!read.ok() && read.status() != reload_status_) {
    LogWarning(absl::StrCat(
        "TLS: the last good files stay in use, since the new ones are bad: ",
        read.status().message()));
  }
  reload_status_ = read.status();
  return false;
}

void TlsKeyStore::Use(TlsKeys keys) {
  absl::MutexLock lock(&mutex_);
  keys_ = std::make_shared<const TlsKeys>(std::move(keys));
  reload_status_ = absl::OkStatus();
}

std::shared_ptr<const TlsKeys> TlsKeyStore::keys() const {
  absl::MutexLock lock(&mutex_);
  return keys_;
}

bool TlsKeyStore::reload_failed() const {
  absl::MutexLock lock(&mutex_);
  return !reload_status_.ok();
}

void ForbidCoreDumps() {
  // A limit of 0 does not stop the kernel from passing a dump to a program
  // (core_pattern); the other call does, and neither can fail.
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
}

}  // namespace rwkvd
