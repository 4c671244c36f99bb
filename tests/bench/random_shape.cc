// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/random_shape.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace rwkvd::bench {
namespace {

constexpr int64_t kHeadSize = 64;

class Planner {
 public:
  // Adds a matrix whose outputs have about the same magnitude as its inputs.
  void Matrix(const std::string& name, int64_t rows, int64_t cols) {
    plan_.push_back({name, {rows, cols}, 0, 2 / std::sqrt(float(cols))});
  }
  // As above, for a matrix stored column-major: [in, out].
  void InOutMatrix(const std::string& name, int64_t in, int64_t out) {
    plan_.push_back({name, {in, out}, 0, 2 / std::sqrt(float(in))});
  }
  void Values(const std::string& name, std::vector<int64_t> shape, float mean,
              float spread) {
    plan_.push_back({name, std::move(shape), mean, spread});
  }
  void Norm(const std::string& name, int64_t size) {
    Values(name + ".weight", {size}, 1, 0.2f);
    Values(name + ".bias", {size}, 0, 0.1f);
  }
  void Add(PlannedTensor tensor) { plan_.push_back(std::move(tensor)); }

  std::vector<PlannedTensor> Take() { return std::move(plan_); }

 private:
  std::vector<PlannedTensor> plan_;
};

void PlanBlock4(const std::string& block, const Shape& shape, Planner& plan) {
  const int64_t c = shape.width, f = 4 * c;
  plan.Norm(block + "ln1", c);
  plan.Norm(block + "ln2", c);
  for (const char* mix : {"att.time_mix_k", "att.time_mix_v", "att.time_mix_r",
                          "ffn.time_mix_k", "ffn.time_mix_r"}) {
    plan.Values(block + mix, {c}, 0.5f, 0.4f);
  }
  plan.Values(block + "att.time_decay", {c}, -2, 2);
  plan.Values(block + "att.time_first", {c}, -1, 1);
  for (const char* name : {"key", "value", "receptance", "output"}) {
    plan.Matrix(absl::StrCat(block, "att.", name, ".weight"), c, c);
  }
  plan.Matrix(block + "ffn.key.weight", f, c);
  plan.Matrix(block + "ffn.receptance.weight", c, c);
  plan.Matrix(block + "ffn.value.weight", c, f);
}

// Adds a low-rank layer of `rank`: its bias and its two matrices.
void PlanLowRank(const std::string& name, int64_t c, int64_t rank,
                 Planner& plan) {
  plan.Values(name + "0", {1, 1, c}, 0, 1);
  plan.InOutMatrix(name + "1", c, rank);
  plan.InOutMatrix(name + "2", rank, c);
}

void PlanTimeMixing7(const std::string& att, const Shape& shape, bool is_first,
                     Planner& plan) {
  const int64_t c = shape.width;
  for (const char* letter : {"r", "w", "k", "v", "a", "g"}) {
    plan.Values(absl::StrCat(att, "x_", letter), {1, 1, c}, 0.5f, 0.4f);
  }
  PlanLowRank(att + "w", c, shape.w_rank, plan);
  PlanLowRank(att + "a", c, shape.a_rank, plan);
  if (!is_first) PlanLowRank(att + "v", c, shape.v_rank, plan);
  plan.InOutMatrix(att + "g1", c, shape.g_rank);
  plan.InOutMatrix(att + "g2", shape.g_rank, c);
  plan.Values(att + "k_k", {1, 1, c}, 0.8f, 0.2f);
  plan.Values(att + "k_a", {1, 1, c}, 1, 0.2f);
  plan.Values(att + "r_k", {c / kHeadSize, kHeadSize}, 0, 0.2f);
  for (const char* name : {"receptance", "key", "value", "output"}) {
    plan.Matrix(absl::StrCat(att, name, ".weight"), c, c);
  }
  plan.Norm(att + "ln_x", c);
}

// With these weights, ln2 outputs values of about 1, and each row of ffn.key
// sums to about 1 or -1. So the sign of every hidden unit is known in advance,
// for every token.
void PlanChannelMixing7(const std::string& block, int64_t c, double zeros,
                        Planner& plan) {
  const int64_t f = 4 * c;
  plan.Values(block + "ln2.weight", {c}, 0.2f, 0.02f);
  plan.Values(block + "ln2.bias", {c}, 1, 0.02f);
  plan.Values(block + "ffn.x_k", {1, 1, c}, 0.5f, 0.4f);
  const float size = 1 / static_cast<float>(c);
  plan.Add({block + "ffn.key.weight", {f, c}, size, size, zeros});
  plan.Matrix(block + "ffn.value.weight", c, f);
}

}  // namespace

int64_t PlannedTensor::num_elements() const {
  int64_t n = 1;
  for (int64_t dimension : shape) n *= dimension;
  return n;
}

const Shape* FindShape(absl::string_view name) {
  for (const Shape& shape : kShapes) {
    if (name == shape.name) return &shape;
  }
  return nullptr;
}

std::vector<PlannedTensor> PlanTensors(const Shape& shape, double zeros) {
  RWKVD_CHECK(shape.version == 4 || shape.version == 7);
  const int64_t c = shape.width;
  Planner plan;
  plan.Matrix("emb.weight", shape.vocab, c);
  plan.Norm("blocks.0.ln0", c);
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    if (shape.version == 4) {
      PlanBlock4(block, shape, plan);
      continue;
    }
    plan.Norm(block + "ln1", c);
    PlanTimeMixing7(block + "att.", shape, i == 0, plan);
    PlanChannelMixing7(block, c, zeros, plan);
  }
  plan.Norm("ln_out", c);
  plan.Matrix("head.weight", shape.vocab, c);
  return plan.Take();
}

}  // namespace rwkvd::bench
