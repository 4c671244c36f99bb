// SPDX-License-Identifier: Apache-2.0
#include "core/base/sha256.h"

#include "gtest/gtest.h"

namespace rwkvd {
namespace {

void Update(Sha256& digest, absl::string_view text) {
  digest.Update(absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(text.data()), text.size()));
}

// FIPS 180-4, the examples for SHA-256.
TEST(Sha256Test, MatchesTheExamplesOfTheStandard) {
  Sha256 abc;
  Update(abc, "abc");
  EXPECT_EQ(abc.Hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256().Hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256Test, SeveralUpdatesEqualOne) {
  Sha256 whole, parts;
  Update(whole, "abc");
  Update(parts, "a");
  Update(parts, "bc");
  EXPECT_EQ(whole.Hex(), parts.Hex());
}

TEST(Sha256Test, LengthsSeparateAdjacentStrings) {
  Sha256 left, right;
  left.UpdateWithLength("ab");
  left.UpdateWithLength("c");
  right.UpdateWithLength("a");
  right.UpdateWithLength("bc");
  EXPECT_NE(left.Hex(), right.Hex());
}

}  // namespace
}  // namespace rwkvd
