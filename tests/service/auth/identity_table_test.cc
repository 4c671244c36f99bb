// SPDX-License-Identifier: Apache-2.0
#include "service/auth/identity_table.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "service/auth/token_file.h"

namespace rwkvd {
namespace {

// The digests are those of sha256sum.
constexpr char kTokens[] =
    "alice sha256:"
    "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"
    " roles=infer\n"  // "alice"
    "alice sha256:"
    "81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9\n"
    // "bob"
    "carol uri:spiffe://here/carol roles=score\n"
    "dora dns:dora.here roles=pins\n"
    "dora cn:Dora\n";

IdentityTable NewTable() {
  return IdentityTable(ParseTokenFile(kTokens, "tokens").value());
}

std::string NameOrNobody(const std::shared_ptr<const Identity>& identity) {
  return identity == nullptr ? "nobody" : identity->name;
}

TEST(IdentityTableTest, FindsAnIdentityByEachOfItsTokens) {
  const IdentityTable table = NewTable();
  EXPECT_EQ(NameOrNobody(table.FindByToken("alice")), "alice");
  EXPECT_EQ(NameOrNobody(table.FindByToken("bob")), "alice");
}

TEST(IdentityTableTest, OtherTokensAreNobody) {
  const IdentityTable table = NewTable();
  EXPECT_EQ(NameOrNobody(table.FindByToken("")), "nobody");
  EXPECT_EQ(NameOrNobody(table.FindByToken("alice ")), "nobody");
  EXPECT_EQ(NameOrNobody(table.FindByToken("carol")), "nobody");
  EXPECT_EQ(NameOrNobody(table.FindByToken(std::string(1 << 20, 'a'))),
            "nobody");
  // A digest is no token.
  EXPECT_EQ(NameOrNobody(table.FindByToken(DigestOf("alice"))), "nobody");
}

TEST(IdentityTableTest, FindsAnIdentityByItsCertificate) {
  const IdentityTable table = NewTable();
  CertificateNames names;
  EXPECT_EQ(NameOrNobody(table.FindByCertificate(names)), "nobody");
  names.common_names = {"Dora"};
  EXPECT_EQ(NameOrNobody(table.FindByCertificate(names)), "dora");
  names.uris = {"spiffe://elsewhere", "spiffe://here/carol"};
  EXPECT_EQ(NameOrNobody(table.FindByCertificate(names)), "carol");
}

TEST(IdentityTableTest, NameOfOneKindIsNotOneOfAnother) {
  const IdentityTable table = NewTable();
  CertificateNames names;
  names.dns = {"Dora", "spiffe://here/carol"};
  names.common_names = {"dora.here"};
  EXPECT_EQ(NameOrNobody(table.FindByCertificate(names)), "nobody");
}

}  // namespace
}  // namespace rwkvd
