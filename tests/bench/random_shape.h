// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_RANDOM_SHAPE_H_
#define RWKVD_TESTS_BENCH_RANDOM_SHAPE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd::bench {

// The sizes of a published RWKV-4 or RWKV-7 model. Channel mixing has four
// hidden units per channel; a head has 64 channels.
struct Shape {
  const char* name;
  int version;  // 4 or 7
  int64_t layers;
  int64_t width;
  int64_t vocab;
  // Version 7: the ranks of the low-rank matrices.
  int64_t w_rank = 0, a_rank = 0, v_rank = 0, g_rank = 0;
};

inline constexpr Shape kShapes[] = {
    {"rwkv4-169M", 4, 12, 768, 50277},
    {"rwkv4-430M", 4, 24, 1024, 50277},
    {"rwkv7-0.1B", 7, 12, 768, 65536, 64, 64, 32, 128},
    {"rwkv7-0.4B", 7, 24, 1024, 65536, 64, 64, 32, 128},
    {"rwkv7-1.5B", 7, 24, 2048, 65536, 96, 96, 64, 256},
};

// The shape of that name, or nullptr if there is none.
const Shape* FindShape(absl::string_view name);

// A tensor to generate, with values uniform in [mean - spread, mean + spread).
struct PlannedTensor {
  std::string name;
  std::vector<int64_t> shape;
  float mean = 0;
  float spread = 0;
  // The share of rows, at random positions, whose values are negated.
  double negated_rows = 0;

  int64_t num_elements() const;
};

// All tensors of a model of that shape, such that activations keep their
// magnitude from layer to layer. `zeros`, in [0, 1], is the share of hidden
// units of channel mixing that the squared ReLU makes zero (version 7 only).
// These units are the same for every token: the outputs of ln2 are positive,
// and each row of ffn.key is either all positive or all negative.
std::vector<PlannedTensor> PlanTensors(const Shape& shape, double zeros);

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_RANDOM_SHAPE_H_
