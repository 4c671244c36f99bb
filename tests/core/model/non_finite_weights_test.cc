// SPDX-License-Identifier: Apache-2.0
// A weight that is NaN must never disappear in the arithmetic: the engine finds
// damaged weights by logits that are not finite.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "core/base/thread_pool.h"
#include "core/kernels/targets/supported_kernels.h"
#include "core/model/load_model.h"
#include "gtest/gtest.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd {
namespace {

constexpr int32_t kToken = 5;

class NonFiniteWeightsTest : public ::testing::TestWithParam<Architecture> {
 protected:
  // Whether logits after three tokens are finite.
  bool PredictsFinite(const testing::TestTensors& tensors,
                      const KernelTable& kernels) {
    const auto model =
        LoadModel(testing::MakeTensorFile(tensors), {.kernels = &kernels});
    EXPECT_TRUE(model.ok()) << model.status();
    Workspace workspace = (*model)->NewWorkspace(3, &pool_);
    State state = (*model)->NewState();
    std::vector<float> logits((*model)->config().vocab_size);
    (*model)->Forward({{.tokens = {kToken, kToken, kToken},
                        .state = &state,
                        .wanted = LogitsWanted::kLast,
                        .logits = absl::MakeSpan(logits)}},
                      workspace);
    return std::all_of(logits.begin(), logits.end(),
                       [](float logit) { return std::isfinite(logit); });
  }

  ThreadPool pool_{1};
};

// The element of `tensor` that is damaged, one that the tokens use.
size_t DamagedElement(const std::string& name,
                      const testing::TestTensor& tensor) {
  return name == "emb.weight" ? kToken * tensor.shape[1] : 0;
}

// Version 7 has tensors in its first layer that no model uses.
bool IsUnused(const std::string& name) {
  return name == "blocks.0.att.v0" || name == "blocks.0.att.v1" ||
         name == "blocks.0.att.v2";
}

TEST_P(NonFiniteWeightsTest, ReachTheLogitsFromEveryTensor) {
  const auto tensors = testing::RandomCheckpoint(GetParam(), 1);
  const KernelTable& kernels = BestKernels();
  ASSERT_TRUE(PredictsFinite(tensors, kernels));
  for (const auto& [name, tensor] : tensors) {
    if (IsUnused(name)) continue;
    auto damaged = tensors;
    std::vector<float>& values = damaged[name].values;
    if (absl::EndsWith(name, "ffn.value.weight")) {
      // A weight is unused while its hidden unit is zero.
      std::fill(values.begin(), values.end(), NAN);
    } else {
      values[DamagedElement(name, tensor)] = NAN;
    }
    EXPECT_FALSE(PredictsFinite(damaged, kernels)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, NonFiniteWeightsTest,
                         ::testing::ValuesIn(testing::kAllArchitectures),
                         [](const auto& info) {
                           std::string name(NameOf(info.param));
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace rwkvd
