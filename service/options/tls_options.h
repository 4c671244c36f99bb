// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_TLS_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_TLS_OPTIONS_H_

#include <string>

#include "absl/status/status.h"

namespace rwkvd {

// The files of TLS. A value.
struct TlsOptions {
  std::string tls_cert;       // empty: no TLS
  std::string tls_key;        // given if and only if tls_cert is
  std::string tls_client_ca;  // empty: clients need no certificate

  bool metrics_tls = false;        // the same certificate for the metrics
  std::string metrics_token_file;  // empty: everybody may read the metrics

  bool has_tls() const { return !tls_cert.empty(); }
};

// Sets all fields to the values of their flags. InvalidArgument with the flag,
// its value and the values that are allowed. Does not read the files.
absl::Status ReadTlsFlags(TlsOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_TLS_OPTIONS_H_
