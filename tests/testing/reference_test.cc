// SPDX-License-Identifier: Apache-2.0
// Compares the reference models with each other, where one version is a special
// case of another, and with small cases computed by hand. tests/golden compares
// them with logits of other implementations.

#include "tests/testing/reference.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/reference_linear_attention.h"

namespace rwkvd::testing {
namespace {

const std::vector<int32_t>& SomeTokens() {
  static const auto* const tokens =
      new std::vector<int32_t>{5, 17, 3, 60, 17, 42, 9, 31};
  return *tokens;
}

void ExpectSameLogits(const Logits& a, const Logits& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t t = 0; t < a.size(); ++t) {
    for (size_t i = 0; i < a[t].size(); ++i) {
      ASSERT_NEAR(a[t][i], b[t][i], 1e-6) << "token " << t;
    }
  }
}

bool Differ(const Logits& a, const Logits& b) {
  for (size_t i = 0; i < a.back().size(); ++i) {
    if (std::abs(a.back()[i] - b.back()[i]) > 0.05) return true;
  }
  return false;
}

// Converts a model of version 5.2 to one of version 6 whose token shifts and
// decays do not depend on the token. Version 6 mixes in the opposite direction.
TestTensors AsRwkv6(const TestTensors& rwkv52) {
  TestTensors rwkv6;
  for (const auto& [name, tensor] : rwkv52) {
    TestTensor& to =
        rwkv6[absl::StrReplaceAll(name, {{"time_mix", "time_maa"}})];
    to = tensor;
    if (absl::StrContains(name, "time_mix")) {
      for (float& value : to.values) value = 1 - value;
    }
    if (absl::EndsWith(name, "att.time_decay")) {
      const int64_t c = tensor.values.size();
      const std::string att = name.substr(0, name.size() - 10);
      to.shape = {1, 1, c};
      rwkv6[att + "time_maa_x"] = {
          {1, 1, c}, DType::kF32, std::vector<float>(c, 0.3f)};
      rwkv6[att + "time_maa_w"] = rwkv6[att + "time_maa_x"];
      rwkv6[att + "time_maa_w1"] = {
          {c, 20}, DType::kF32, std::vector<float>(c * 20, 0.1f)};
      rwkv6[att + "time_maa_w2"] = {
          {5, 4, c}, DType::kF32, std::vector<float>(c * 20)};
      rwkv6[att + "time_decay_w1"] = {
          {c, 4}, DType::kF32, std::vector<float>(c * 4, 0.1f)};
      rwkv6[att + "time_decay_w2"] = {
          {4, c}, DType::kF32, std::vector<float>(c * 4)};
    }
  }
  return rwkv6;
}

// Repeats decay and bonus of each head for each of its channels.
TestTensors AsRwkv52(const TestTensors& rwkv51, int64_t head_size) {
  TestTensors rwkv52 = rwkv51;
  for (auto& [name, tensor] : rwkv52) {
    if (!absl::EndsWith(name, "att.time_decay") &&
        !absl::EndsWith(name, "att.time_faaaa")) {
      continue;
    }
    TestTensor spread{.shape = {tensor.shape[0], head_size}};
    for (float value : tensor.values) {
      spread.values.insert(spread.values.end(), head_size, value);
    }
    tensor = spread;
  }
  return rwkv52;
}

// Converts version 5.1 to 5.0: removes the gate, and stores the bonus as its
// logarithm. (The opposite is impossible: no matrix gives a gate of 1.)
TestTensors AsRwkv50(const TestTensors& rwkv51) {
  TestTensors rwkv50;
  for (const auto& [name, tensor] : rwkv51) {
    if (absl::StrContains(name, "gate") || absl::EndsWith(name, "mix_g")) {
      continue;
    }
    TestTensor& to =
        rwkv50[absl::StrReplaceAll(name, {{"time_faaaa", "time_first"}})];
    to = tensor;
    if (absl::EndsWith(name, "time_faaaa")) {
      for (float& value : to.values) value = std::log(std::abs(value));
    }
  }
  return rwkv50;
}

TEST(ReferenceTest, Rwkv52IsRwkv6WithoutTokenDependence) {
  const TestTensors rwkv52 = RandomRwkv5({.minor = 2}, 1);
  ExpectSameLogits(
      Reference(Architecture::kRwkv52, rwkv52, SomeTokens()),
      Reference(Architecture::kRwkv6, AsRwkv6(rwkv52), SomeTokens()));
}

TEST(ReferenceTest, Rwkv51IsRwkv52WithOneDecayForEachHead) {
  const TestTensors rwkv51 = RandomRwkv5({.minor = 1, .head_size = 16}, 1);
  ExpectSameLogits(
      Reference(Architecture::kRwkv51, rwkv51, SomeTokens()),
      Reference(Architecture::kRwkv52, AsRwkv52(rwkv51, 16), SomeTokens()));
}

// The name decides whether a bonus is a logarithm, with and without a gate.
TEST(ReferenceTest, TimeFirstIsALogarithmAndTimeFaaaaIsNot) {
  TestTensors rwkv51 = RandomRwkv5({.minor = 1}, 1);
  for (auto& [name, tensor] : rwkv51) {
    if (!absl::EndsWith(name, "time_faaaa")) continue;
    for (float& value : tensor.values) value = std::abs(value);
  }
  const TestTensors rwkv50 = AsRwkv50(rwkv51);
  TestTensors raw = rwkv50;
  for (const auto& [name, tensor] : rwkv51) {
    if (!absl::EndsWith(name, "time_faaaa")) continue;
    raw.erase(absl::StrReplaceAll(name, {{"faaaa", "first"}}));
    raw[name] = tensor;
  }
  const Logits logits = Reference(Architecture::kRwkv50, rwkv50, SomeTokens());
  ExpectSameLogits(logits, Reference(Architecture::kRwkv50, raw, SomeTokens()));
  EXPECT_TRUE(
      Differ(logits, Reference(Architecture::kRwkv51, rwkv51, SomeTokens())));
}

// One head with one channel: y_0 = r u k v + r s, and so on.
TEST(ReferenceTest, LinearAttentionEqualsTheSumByHand) {
  MatrixD r(3, 1), k(3, 1), v(3, 1), w(3, 1), state(1, 1);
  r << 2, 3, 5;
  k << 0.5, 7, 11;
  v << 13, 0.25, 17;
  w << 0.5, 0.75, 0.1;
  state << 4;
  const MatrixD y =
      ReferenceLinearAttention(r, k, v, w, RowD::Constant(1, 0.1), state);
  EXPECT_DOUBLE_EQ(y(0), 2 * (0.1 * 0.5 * 13 + 4));
  EXPECT_DOUBLE_EQ(y(1), 3 * (0.1 * 7 * 0.25 + 0.5 * 13 + 0.5 * 4));
  EXPECT_DOUBLE_EQ(
      y(2), 5 * (0.1 * 11 * 17 + 7 * 0.25 + 0.75 * 0.5 * 13 + 0.75 * 0.5 * 4));
}

// time_state[a][b] belongs to key b and value a up to version 6, and to key a
// and value b from version 7 on.
TEST(ReferenceTest, TimeStateIsTransposedUntilVersion7) {
  for (const Architecture architecture :
       {Architecture::kRwkv50, Architecture::kRwkv52, Architecture::kRwkv6,
        Architecture::kRwkv7}) {
    TestTensors tensors = RandomCheckpoint(architecture, 1);
    const Logits untuned = Reference(architecture, tensors, SomeTokens());
    ReferenceOptions options;
    for (const auto& [name, tensor] : RandomTimeState(tensors, 2)) {
      const TestTensor keys_first = architecture == Architecture::kRwkv7
                                        ? tensor
                                        : TransposedCopy(tensor);
      options.initial_state.emplace_back(keys_first.values.begin(),
                                         keys_first.values.end());
    }
    const Logits tuned =
        Reference(architecture, tensors, SomeTokens(), options);
    tensors.merge(RandomTimeState(tensors, 2));
    ExpectSameLogits(tuned, Reference(architecture, tensors, SomeTokens()));
    EXPECT_TRUE(Differ(tuned, untuned));
  }
}

// The receptance of a token is multiplied with the keys of the state: if only
// key 3 of head 0 is not zero, the output of head 0 is parallel to its values.
TEST(ReferenceTest, StateIsKeysByValues) {
  MatrixD state = MatrixD::Zero(4, 4);
  state.row(3) << 1, 2, 3, 4;
  const MatrixD none = MatrixD::Zero(1, 4);
  MatrixD r(1, 4);
  r << 10, 20, 30, 0.5;
  const MatrixD y =
      ReferenceLinearAttention(r, none, none, none, RowD::Zero(4), state);
  EXPECT_TRUE(y.isApprox(0.5 * state.row(3)));
}

TEST(ReferenceTest, EpsilonChangesTheLogits) {
  for (const Architecture architecture :
       {Architecture::kRwkv50, Architecture::kRwkv6, Architecture::kRwkv7}) {
    const TestTensors tensors = RandomCheckpoint(architecture, 1);
    EXPECT_TRUE(Differ(Reference(architecture, tensors, SomeTokens()),
                       Reference(architecture, tensors, SomeTokens(),
                                 {.group_norm_epsilon = 1e-5})));
  }
}

// Logits do not depend on later tokens.
TEST(ReferenceTest, PrefixGivesThePrefixOfTheLogits) {
  for (const Architecture architecture :
       {Architecture::kRwkv4, Architecture::kRwkv51, Architecture::kRwkv6,
        Architecture::kRwkv7}) {
    const TestTensors tensors = RandomCheckpoint(architecture, 1);
    Logits whole = Reference(architecture, tensors, SomeTokens());
    whole.resize(5);
    ExpectSameLogits(whole,
                     Reference(architecture, tensors,
                               absl::MakeConstSpan(SomeTokens()).first(5)));
  }
}

}  // namespace
}  // namespace rwkvd::testing
