// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_TLS_KEYS_H_
#define RWKVD_SERVICE_LISTENER_TLS_KEYS_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace rwkvd {

// The paths of --tls_cert, --tls_key and --tls_client_ca. A value.
struct TlsPaths {
  std::string cert;
  std::string key;
  std::string client_ca;  // empty: clients need no certificate
};

// What the server needs for TLS, in PEM form. A value.
struct TlsKeys {
  std::string cert;  // the server's certificate, then those that issued it
  std::string key;
  std::string client_ca;  // the authorities of clients; may be empty
  absl::Time expiry;      // of the first certificate in `cert` to expire
};

// The maximum size of each file, and the maximum number of certificates in one.
inline constexpr size_t kMaxTlsFileBytes = 1 << 20;
inline constexpr int kMaxTlsCertificates = 1000;

// Reads and checks the files: each is in PEM form, the key belongs to the first
// certificate, that certificate is for servers, all certificates of the server
// are valid at `now`, and so is at least one authority. They are loaded as gRPC
// would load them, so that OpenSSL's own limits, such as the smallest size of a
// key, hold as well.
//
// InvalidArgument, with the flag, the path and the reason, but without any
// contents of a file.
absl::StatusOr<TlsKeys> ReadTlsKeys(const TlsPaths& paths, absl::Time now);

// Reads a secret: the file's bytes without white space at their end, at least
// kMinMetricsTokenBytes printable characters and no space. InvalidArgument,
// with `flag`, the path and the reason, but without any contents.
inline constexpr size_t kMinMetricsTokenBytes = 16;
inline constexpr size_t kMaxMetricsTokenBytes = 4096;
absl::StatusOr<std::string> ReadMetricsToken(const char* flag,
                                             const std::string& path);

// The last good contents of the files, which may be replaced while the server
// runs.
//
// Owned by the server; thread-safe.
class TlsKeyStore {
 public:
  // Reads the files. The errors are those of ReadTlsKeys.
  static absl::StatusOr<std::unique_ptr<TlsKeyStore>> Open(
      const TlsPaths& paths);

  // Reads the files again, if they are not those in use. If they are bad, the
  // last good ones stay in use, and the log has the reason, once. Returns
  // whether other keys are in use than before. May wait for a disk.
  bool Reload() ABSL_LOCKS_EXCLUDED(reload_mutex_, mutex_);

  std::shared_ptr<const TlsKeys> keys() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the last Reload found files that cannot be used.
  bool reload_failed() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  TlsKeyStore(TlsPaths paths, TlsKeys keys);

  // Replaces the keys by those of good files.
  void Use(TlsKeys keys) ABSL_LOCKS_EXCLUDED(mutex_);

  const TlsPaths paths_;
  // Held by Reload, which may wait for a disk; the other functions do not wait.
  absl::Mutex reload_mutex_;
  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(reload_mutex_);
  std::shared_ptr<const TlsKeys> keys_ ABSL_GUARDED_BY(mutex_);
  absl::Status reload_status_ ABSL_GUARDED_BY(mutex_);
};

// Makes sure that the process leaves no core dump, which would contain keys and
// tokens, and that other processes of its user cannot read its memory.
void ForbidCoreDumps();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_TLS_KEYS_H_
