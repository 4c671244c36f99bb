// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/random_model.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/float16.h"
#include "nlohmann/json.hpp"

namespace rwkvd::bench {
namespace {

struct Planned {
  std::string name;
  std::vector<int64_t> shape;
  float mean;
  float spread;  // values lie evenly within mean +- spread
};

std::vector<Planned> Plan(const Shape& shape) {
  std::vector<Planned> plan;
  const int64_t c = shape.width, f = 4 * c;
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t cols) {
    plan.push_back({name, {rows, cols}, 0, 2 / std::sqrt(float(cols))});
  };
  const auto vector = [&](const std::string& name, float mean, float spread) {
    plan.push_back({name, {c}, mean, spread});
  };
  const auto norm = [&](const std::string& name) {
    vector(name + ".weight", 1, 0.2f);
    vector(name + ".bias", 0, 0.1f);
  };
  matrix("emb.weight", shape.vocab, c);
  norm("blocks.0.ln0");
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string block = absl::StrCat("blocks.", i, ".");
    norm(block + "ln1");
    norm(block + "ln2");
    for (const char* mix :
         {"att.time_mix_k", "att.time_mix_v", "att.time_mix_r",
          "ffn.time_mix_k", "ffn.time_mix_r"}) {
      vector(block + mix, 0.5f, 0.4f);
    }
    vector(block + "att.time_decay", -2, 2);
    vector(block + "att.time_first", -1, 1);
    for (const char* name : {"key", "value", "receptance", "output"}) {
      matrix(absl::StrCat(block, "att.", name, ".weight"), c, c);
    }
    matrix(block + "ffn.key.weight", f, c);
    matrix(block + "ffn.receptance.weight", c, c);
    matrix(block + "ffn.value.weight", c, f);
  }
  norm("ln_out");
  matrix("head.weight", shape.vocab, c);
  return plan;
}

int64_t NumElements(const Planned& tensor) {
  int64_t n = 1;
  for (int64_t dimension : tensor.shape) n *= dimension;
  return n;
}

std::string Header(const std::vector<Planned>& plan, DType dtype,
                   int64_t* data_bytes) {
  nlohmann::json header;
  int64_t begin = 0;
  for (const Planned& tensor : plan) {
    const int64_t end =
        begin + NumElements(tensor) * static_cast<int64_t>(SizeOf(dtype));
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

// Quick and reproducible; nothing depends on how random it is.
class Uniform {
 public:
  float operator()() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(state_ >> 40) * 0x1p-23f - 1;
  }

 private:
  uint64_t state_ = 1;
};

}  // namespace

void WriteRandomModel(const Shape& shape, DType dtype,
                      const std::string& path) {
  const std::vector<Planned> plan = Plan(shape);
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
  std::vector<char> bytes;
  for (const Planned& tensor : plan) {
    bytes.resize(NumElements(tensor) * SizeOf(dtype));
    for (int64_t i = 0; i < NumElements(tensor); ++i) {
      const float value = tensor.mean + tensor.spread * uniform();
      if (dtype == DType::kF32) {
        std::memcpy(&bytes[4 * i], &value, 4);
      } else {
        const uint16_t bits =
            dtype == DType::kBF16 ? FloatToBF16(value) : FloatToF16(value);
        std::memcpy(&bytes[2 * i], &bits, 2);
      }
    }
    file.write(bytes.data(), bytes.size());
  }
  file.close();
  RWKVD_CHECK(file);
}

std::shared_ptr<const TensorFile> OpenRandomModel(const Shape& shape,
                                                  DType dtype) {
  const std::string path = absl::StrCat(
      std::filesystem::temp_directory_path().string(), "/rwkvd-random-",
      shape.name, "-", std::string(NameOf(dtype)), ".safetensors");
  WriteRandomModel(shape, dtype, path);
  auto file = TensorFile::Open(path);
  RWKVD_CHECK(file.ok());
  return *std::move(file);
}

}  // namespace rwkvd::bench
