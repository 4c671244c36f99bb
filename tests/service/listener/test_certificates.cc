// SPDX-License-Identifier: Apache-2.0
#include "tests/service/listener/test_certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "core/base/check.h"

namespace rwkvd {
namespace {

std::string TakeText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

X509* ParseCert(const std::string& text) {
  BIO* const bio = BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
  X509* const cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  RWKVD_CHECK(cert != nullptr);
  return cert;
}

EVP_PKEY* ParseTestKey(const std::string& text) {
  BIO* const bio = BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  RWKVD_CHECK(key != nullptr);
  return key;
}

void AddExtension(X509* cert, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* const extension =
      X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  RWKVD_CHECK(extension != nullptr);
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

// A certificate that is not signed yet, and its key.
X509* NewUnsigned(const TestCertificateFields& fields, EVP_PKEY* key) {
  static int serial_number = 0;
  X509* const cert = X509_new();
  X509_set_version(cert, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial_number);
  X509_NAME_add_entry_by_txt(
      X509_get_subject_name(cert), "CN", MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>(fields.name.c_str()), -1, -1, 0);
  ASN1_TIME_set(X509_getm_notBefore(cert), absl::ToTimeT(fields.begin));
  ASN1_TIME_set(X509_getm_notAfter(cert), absl::ToTimeT(fields.end));
  X509_set_pubkey(cert, key);
  return cert;
}

// Signs `cert`, and returns it and its key as text. Frees both.
TestCertificate Sign(X509* cert, EVP_PKEY* key, X509* issuer,
                     EVP_PKEY* issuer_key) {
  X509_set_issuer_name(cert, X509_get_subject_name(issuer));
  RWKVD_CHECK(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
  BIO* const cert_text = BIO_new(BIO_s_mem());
  BIO* const key_text = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(cert_text, cert);
  PEM_write_bio_PrivateKey(key_text, key, nullptr, nullptr, 0, nullptr,
                           nullptr);
  X509_free(cert);
  EVP_PKEY_free(key);
  return {TakeText(cert_text), TakeText(key_text)};
}

}  // namespace

TestCertificate NewAuthority(const std::string& name) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const cert = NewUnsigned({.name = name}, key);
  AddExtension(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
  return Sign(cert, key, cert, key);
}

TestCertificate NewCertificate(const TestCertificate& authority,
                               const TestCertificateFields& fields) {
  X509* const issuer = ParseCert(authority.cert);
  EVP_PKEY* const issuer_key = ParseTestKey(authority.key);
  EVP_PKEY* const key = fields.rsa_bits > 0
                            ? EVP_RSA_gen(static_cast<size_t>(fields.rsa_bits))
                            : EVP_EC_gen("P-256");
  X509* const cert = NewUnsigned(fields, key);
  AddExtension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(cert, issuer, NID_subject_alt_name, fields.alternative_names);
  AddExtension(cert, issuer, NID_ext_key_usage, fields.purposes);
  TestCertificate result = Sign(cert, key, issuer, issuer_key);
  X509_free(issuer);
  EVP_PKEY_free(issuer_key);
  return result;
}

std::string EncryptKey(const std::string& key) {
  EVP_PKEY* const parsed = ParseTestKey(key);
  BIO* const text = BIO_new(BIO_s_mem());
  const std::string passphrase = "secret";
  PEM_write_bio_PrivateKey(
      text, parsed, EVP_aes_128_cbc(),
      reinterpret_cast<const unsigned char*>(passphrase.data()),
      static_cast<int>(passphrase.size()), nullptr, nullptr);
  EVP_PKEY_free(parsed);
  return TakeText(text);
}

}  // namespace rwkvd
