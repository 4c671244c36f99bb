// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/block_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/check.h"
#include "core/base/float16.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd::testing {
namespace {

constexpr int64_t kBlock = 32;

std::string Suffix(DType type) {
  return absl::StrCat(".", absl::AsciiStrToLower(NameOf(type)));
}

bool IsLarge(const std::string& name, const TestTensor& tensor) {
  return tensor.shape.size() == 2 &&
         FormOf(WeightKind::kInt8, name, tensor.shape[0], tensor.shape[1])
             .has_value();
}

// The largest quant that AppendBlock uses. Small ones are stored plus one more
// than that.
int MostOf(DType type) {
  return type == DType::kQ8_0 ? 127 : type == DType::kQ5_0 ? 15 : 7;
}

// Appends the bytes of one block to `to`. The scale is about as large as it
// needs to be, which is all that tests need.
void AppendBlock(DType type, const float* values, std::vector<float>& to) {
  float largest = 0;
  for (int64_t i = 0; i < kBlock; ++i) {
    largest = std::max(largest, std::abs(values[i]));
  }
  const int most = MostOf(type);
  const uint16_t bits = FloatToF16(largest / static_cast<float>(most));
  const float scale = F16ToFloat(bits);
  to.push_back(static_cast<float>(bits & 255));
  to.push_back(static_cast<float>(bits >> 8));
  int quants[kBlock];
  for (int64_t i = 0; i < kBlock; ++i) {
    const long q = scale == 0 ? 0 : std::lround(values[i] / scale);
    quants[i] = static_cast<int>(std::clamp<long>(q, -most, most));
  }
  if (type == DType::kQ8_0) {
    for (int q : quants) to.push_back(static_cast<float>(q & 255));
    return;
  }
  uint32_t high_bits = 0;
  for (int64_t i = 0; i < kBlock; ++i) {
    quants[i] += most + 1;
    high_bits |= static_cast<uint32_t>(quants[i] >> 4) << i;
  }
  for (int i = 0; i < 4 && type == DType::kQ5_0; ++i) {
    to.push_back(static_cast<float>(high_bits >> 8 * i & 255));
  }
  for (int64_t i = 0; i < kBlock / 2; ++i) {
    const int byte = (quants[i] & 15) | (quants[i + kBlock / 2] & 15) << 4;
    to.push_back(static_cast<float>(byte));
  }
}

TestTensor BlocksOf(const TestTensor& matrix, DType type) {
  const int64_t cols = matrix.shape[1];
  RWKVD_CHECK(cols % kBlock == 0);
  TestTensor blocks{
      .shape = {matrix.shape[0], cols / kBlock * BlockBytes(type)},
      .dtype = DType::kU8};
  for (size_t i = 0; i < matrix.values.size(); i += kBlock) {
    AppendBlock(type, &matrix.values[i], blocks.values);
  }
  return blocks;
}

// Returns quant `i` of the block whose bytes are at `block`.
int QuantAt(DType type, const float* block, int64_t i) {
  const auto byte = [block](int64_t at) { return static_cast<int>(block[at]); };
  if (type == DType::kQ8_0) return static_cast<int8_t>(byte(2 + i));
  const bool has_high_bits = type == DType::kQ5_0;
  const int nibbles = byte((has_high_bits ? 6 : 2) + i % (kBlock / 2));
  const int low = i < kBlock / 2 ? nibbles % 16 : nibbles / 16;
  const int high = has_high_bits ? byte(2 + i / 8) >> i % 8 & 1 : 0;
  return low + 16 * high - (MostOf(type) + 1);
}

TestTensor ValuesOf(const TestTensor& blocks, DType type) {
  const int64_t bytes = BlockBytes(type);
  TestTensor matrix{
      .shape = {blocks.shape[0], blocks.shape[1] / bytes * kBlock}};
  for (size_t at = 0; at < blocks.values.size(); at += bytes) {
    const auto byte = [&](int64_t i) {
      return static_cast<int>(blocks.values[at + i]);
    };
    const float scale =
        F16ToFloat(static_cast<uint16_t>(byte(0) | byte(1) << 8));
    for (int64_t i = 0; i < kBlock; ++i) {
      const int q = QuantAt(type, &blocks.values[at], i);
      matrix.values.push_back(scale * static_cast<float>(q));
    }
  }
  return matrix;
}

}  // namespace

TestTensors WithBlocks(const TestTensors& tensors, DType type) {
  TestTensors stored;
  for (const auto& [name, tensor] : tensors) {
    if (IsLarge(name, tensor)) {
      stored.emplace(name + Suffix(type), BlocksOf(tensor, type));
    } else {
      stored.emplace(name, tensor);
    }
  }
  return stored;
}

TestTensors ValuesOfBlocks(const TestTensors& stored, DType type) {
  TestTensors tensors;
  for (const auto& [name, tensor] : stored) {
    absl::string_view matrix = name;
    if (absl::ConsumeSuffix(&matrix, Suffix(type))) {
      tensors.emplace(std::string(matrix), ValuesOf(tensor, type));
    } else {
      tensors.emplace(name, tensor);
    }
  }
  return tensors;
}

}  // namespace rwkvd::testing
