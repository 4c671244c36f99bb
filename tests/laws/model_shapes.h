// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_LAWS_MODEL_SHAPES_H_
#define RWKVD_TESTS_LAWS_MODEL_SHAPES_H_

#include <string>
#include <vector>

#include "core/model/config.h"
#include "core/model/model_options.h"
#include "core/quantize/weight_kind.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd {

// A version of RWKV with sizes that are multiples of the vector widths, or with
// sizes that are not.
struct ModelShape {
  Architecture architecture;
  bool odd_sizes;
};

// Every version with both kinds of sizes.
std::vector<ModelShape> AllShapes();

// Every version with odd sizes. Their vocabularies have kOddVocab tokens.
std::vector<ModelShape> OddShapes();
constexpr int32_t kOddVocab = 53;

// Every version with even sizes: all large matrices can be quantized. Their
// vocabularies have more than kOddVocab tokens and do not fill whole panels.
std::vector<ModelShape> EvenShapes();

// Random weights of this shape, always the same. `dtype` returns the type of a
// tensor by its name.
testing::TestTensors MakeTensors(const ModelShape& shape,
                                 testing::DTypeOf dtype);
testing::TestTensors MakeTensors(const ModelShape& shape, DType dtype);

// The maximum error of logits in single precision against the equations of the
// papers, relative to the largest logit (law 6 of tests/README.md).
//
// Both sides use the same weights, so only rounding differs. The roundings of a
// sum of n terms add up like a random walk, to about sqrt(n) * 2^-24 of its
// size, where n is at most the number of hidden units or the size of a head.
// Layer normalization brings the stream back to size 1 before each of several
// matmuls in a row, whose errors add in the worst case. A layer has four
// matmuls in a row: that of the keys, values and decays (the two factors of a
// low-rank matrix run in parallel to these), that of the output of the heads,
// and the two of channel mixing. The sum of a head over the past counts as no
// more than one of these, because it decays and is normalized again.
double RelativeErrorBound(const ModelConfig& config);

// The same for quantized weights of the shapes above. The oracle uses the
// values of the quantized weights, so the additional error comes from x, which
// is quantized, too. Each x is off by at most half a step: max / 127 of its
// group as int8, or max / 32512 as int16. The largest x of a group is at most
// the root of its size times the root mean square, so x is off by at most
// sqrt(64) half steps of its own size, and so is the result of the matmul.
// ffn.value and weights of 4 bits use x as int8, and with
// ActivationKind::kInt8, so do all.
double RelativeErrorBound(const ModelConfig& config, WeightKind kind,
                          ActivationKind activations = ActivationKind::kAuto);

// The same for matrices of a GGML block type: those of channel mixing use x as
// int8 if the type has 4 bits.
double RelativeErrorBound(const ModelConfig& config, DType block_type,
                          ActivationKind activations);

// "rwkv50Odd"
std::string NameOf(const ModelShape& shape);

}  // namespace rwkvd

#endif  // RWKVD_TESTS_LAWS_MODEL_SHAPES_H_
