// SPDX-License-Identifier: Apache-2.0
// Compares the double-precision oracles with the logits of BlinkDL's code in
// double precision. This justifies the use of the oracles as references for
// random models.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/model/config.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fixtures.h"
#include "tests/testing/reference.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {
namespace {

using nlohmann::json;

struct Golden {
  Architecture architecture;
  std::string checkpoint;  // below models/
  std::string reference;   // below refs/, without .json
  // 1e-9, unless the reference rounds: BlinkDL's code for version 5 keeps parts
  // of a double-precision run in single precision, and the expected logits of
  // rwkv.cpp are those of a single-precision run.
  double tolerance;
  double epsilon = 64e-5;
};

std::ostream& operator<<(std::ostream& out, const Golden& golden) {
  return out << golden.checkpoint << " against " << golden.reference;
}

std::vector<double> ReadDoubles(const std::string& path) {
  const std::string bytes = ReadFileOrDie(path);
  std::vector<double> values(bytes.size() / sizeof(double));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// The logits as doubles, whatever precision the reference has.
std::vector<double> ExpectedLogits(const std::string& refs) {
  if (std::ifstream(refs + ".last-logits.f64")) {
    return ReadDoubles(refs + ".last-logits.f64");
  }
  const std::vector<float> values = ReadFloatsOrDie(
      std::ifstream(refs + ".last-logits.f32") ? refs + ".last-logits.f32"
                                               : refs + ".expected-logits.f32");
  return {values.begin(), values.end()};
}

class OracleGoldenTest : public ::testing::TestWithParam<Golden> {};

TEST_P(OracleGoldenTest, LastLogitsAgree) {
  RWKVD_NEED_FIXTURES();
  const std::string refs =
      absl::StrCat(FixturesDirectory(), "/refs/", GetParam().reference);
  const auto ids = json::parse(ReadFileOrDie(refs + ".json"))["ids"]
                       .get<std::vector<int32_t>>();
  const TestTensors tensors = ReadSafetensorsOrDie(
      absl::StrCat(FixturesDirectory(), "/models/", GetParam().checkpoint));
  const std::vector<double> expected = ExpectedLogits(refs);
  const std::vector<double> logits =
      Reference(GetParam().architecture, tensors, ids,
                {.group_norm_epsilon = GetParam().epsilon})
          .back();
  ASSERT_EQ(logits.size(), expected.size());
  double largest = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double difference = std::abs(logits[i] - expected[i]);
    if (!(difference <= largest)) largest = difference;  // keeps NaN
  }
  RecordProperty("largest_difference", absl::StrCat(largest));
  EXPECT_LE(largest, GetParam().tolerance);
}

std::vector<Golden> Cases() {
  constexpr auto k4 = Architecture::kRwkv4, k50 = Architecture::kRwkv50,
                 k6 = Architecture::kRwkv6, k7 = Architecture::kRwkv7;
  std::vector<Golden> cases;
  for (const std::string prompt : {"/p1-short", "/p2-300"}) {
    cases.push_back(
        {k4, "hybrid-4v0/model-f32.safetensors", "hybrid-4v0" + prompt, 1e-9});
    cases.push_back({k50, "tiny-5v1-730k/model-f32.safetensors",
                     "tiny-5v1-730k" + prompt, 1e-6});
    cases.push_back({k6, "tiny-6v0-1m/model-bf16.safetensors",
                     "tiny-6v0-1m" + prompt, 1e-9});
    cases.push_back({k7, "tiny-7v0-834k/model-bf16.safetensors",
                     "tiny-7v0-834k" + prompt, 1e-9});
    cases.push_back(
        {k7, "synth-7v0/model-f32.safetensors", "synth-7v0" + prompt, 1e-9});
  }
  for (const std::string prompt : {"/p1-utf16le", "/p2-utf16le"}) {
    cases.push_back({k6, "tiny-6v0-1m/model-bf16.safetensors",
                     "tiny-6v0-1m" + prompt, 1e-9});
  }
  const std::string p0 = "/p0-rwkvcpp";
  cases.push_back({k50, "tiny-5v1-730k/model-f32.safetensors",
                   "tiny-5v1-730k" + p0, 1e-5, 1e-5});
  cases.push_back(
      {k6, "tiny-6v0-1m/model-bf16.safetensors", "tiny-6v0-1m" + p0, 1e-5});
  cases.push_back(
      {k7, "tiny-7v0-834k/model-bf16.safetensors", "tiny-7v0-834k" + p0, 1e-5});
  return cases;
}

std::string Name(const ::testing::TestParamInfo<Golden>& info) {
  std::string name = info.param.reference;
  for (char& c : name) {
    if (!absl::ascii_isalnum(c)) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, OracleGoldenTest,
                         ::testing::ValuesIn(Cases()), Name);

}  // namespace
}  // namespace rwkvd::testing
