// SPDX-License-Identifier: Apache-2.0
#include "core/model/state_file.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

ModelIdentity IdentityOf(int64_t num_values) {
  return {"rwkv7", std::string(63, 'a') + "b", num_values};
}

absl::Span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string Serialize(const std::vector<float>& values) {
  return *SerializeState(State(values), IdentityOf(values.size()));
}

// The error message; "" if the file is accepted.
std::string ErrorOf(absl::string_view bytes, const ModelIdentity& identity) {
  const auto state = ParseState(AsBytes(bytes), "some/path", identity);
  if (state.ok()) return "";
  const std::string message(state.status().message());
  EXPECT_THAT(message, HasSubstr("some/path: "));
  EXPECT_EQ(state.status().code(), absl::StrContains(message, "another model")
                                       ? absl::StatusCode::kFailedPrecondition
                                       : absl::StatusCode::kInvalidArgument);
  return message;
}

// `bytes` with the right checksum.
std::string Repaired(std::string bytes) {
  bytes.resize(bytes.size() - 32);
  Sha256 digest;
  digest.Update(AsBytes(bytes));
  return bytes + absl::HexStringToBytes(digest.Hex());
}

// Random finite numbers, including signed zeros and subnormal numbers.
float RandomFinite(std::mt19937& random) {
  const uint32_t special[] = {0, 0x80000000, 1, 0x807fffff, 0x7f7fffff};
  uint32_t bits = random();
  if (random() % 4 == 0) bits = special[random() % 5];
  if ((bits & 0x7f800000) == 0x7f800000) bits &= 0xbfffffff;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

TEST(StateFileTest, RoundTripIsBitIdentical) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<float> values(random() % 200);
    for (float& value : values) value = RandomFinite(random);
    const ModelIdentity identity = IdentityOf(values.size());
    const std::string bytes = Serialize(values);
    EXPECT_EQ(bytes.size(), 72 + 4 * values.size() + 32);
    const auto state = ParseState(AsBytes(bytes), "p", identity);
    ASSERT_TRUE(state.ok()) << state.status();
    ASSERT_EQ(state->values().size(), values.size());
    EXPECT_TRUE(values.empty() ||
                std::memcmp(state->values().data(), values.data(),
                            4 * values.size()) == 0);
    EXPECT_EQ(*SerializeState(*state, identity), bytes);
  }
}

// The layout that docs/state-file.md documents.
TEST(StateFileTest, BytesAreAsDocumented) {
  std::string expected = "\x89RWKVST\n";
  expected += std::string("\1\0\0\0", 4);
  expected += "rwkv7" + std::string(15, '\0');
  expected += std::string(31, '\xaa') + '\xab';
  expected += std::string("\2\0\0\0\0\0\0\0", 8);
  expected += std::string("\0\0\x80\x3f", 4);  // 1
  expected += std::string("\0\0\0\xc0", 4);    // -2
  expected += std::string(32, 'c');
  EXPECT_EQ(Serialize({1, -2}), Repaired(expected));
}

TEST(StateFileTest, RefusesEveryFlippedBit) {
  const std::string bytes = Serialize({1, 2, 3});
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_NE(ErrorOf(flipped, IdentityOf(3)), "") << "bit " << bit;
  }
}

TEST(StateFileTest, RefusesEveryTruncationAndExtension) {
  const std::string bytes = Serialize({1, 2, 3});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(ErrorOf(bytes.substr(0, size), IdentityOf(3)), "") << size;
  }
  for (size_t size = 0; size + 32 < bytes.size(); ++size) {
    const std::string shorter = bytes.substr(0, size) + std::string(32, '\0');
    EXPECT_NE(ErrorOf(Repaired(shorter), IdentityOf(3)), "") << size;
  }
  for (const size_t more : {1, 4, 32, 1000}) {
    const std::string longer = bytes + std::string(more, '\0');
    EXPECT_THAT(ErrorOf(longer, IdentityOf(3)),
                HasSubstr(absl::StrCat(more, " bytes too many")));
    EXPECT_THAT(ErrorOf(Repaired(longer), IdentityOf(3)),
                HasSubstr(absl::StrCat(more, " bytes too many")));
  }
}

TEST(StateFileTest, RefusesOtherFiles) {
  for (const char* text :
       {"", "\x89RWKV", "PK\3\4 a zip file, or so it says"}) {
    EXPECT_THAT(ErrorOf(text, IdentityOf(3)), HasSubstr("not a state file"));
  }
  EXPECT_TRUE(IsStateFile(AsBytes(Serialize({1}))));
  EXPECT_FALSE(IsStateFile(AsBytes("\x89RWKVST")));
}

TEST(StateFileTest, ReportsALaterVersionEvenOfShortFiles) {
  std::string bytes = Serialize({1});
  bytes[8] = 3;
  EXPECT_THAT(ErrorOf(Repaired(bytes), IdentityOf(1)),
              HasSubstr("format version 3"));
  EXPECT_THAT(ErrorOf(bytes.substr(0, 12), IdentityOf(1)),
              HasSubstr("format version 3"));
  EXPECT_THAT(ErrorOf(bytes.substr(0, 11), IdentityOf(1)),
              HasSubstr("truncated"));
}

TEST(StateFileTest, RefusesAnotherModelAndNamesBoth) {
  const std::string bytes = Serialize({1, 2});
  ModelIdentity identity = IdentityOf(2);
  identity.fingerprint = std::string(64, '7');
  std::string error = ErrorOf(bytes, identity);
  EXPECT_THAT(error, HasSubstr(identity.fingerprint));
  EXPECT_THAT(error, HasSubstr(IdentityOf(2).fingerprint));
  identity = IdentityOf(2);
  identity.architecture = "rwkv6";
  error = ErrorOf(bytes, identity);
  EXPECT_THAT(error, HasSubstr("another model: expected rwkv6 "));
  EXPECT_THAT(error, HasSubstr("got \"rwkv7\""));
  // A longer name with the same beginning.
  std::string longer = Serialize({1, 2});
  longer[20] = 'x';
  EXPECT_THAT(ErrorOf(Repaired(longer), IdentityOf(2)),
              HasSubstr("got \"rwkv7"));
}

TEST(StateFileTest, RefusesAnotherNumberOfValues) {
  const std::string error = ErrorOf(Serialize({1, 2}), IdentityOf(3));
  EXPECT_THAT(error, HasSubstr("expected 3 values, got 2"));
}

TEST(StateFileTest, RefusesANumberOfValuesThatNoFileCanHold) {
  for (const uint64_t announced :
       {uint64_t{4}, uint64_t{1} << 62, uint64_t{1} << 63, ~uint64_t{0}}) {
    std::string bytes = Serialize({1, 2, 3});
    std::memcpy(bytes.data() + 64, &announced, sizeof(announced));
    EXPECT_THAT(ErrorOf(Repaired(bytes), IdentityOf(3)),
                HasSubstr("truncated"));
  }
}

TEST(StateFileTest, ReportsDamage) {
  std::string bytes = Serialize({1, 2, 3});
  bytes[75] ^= 1;
  EXPECT_THAT(ErrorOf(bytes, IdentityOf(3)), HasSubstr("SHA-256"));
}

TEST(StateFileTest, RefusesToWriteAndReadNonFiniteValues) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {inf, -inf, std::numeric_limits<float>::quiet_NaN()}) {
    const auto written = SerializeState(State({1, bad}), IdentityOf(2));
    EXPECT_EQ(written.status().code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(written.status().message()),
                AllOf(HasSubstr("the model has computed"),
                      HasSubstr("value 1 of the state is ")));
    std::string bytes = Serialize({1, 2});
    std::memcpy(bytes.data() + 72 + 4, &bad, sizeof(bad));
    EXPECT_THAT(ErrorOf(Repaired(bytes), IdentityOf(2)), HasSubstr("value 1"));
  }
}

// The layout that docs/state-file.md documents.
TEST(StateFileTest, BytesWithAContinuationAreAsDocumented) {
  std::string expected = Serialize({1, -2});
  expected.resize(expected.size() - 32);
  expected[8] = 2;
  expected += std::string("\5\0\0\0\0\0\0\0", 8) + "words";
  expected += std::string(32, 'c');
  const std::string bytes =
      *SerializeState(State({1, -2}), IdentityOf(2), "words");
  EXPECT_EQ(bytes, Repaired(expected));
  const auto file = ParseStateFile(AsBytes(bytes), "p", IdentityOf(2));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->state, State({1, -2}));
  EXPECT_EQ(file->continuation, "words");
  // A file with a continuation is not a state alone, and the reverse.
  EXPECT_THAT(ErrorOf(bytes, IdentityOf(2)),
              HasSubstr("a request to continue"));
  EXPECT_EQ(
      ParseStateFile(AsBytes(Serialize({1})), "p", IdentityOf(1))->continuation,
      "");
}

TEST(StateFileTest, ChecksTheContinuation) {
  const std::string bytes =
      *SerializeState(State({1, 2}), IdentityOf(2), "words");
  const auto error = [](const std::string& spoilt) {
    const auto file = ParseStateFile(AsBytes(spoilt), "p", IdentityOf(2));
    return file.ok() ? "" : std::string(file.status().message());
  };
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_NE(error(flipped), "") << "bit " << bit;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(error(bytes.substr(0, size)), "") << size;
    if (size + 32 == bytes.size()) continue;  // with a checksum it is whole
    EXPECT_NE(error(Repaired(bytes.substr(0, size) + std::string(32, '\0'))),
              "")
        << size;
  }
  EXPECT_THAT(error(Repaired(bytes + "x")),
              HasSubstr("byte 80: expected a continuation of 5 bytes, got 6"));
  std::string huge = bytes;
  huge[87] = '\x7f';
  EXPECT_THAT(error(Repaired(huge)), HasSubstr("byte 80: expected"));
}

}  // namespace
}  // namespace rwkvd
