// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/quantized_checkpoint.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/float16.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/safetensors_writer.h"
#include "core/kernels/quant/layout.h"
#include "core/quantize/matrix.h"
#include "tests/testing/fixtures.h"

namespace rwkvd::testing {
namespace {

void AddQuantized(const std::string& name, const TestTensor& matrix,
                  QuantForm form, TestTensors& result) {
  const std::string bytes = BytesOf(matrix);
  const Tensor view = {
      .name = name,
      .dtype = matrix.dtype,
      .shape = matrix.shape,
      .data = absl::MakeConstSpan(
          reinterpret_cast<const std::byte*>(bytes.data()), bytes.size())};
  ThreadPool pool(1);
  const auto quantized = QuantizeMatrix(view, form, pool);
  RWKVD_CHECK(quantized.ok());
  const int64_t rows = matrix.shape[0], cols = matrix.shape[1];
  TestTensor quants{.shape = QuantsShape(form, rows, cols),
                    .dtype = DType::kU8};
  quants.values.assign(quantized->quants.begin(), quantized->quants.end());
  TestTensor scales{.shape = ScalesShape(form, rows, cols),
                    .dtype = DType::kBF16};
  for (uint16_t bits : quantized->scales) {
    scales.values.push_back(BF16ToFloat(bits));
  }
  result.emplace(QuantsName(name, form), std::move(quants));
  result.emplace(ScalesName(name), std::move(scales));
}

// Read back as core/kernels/quant/layout.h defines it.
float WeightOf(const TestTensor& quants, const TestTensor& scales,
               QuantForm form, int64_t row, int64_t col) {
  const int64_t block_rows = PackedBlockRows(form.type, form.order);
  const int64_t block = row / block_rows, own = row % block_rows;
  const QuantPosition position =
      PositionInPackedBlock(form.type, form.order, own, col);
  const int byte =
      static_cast<int>(quants.values[block * quants.shape[1] + position.byte]);
  const float scale =
      scales.values[(block * scales.shape[1] + col / kGroupCols) * block_rows +
                    own];
  const int q = form.type == QuantType::kInt8 ? byte
                : position.is_high_nibble     ? byte / 16 * 16
                                              : byte % 16 * 16;
  return scale * static_cast<float>(q - kQuantZero);
}

}  // namespace

TestTensors Quantized(const TestTensors& tensors, WeightKind kind) {
  TestTensors result;
  for (const auto& [name, tensor] : tensors) {
    const auto form = tensor.shape.size() == 2
                          ? FormOf(kind, name, tensor.shape[0], tensor.shape[1])
                          : std::nullopt;
    if (form.has_value()) {
      AddQuantized(name, tensor, *form, result);
    } else {
      result.emplace(name, tensor);
    }
  }
  return result;
}

TestTensors Dequantized(const TestTensors& quantized,
                        const TestTensors& original) {
  TestTensors result;
  for (const auto& [name, tensor] : original) {
    if (quantized.count(name) > 0) result.emplace(name, tensor);
  }
  for (const auto& [name, quants] : quantized) {
    const auto parsed = ParseQuantsName(name);
    if (!parsed.has_value()) continue;
    const std::string matrix(parsed->matrix);
    TestTensor weights{.shape = original.at(matrix).shape};
    for (int64_t row = 0; row < weights.shape[0]; ++row) {
      for (int64_t col = 0; col < weights.shape[1]; ++col) {
        weights.values.push_back(WeightOf(
            quants, quantized.at(ScalesName(matrix)), parsed->form, row, col));
      }
    }
    result.emplace(matrix, std::move(weights));
  }
  return result;
}

std::shared_ptr<const TensorFile> MakeQuantizedFile(
    const TestTensors& tensors) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (const auto& [name, tensor] : tensors) {
    entries.push_back({name, tensor.dtype, tensor.shape});
  }
  std::stable_partition(entries.begin(), entries.end(), [](const auto& entry) {
    return entry.dtype == DType::kU8;
  });
  const std::string path = MakeTempDirectory() + "/model.safetensors";
  const auto writer = SafetensorsWriter::Create(path, entries);
  RWKVD_CHECK(writer.ok());
  for (const SafetensorsWriter::Entry& entry : entries) {
    const std::string bytes = BytesOf(tensors.at(entry.name));
    RWKVD_CHECK(
        (*writer)
            ->Append(absl::MakeConstSpan(
                reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()))
            .ok());
  }
  RWKVD_CHECK((*writer)->Finish().ok());
  auto file = TensorFile::Open(path);
  RWKVD_CHECK(file.ok());
  return *std::move(file);
}

}  // namespace rwkvd::testing
