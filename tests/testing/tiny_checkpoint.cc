// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/tiny_checkpoint.h"

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/safetensors.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_tensors.h"

namespace rwkvd::testing {
namespace {

std::string LittleEndian64(uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

void AddRwkv4Layer(const std::string& block, const Rwkv4Sizes& sizes,
                   RandomTensors& random) {
  const int64_t c = sizes.embedding, a = sizes.attention, f = sizes.ffn;
  random.LayerNorm(block + "ln1", c);
  random.LayerNorm(block + "ln2", c);
  for (const char* part : {"att.time_mix_k", "att.time_mix_v", "att.time_mix_r",
                           "ffn.time_mix_k", "ffn.time_mix_r"}) {
    random.Normal(block + part, {1, 1, c}, 0.5f, 0.25f);
  }
  random.Normal(block + "att.time_decay", {a}, -2.0f, 2.0f);
  random.Normal(block + "att.time_first", {a}, -1.0f, 1.0f);
  random.Matrix(block + "att.key.weight", a, c);
  random.Matrix(block + "att.value.weight", a, c);
  random.Matrix(block + "att.receptance.weight", a, c);
  random.Matrix(block + "att.output.weight", c, a);
  random.Matrix(block + "ffn.key.weight", f, c);
  random.Matrix(block + "ffn.receptance.weight", c, c);
  random.Matrix(block + "ffn.value.weight", c, f);
}

}  // namespace

TestTensors RandomRwkv4(const Rwkv4Sizes& sizes, uint64_t seed,
                        absl::FunctionRef<DType(const std::string&)> dtype) {
  TestTensors tensors;
  RandomTensors random(seed, dtype, &tensors);
  random.Matrix("emb.weight", sizes.vocab, sizes.embedding);
  random.LayerNorm("blocks.0.ln0", sizes.embedding);
  for (int64_t i = 0; i < sizes.layers; ++i) {
    AddRwkv4Layer(absl::StrCat("blocks.", i, "."), sizes, random);
  }
  random.LayerNorm("ln_out", sizes.embedding);
  random.Matrix("head.weight", sizes.vocab, sizes.embedding);
  return tensors;
}

TestTensors RandomRwkv4(const Rwkv4Sizes& sizes, uint64_t seed, DType dtype) {
  return RandomRwkv4(sizes, seed,
                     [dtype](const std::string&) { return dtype; });
}

std::string SafetensorsBytes(const TestTensors& tensors, int header_padding) {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    data += BytesOf(tensor);
    header[name] = {{"dtype", std::string(NameOf(tensor.dtype))},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump() + std::string(header_padding, ' ');
  return absl::StrCat(LittleEndian64(text.size()), text, data);
}

std::string WriteCheckpoint(const std::string& directory,
                            const TestTensors& tensors, int num_shards,
                            int header_padding) {
  if (num_shards == 0) {
    const std::string path = directory + "/model.safetensors";
    WriteFileOrDie(path, SafetensorsBytes(tensors, header_padding));
    return path;
  }
  std::vector<TestTensors> shards(num_shards);
  nlohmann::json map = nlohmann::json::object();
  const auto shard_name = [&](int shard) {
    return absl::StrCat("model-", shard + 1, "-of-", num_shards,
                        ".safetensors");
  };
  int next = 0;
  for (const auto& [name, tensor] : tensors) {
    const int shard = next++ % num_shards;
    shards[shard].emplace(name, tensor);
    map[name] = shard_name(shard);
  }
  for (int i = 0; i < num_shards; ++i) {
    WriteFileOrDie(absl::StrCat(directory, "/", shard_name(i)),
                   SafetensorsBytes(shards[i], header_padding));
  }
  const std::string path = directory + "/model.safetensors.index.json";
  WriteFileOrDie(path, nlohmann::json{{"weight_map", map}}.dump());
  return path;
}

TestTensors ReadSafetensorsOrDie(const std::string& path) {
  const auto file = MappedFile::Open(path);
  RWKVD_CHECK(file.ok());
  const auto stored = ParseSafetensors(**file);
  RWKVD_CHECK(stored.ok());
  TestTensors tensors;
  for (const Tensor& tensor : *stored) {
    tensors.emplace(tensor.name, CopyOf(tensor));
  }
  return tensors;
}

std::shared_ptr<const TensorFile> MakeTensorFile(const TestTensors& tensors,
                                                 int num_shards,
                                                 int header_padding) {
  auto file = TensorFile::Open(WriteCheckpoint(MakeTempDirectory(), tensors,
                                               num_shards, header_padding));
  if (!file.ok()) {
    std::fprintf(stderr, "%s\n", file.status().ToString().c_str());
  }
  RWKVD_CHECK(file.ok());
  return *std::move(file);
}

}  // namespace rwkvd::testing
