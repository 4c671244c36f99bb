// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_LISTENER_TEST_CERTIFICATES_H_
#define RWKVD_TESTS_SERVICE_LISTENER_TEST_CERTIFICATES_H_

#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace rwkvd {

// A certificate with its private key, in PEM form. A value.
struct TestCertificate {
  std::string cert;
  std::string key;
};

// What a certificate says. A value.
struct TestCertificateFields {
  std::string name = "test";
  std::string alternative_names = "DNS:localhost,IP:127.0.0.1";
  std::string purposes = "serverAuth,clientAuth";
  absl::Time begin = absl::Now() - absl::Hours(1);
  absl::Time end = absl::Now() + absl::Hours(24);
  int rsa_bits = 0;  // 0: an elliptic curve
};

// An authority, which issues certificates.
TestCertificate NewAuthority(const std::string& name);

// A certificate that `authority` has issued.
TestCertificate NewCertificate(const TestCertificate& authority,
                               const TestCertificateFields& fields = {});

// `key` in PEM form, encrypted with a passphrase.
std::string EncryptKey(const std::string& key);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_SERVICE_LISTENER_TEST_CERTIFICATES_H_
