// SPDX-License-Identifier: Apache-2.0
#include "service/auth/token_file.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A credential that no other number has.
std::string CredentialNumber(int number) {
  return absl::StrFormat("sha256:%064x", number);
}

std::string ErrorOf(absl::string_view text) {
  const auto entries = ParseTokenFile(text, "tokens");
  EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(entries.status().message());
}

// The error of a line that follows a comment.
std::string ErrorOfSecondLine(absl::string_view line) {
  const std::string error = ErrorOf(absl::StrCat("# first\n", line, "\n"));
  EXPECT_THAT(error, StartsWith("tokens:2: "));
  return error;
}

TEST(TokenFileTest, LineHasIdentityCredentialRolesAndSettings) {
  const auto entries = ParseTokenFile(
      absl::StrCat("# people\n\nalice ", CredentialNumber(1),
                   "\troles=infer,states  group=team weight=3 max_running=4 "
                   "max_queued=5 prompt_tokens_per_minute=6 "
                   "generated_tokens_per_minute=7 state_store_mib=8 "
                   "max_pins=9 max_ttl_seconds=10 message_bytes=11 "
                   "unread_bytes=12%\nbob uri:spiffe://here/bob roles=metrics"),
      "tokens");
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2u);
  const Identity& alice = (*entries)[0].identity;
  EXPECT_EQ(alice.name, "alice");
  EXPECT_EQ(alice.group, "team");
  EXPECT_EQ(alice.roles, Role::kInfer | Role::kStates);
  EXPECT_EQ(alice.quotas.weight, 3);
  EXPECT_EQ(alice.quotas.max_running, 4);
  EXPECT_EQ(alice.quotas.max_queued, 5);
  EXPECT_EQ(alice.quotas.prompt_tokens_per_minute, 6);
  EXPECT_EQ(alice.quotas.generated_tokens_per_minute, 7);
  EXPECT_EQ(alice.quotas.state_bytes, 8 << 20);
  EXPECT_EQ(alice.quotas.max_pins, 9);
  EXPECT_EQ(alice.quotas.MaxTimeToLive(), absl::Seconds(10));
  EXPECT_EQ(alice.quotas.message_bytes.Of(1000), 11);
  EXPECT_EQ(alice.quotas.unread_bytes.Of(1000), 120);
  const IdentityEntry& bob = (*entries)[1];
  EXPECT_EQ(bob.identity.quotas.max_running, kNoLimit);
  EXPECT_EQ(bob.identity.quotas.MaxTimeToLive(), absl::InfiniteDuration());
  EXPECT_FALSE(bob.identity.quotas.unread_bytes.is_given());
  ASSERT_EQ(bob.credentials.size(), 1u);
  EXPECT_EQ(bob.credentials[0].kind, Credential::Kind::kUri);
  EXPECT_EQ(bob.credentials[0].value, "spiffe://here/bob");
}

TEST(QuotasTest, PartOfBytesIsRoundedDownToAtLeastOne) {
  EXPECT_EQ((ByteQuota{.percent = 33}).Of(1000), 330);
  EXPECT_EQ((ByteQuota{.percent = 33}).Of(10), 3);
  EXPECT_EQ((ByteQuota{.percent = 1}).Of(10), 1);
  EXPECT_EQ((ByteQuota{.percent = 100}).Of(kNoLimit), kNoLimit);
  EXPECT_EQ((ByteQuota{.bytes = 5}).Of(1), 5);
}

TEST(QuotasTest, MessagesLeaveAnEighthToOthersUnlessGivenAQuota) {
  Quotas quotas;
  EXPECT_EQ(quotas.MessageBytesOf(800), 700);
  quotas.message_bytes.percent = 100;
  EXPECT_EQ(quotas.MessageBytesOf(800), 800);
}

TEST(TokenFileTest, FurtherLineAddsACredential) {
  const auto entries = ParseTokenFile(
      absl::StrCat("alice ", CredentialNumber(1), " roles=infer\nalice ",
                   CredentialNumber(2), "\n"),
      "tokens");
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 1u);
  EXPECT_EQ((*entries)[0].credentials.size(), 2u);
}

TEST(TokenFileTest, PartitionsOfGroupsAndIdentitiesDiffer) {
  Identity alone;
  alone.name = "team";
  Identity member;
  member.name = "alice";
  member.group = "team";
  EXPECT_NE(alone.Partition(), member.Partition());
}

TEST(TokenFileTest, ErrorNamesLineExpectationAndValue) {
  const std::string credential = CredentialNumber(1);
  EXPECT_THAT(ErrorOfSecondLine("Alice x"),
              HasSubstr("identity: expected 1 to 63 characters of a-z"));
  EXPECT_THAT(ErrorOfSecondLine("alice"),
              HasSubstr("credential: expected one, got none"));
  EXPECT_THAT(ErrorOfSecondLine("alice sha256:00 roles=infer"),
              HasSubstr("credential: expected sha256: and 64 digits"));
  EXPECT_THAT(ErrorOfSecondLine(absl::StrCat("alice ", credential)),
              HasSubstr("roles: expected roles=ROLE"));
  EXPECT_THAT(ErrorOfSecondLine(absl::StrCat("a ", credential, " roles=god")),
              HasSubstr("roles: expected infer, score, states, pins, admin, "
                        "metrics, got \"god\""));
  EXPECT_THAT(
      ErrorOfSecondLine(absl::StrCat("a ", credential, " roles=infer,infer")),
      HasSubstr("each role once"));
  EXPECT_THAT(ErrorOfSecondLine(
                  absl::StrCat("a ", credential, " roles=infer max_pins=0")),
              HasSubstr("max_pins: expected an integer in [1, 1000000000000], "
                        "got \"0\""));
  EXPECT_THAT(ErrorOfSecondLine(
                  absl::StrCat("a ", credential, " roles=infer max_pins=1e3")),
              HasSubstr("got \"1e3\""));
  for (const absl::string_view value : {"0%", "101%", "%", "0", "-1", "1.5%"}) {
    EXPECT_THAT(
        ErrorOfSecondLine(absl::StrCat("a ", credential,
                                       " roles=infer message_bytes=", value)),
        HasSubstr(absl::StrCat("message_bytes: expected a number of bytes in "
                               "[1, 1000000000000], or 1% to 100% of those of "
                               "all calls, got \"",
                               value, "\"")));
  }
  EXPECT_THAT(
      ErrorOfSecondLine(
          absl::StrCat("a ", credential, " roles=infer weight=101")),
      HasSubstr("weight: expected an integer in [1, 100], got \"101\""));
  EXPECT_THAT(
      ErrorOfSecondLine(absl::StrCat("a ", credential, " roles=infer color=1")),
      HasSubstr("setting: expected roles, group, weight, max_running"));
  EXPECT_THAT(ErrorOfSecondLine(absl::StrCat("a ", credential,
                                             " roles=infer weight=1 weight=2")),
              HasSubstr("weight: expected one value, got two"));
  EXPECT_THAT(
      ErrorOfSecondLine(absl::StrCat("a ", credential, " roles=infer\r")),
      HasSubstr("expected printable ASCII, got byte 0x0d"));
  EXPECT_THAT(ErrorOfSecondLine(std::string(1025, 'a')),
              HasSubstr("line: expected at most 1024 bytes, got 1025"));
}

TEST(TokenFileTest, EmptyFileIsAnError) {
  EXPECT_EQ(ErrorOf("# nobody\n"),
            "tokens: expected at least one identity, got none");
}

TEST(TokenFileTest, CredentialOfTwoIdentitiesIsAnError) {
  const std::string credential = CredentialNumber(1);
  EXPECT_THAT(ErrorOf(absl::StrCat("a ", credential, " roles=infer\nb ",
                                   credential, " roles=infer\n")),
              StartsWith("tokens:2: credential: expected each credential once, "
                         "got the same one for a and b"));
}

TEST(TokenFileTest, SettingsOnAFurtherLineAreAnError) {
  EXPECT_THAT(
      ErrorOf(absl::StrCat("a ", CredentialNumber(1), " roles=infer\na ",
                           CredentialNumber(2), " roles=admin\n")),
      StartsWith("tokens:2: settings: expected only on the first"));
}

TEST(TokenFileTest, NumberOfCredentialsOfAnIdentityIsBounded) {
  std::string text = absl::StrCat("a ", CredentialNumber(0), " roles=infer\n");
  for (size_t i = 1; i <= kMaxCredentialsPerIdentity; ++i) {
    absl::StrAppend(&text, "a ", CredentialNumber(static_cast<int>(i)), "\n");
  }
  EXPECT_THAT(ErrorOf(text), HasSubstr("at most 8 of each identity"));
}

TEST(TokenFileTest, NumberOfIdentitiesIsBounded) {
  std::string text;
  for (size_t i = 0; i <= kMaxIdentities; ++i) {
    absl::StrAppend(&text, "a", i, " ", CredentialNumber(static_cast<int>(i)),
                    " roles=infer\n");
  }
  EXPECT_THAT(ErrorOf(text),
              HasSubstr("identity: expected at most 1000, got one more"));
}

TEST(TokenFileTest, LargeFileIsAnError) {
  EXPECT_EQ(ErrorOf(std::string(kMaxTokenFileBytes + 1, '\n')),
            "tokens: expected at most 1048576 bytes, got 1048577");
}

// Somebody may put the token where its digest belongs, or anywhere else.
TEST(TokenFileTest, ErrorDoesNotShowAMisplacedToken) {
  const std::string token = "rwkvd_" + std::string(43, 'x');
  const std::string credential = CredentialNumber(1);
  for (const std::string& line :
       {absl::StrCat("alice ", token, " roles=infer"),
        absl::StrCat("alice sha256:", token, " roles=infer"),
        absl::StrCat(token, "! ", credential, " roles=infer"),
        absl::StrCat("alice ", credential, " ", token),
        absl::StrCat("alice ", credential, " roles=", token),
        absl::StrCat("alice ", credential, " ", token, "=1"),
        absl::StrCat("alice ", credential, " roles=infer max_pins=", token),
        absl::StrCat("alice ", credential, " roles=infer group=", token, "!"),
        absl::StrCat("alice ", credential, " roles=infer weight=", token),
        absl::StrCat("alice ", credential, " roles=infer unread_bytes=", token,
                     "%")}) {
    EXPECT_THAT(ErrorOf(line), Not(HasSubstr("xxxx"))) << line;
  }
}

}  // namespace
}  // namespace rwkvd
