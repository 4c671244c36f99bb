// SPDX-License-Identifier: Apache-2.0
#include "service/options/tls_options.h"

#include "absl/flags/flag.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(std::string, tls_cert, "",
          "A file with the server's certificate in PEM form, followed by those "
          "that issued it. With it and --tls_key, --listen accepts TLS 1.2 and "
          "1.3 only. The files of TLS are read again on SIGHUP and once a "
          "minute; if they are bad then, the last good ones stay in use.");
ABSL_FLAG(std::string, tls_key, "",
          "A file with the private key of --tls_cert in PEM form, without a "
          "passphrase.");
ABSL_FLAG(std::string, tls_client_ca, "",
          "A file with certificates of authorities in PEM form. Clients then "
          "need a certificate that one of these has issued (mutual TLS). If "
          "empty, any client can connect.");
ABSL_FLAG(bool, metrics_tls, false,
          "Serve the metrics (--metrics_listen) with TLS, with the certificate "
          "of --tls_cert. Clients need no certificate there.");
ABSL_FLAG(
    std::string, metrics_token_file, "",
    "A file with a token, at least 16 printable characters. Only requests "
    "with \"Authorization: Bearer TOKEN\" get the metrics then. It is read "
    "again as the files of TLS are.");

namespace rwkvd {

absl::Status ReadTlsFlags(TlsOptions* options) {
  options->tls_cert = absl::GetFlag(FLAGS_tls_cert);
  options->tls_key = absl::GetFlag(FLAGS_tls_key);
  options->tls_client_ca = absl::GetFlag(FLAGS_tls_client_ca);
  if (options->tls_cert.empty() && !options->tls_key.empty()) {
    return FlagError("tls_key", "needs --tls_cert");
  }
  if (options->has_tls() && options->tls_key.empty()) {
    return FlagError("tls_cert", "needs --tls_key");
  }
  if (!options->has_tls() && !options->tls_client_ca.empty()) {
    return FlagError("tls_client_ca", "needs --tls_cert and --tls_key");
  }
  options->metrics_tls = absl::GetFlag(FLAGS_metrics_tls);
  options->metrics_token_file = absl::GetFlag(FLAGS_metrics_token_file);
  if (!options->has_tls() && options->metrics_tls) {
    return FlagError("metrics_tls", "needs --tls_cert and --tls_key");
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
