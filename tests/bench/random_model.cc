// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/random_model.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/types/span.h"
#include "core/base/check.h"
#include "core/base/cpu_quota.h"
#include "core/base/float16.h"
#include "core/checkpoint/tensor_file.h"
#include "core/quantize/weight_kind.h"
#include "nlohmann/json.hpp"
#include "tools/rwkv_convert/convert_checkpoint.h"

namespace rwkvd::bench {
namespace {

// Part of the file's name, so that files of an older version of this code are
// not reused. Increment it whenever the generated values change.
constexpr int kRevision = 2;

std::string Header(absl::Span<const PlannedTensor> plan, DType dtype,
                   int64_t* data_bytes) {
  nlohmann::json header;
  int64_t begin = 0;
  for (const PlannedTensor& tensor : plan) {
    const int64_t end =
        begin + tensor.num_elements() * static_cast<int64_t>(SizeOf(dtype));
    header[tensor.name] = {{"dtype", std::string(NameOf(dtype))},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, end}}};
    begin = end;
  }
  *data_bytes = begin;
  std::string text = header.dump();
  text.resize((text.size() + 63) / 64 * 64 - 8, ' ');  // data at a cache line
  return text;
}

// A fast, reproducible generator. Its statistical quality does not matter here.
class Uniform {
 public:
  // Returns a number in [-1, 1).
  float operator()() { return static_cast<float>(Bits()) * 0x1p-23f - 1; }
  // Returns a number in [0, n).
  int64_t Below(int64_t n) { return static_cast<int64_t>(Bits()) * n >> 24; }

 private:
  uint64_t Bits() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return state_ >> 40;
  }

  uint64_t state_ = 1;
};

// Returns a factor for each row: -1 if the row is to be negated, else 1.
std::vector<float> DrawSigns(const PlannedTensor& tensor, Uniform& uniform) {
  const int64_t rows = tensor.shape[0];
  std::vector<float> signs(rows, 1);
  const int64_t negated = std::llround(tensor.negated_rows * double(rows));
  if (negated == 0) return signs;
  std::fill_n(signs.begin(), negated, -1.0f);
  for (int64_t i = rows - 1; i > 0; --i) {
    std::swap(signs[i], signs[uniform.Below(i + 1)]);
  }
  return signs;
}

void Store(float value, DType dtype, char* dst) {
  if (dtype == DType::kF32) {
    std::memcpy(dst, &value, 4);
    return;
  }
  const uint16_t bits =
      dtype == DType::kBF16 ? FloatToBF16(value) : FloatToF16(value);
  std::memcpy(dst, &bits, 2);
}

std::vector<char> Draw(const PlannedTensor& tensor, DType dtype,
                       Uniform& uniform) {
  const int64_t n = tensor.num_elements();
  const int64_t size = static_cast<int64_t>(SizeOf(dtype));
  const std::vector<float> signs = DrawSigns(tensor, uniform);
  const int64_t row_size = n / tensor.shape[0];
  std::vector<char> bytes(n * size);
  for (int64_t i = 0; i < n; ++i) {
    const float value = tensor.mean + tensor.spread * uniform();
    Store(signs[i / row_size] * value, dtype, &bytes[i * size]);
  }
  return bytes;
}

std::string PathFor(const Shape& shape, double zeros,
                    absl::string_view weights) {
  return absl::StrCat(std::filesystem::temp_directory_path().string(),
                      "/rwkvd-random-", shape.name, "-zeros",
                      std::lround(100 * zeros), "-", weights, "-", kRevision);
}

void Quantize(const std::string& input, WeightKind kind,
              const std::string& directory) {
  const auto converted = ConvertCheckpoint(
      {.input = input,
       .directory = directory,
       .target = {.dtype = {}, .weights = kind},
       .threads = UsableCpus(),
       .force = true},
      [](absl::string_view, int64_t, int64_t) { return absl::OkStatus(); });
  RWKVD_CHECK(converted.ok());
}

}  // namespace

void WriteRandomModel(const Shape& shape, double zeros, DType dtype,
                      const std::string& path) {
  const std::vector<PlannedTensor> plan = PlanTensors(shape, zeros);
  int64_t data_bytes;
  const std::string header = Header(plan, dtype, &data_bytes);
  std::error_code ignored;
  if (std::filesystem::file_size(path, ignored) ==
      8 + header.size() + data_bytes) {
    return;
  }
  std::ofstream file(path, std::ios::binary);
  const uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), 8);
  file << header;
  Uniform uniform;
  for (const PlannedTensor& tensor : plan) {
    const std::vector<char> bytes = Draw(tensor, dtype, uniform);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  file.close();
  RWKVD_CHECK(file);
}

std::string RandomModelPath(const Shape& shape, double zeros, DType dtype) {
  const std::string path =
      PathFor(shape, zeros, std::string(NameOf(dtype))) + ".safetensors";
  WriteRandomModel(shape, zeros, dtype, path);
  return path;
}

bool IsWeightName(absl::string_view name) {
  return absl::c_linear_search(kWeightNames, name);
}

std::string RandomModelPath(const Shape& shape, double zeros,
                            absl::string_view weights) {
  RWKVD_CHECK(IsWeightName(weights));
  const auto dtype = DTypeFromName(absl::AsciiStrToUpper(weights));
  if (dtype.has_value()) return RandomModelPath(shape, zeros, *dtype);
  const auto kind =
      WeightKindFromName(absl::StrReplaceAll(weights, {{"-", ","}}));
  RWKVD_CHECK(kind.has_value());
  const std::string path = PathFor(shape, zeros, weights);
  if (!TensorFile::Open(path).ok()) {
    Quantize(RandomModelPath(shape, zeros, DType::kBF16), *kind, path);
  }
  return path;
}

}  // namespace rwkvd::bench
