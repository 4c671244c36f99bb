// SPDX-License-Identifier: Apache-2.0
#include "service/listener/tls_keys.h"

#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/listener/short_folder.h"
#include "tests/service/listener/test_certificates.h"

namespace rwkvd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class TlsKeysTest : public ::testing::Test {
 protected:
  TlsKeysTest() { Write(certificate_); }

  std::string PathOf(const std::string& name) const {
    return absl::StrCat(folder_.path(), "/", name);
  }

  void WriteFile(const std::string& name, const std::string& text) const {
    std::ofstream(PathOf(name)) << text;
  }

  void Write(const TestCertificate& certificate) const {
    WriteFile("cert", certificate.cert);
    WriteFile("key", certificate.key);
  }

  absl::StatusOr<TlsKeys> Read(absl::Time now = absl::Now()) const {
    return ReadTlsKeys(paths_, now);
  }

  // The message of the error, or "OK".
  std::string Error() const {
    const absl::Status status = Read().status();
    return std::string(status.ok() ? "OK" : status.message());
  }

  const ShortFolder folder_;
  const TestCertificate authority_ = NewAuthority("authority");
  const TestCertificate certificate_ = NewCertificate(authority_);
  TlsPaths paths_ = {.cert = PathOf("cert"), .key = PathOf("key")};
};

TEST_F(TlsKeysTest, GoodFilesAreRead) {
  const absl::Time end =
      absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now() + absl::Hours(2)));
  const TestCertificate certificate =
      NewCertificate(authority_, {.end = end, .rsa_bits = 2048});
  WriteFile("cert", certificate.cert + authority_.cert);
  WriteFile("key", certificate.key);
  WriteFile("ca", "a comment\n" + authority_.cert);
  paths_.client_ca = PathOf("ca");
  const absl::StatusOr<TlsKeys> keys = Read();
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->cert, certificate.cert + authority_.cert);
  EXPECT_EQ(keys->key, certificate.key);
  EXPECT_EQ(keys->client_ca, "a comment\n" + authority_.cert);
  EXPECT_EQ(keys->expiry, end);
}

TEST_F(TlsKeysTest, FileThatCannotBeReadIsRefused) {
  paths_.cert = PathOf("absent");
  EXPECT_THAT(Error(), AllOf(HasSubstr("--tls_cert"), HasSubstr("absent"),
                             HasSubstr("No such file")));
  paths_.cert = folder_.path();
  EXPECT_THAT(Error(), HasSubstr("not a regular file"));
  paths_.cert = PathOf("pipe");
  ASSERT_EQ(mkfifo(paths_.cert.c_str(), 0600), 0);
  EXPECT_THAT(Error(), HasSubstr("not a regular file"));
  paths_.cert = PathOf("large");
  WriteFile("large", std::string(kMaxTlsFileBytes + 1, 'a'));
  EXPECT_THAT(Error(), HasSubstr("has more than 1048576 bytes"));
}

TEST_F(TlsKeysTest, BadCertificateIsRefused) {
  for (const auto& [text, reason] :
       std::vector<std::pair<std::string, std::string>>{
           {"", "has no certificate in PEM form"},
           {certificate_.key, "has no certificate in PEM form"},
           {certificate_.cert.substr(0, 200), "malformed"},
           {certificate_.cert + "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                "-----END CERTIFICATE-----\n",
            "certificate 2 is malformed"}}) {
    WriteFile("cert", text);
    EXPECT_THAT(Error(), AllOf(HasSubstr("--tls_cert"), HasSubstr(reason)));
  }
  Write(NewCertificate(authority_, {.rsa_bits = 1024}));
  EXPECT_THAT(Error(), HasSubstr("key too small"));
  Write(NewCertificate(authority_, {.purposes = "clientAuth"}));
  EXPECT_THAT(Error(), HasSubstr("not for servers"));
}

TEST_F(TlsKeysTest, CertificateOutsideOfItsTimeIsRefused) {
  Write(NewCertificate(authority_, {.end = absl::Now() - absl::Minutes(1)}));
  EXPECT_THAT(Error(), HasSubstr("a certificate has expired at 2"));
  Write(NewCertificate(authority_, {.begin = absl::Now() + absl::Hours(1)}));
  EXPECT_THAT(Error(), HasSubstr("a certificate is not valid before 2"));
  Write(certificate_);
  EXPECT_TRUE(Read().ok());
  EXPECT_FALSE(Read(absl::Now() + absl::Hours(25)).ok());
}

TEST_F(TlsKeysTest, BadKeyIsRefusedWithoutItsContents) {
  const std::string other = NewCertificate(authority_).key;
  for (const auto& [text, reason] :
       std::vector<std::pair<std::string, std::string>>{
           {"", "has no private key in PEM form"},
           {certificate_.cert, "has no private key in PEM form"},
           {certificate_.key.substr(0, 100), "has no private key in PEM form"},
           {EncryptKey(certificate_.key), "is encrypted"},
           {other, "does not belong to the first certificate"}}) {
    WriteFile("key", text);
    EXPECT_THAT(Error(), AllOf(HasSubstr("--tls_key"), HasSubstr(reason)));
    if (text.size() > 60) {
      EXPECT_THAT(Error(), Not(HasSubstr(text.substr(40, 20))));
    }
  }
}

TEST_F(TlsKeysTest, BadClientAuthoritiesAreRefused) {
  paths_.client_ca = PathOf("ca");
  EXPECT_THAT(Error(), HasSubstr("--tls_client_ca"));
  WriteFile("ca", "");
  EXPECT_THAT(Error(), HasSubstr("has no certificate"));
  const std::string expired =
      NewCertificate(authority_, {.end = absl::Now() - absl::Hours(1)}).cert;
  WriteFile("ca", expired);
  EXPECT_THAT(Error(), HasSubstr("has expired"));
  WriteFile("ca", expired + authority_.cert);  // one is enough
  EXPECT_EQ(Error(), "OK");
}

TEST_F(TlsKeysTest, ReloadKeepsTheLastGoodFiles) {
  auto store = TlsKeyStore::Open(paths_);
  ASSERT_TRUE(store.ok()) << store.status();
  const std::shared_ptr<const TlsKeys> first = (*store)->keys();
  EXPECT_FALSE((*store)->Reload());  // nothing has changed
  EXPECT_EQ((*store)->keys(), first);

  const TestCertificate next = NewCertificate(authority_);
  WriteFile("cert", next.cert);  // the key follows later
  EXPECT_FALSE((*store)->Reload());
  EXPECT_TRUE((*store)->reload_failed());
  EXPECT_EQ((*store)->keys(), first);

  WriteFile("key", next.key);
  EXPECT_TRUE((*store)->Reload());
  EXPECT_FALSE((*store)->reload_failed());
  EXPECT_EQ((*store)->keys()->cert, next.cert);
  EXPECT_EQ(first->cert, certificate_.cert);  // still valid for its users

  WriteFile("key", "");
  EXPECT_FALSE((*store)->Reload());
  EXPECT_TRUE((*store)->reload_failed());
  WriteFile("key", next.key);  // back to what is in use
  EXPECT_FALSE((*store)->Reload());
  EXPECT_FALSE((*store)->reload_failed());
}

}  // namespace
}  // namespace rwkvd
