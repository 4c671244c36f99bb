// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/rwkv_convert/conversions.h"

#include <algorithm>
#include <filesystem>

#include "core/base/thread_pool.h"
#include "core/model/load_model.h"
#include "gtest/gtest.h"

namespace rwkvd::testing {

absl::StatusOr<Converted> RunConversion(const ConvertOptions& options) {
  return ConvertCheckpoint(options, [](absl::string_view, int64_t, int64_t) {
    return absl::OkStatus();
  });
}

std::vector<float> LogitsOf(const std::string& path,
                            const std::vector<int32_t>& tokens,
                            WeightKind kind) {
  const auto file = TensorFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return {};
  ThreadPool pool(2);
  const auto model = LoadModel(*file, {.weights = kind, .pool = &pool});
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok()) return {};
  Workspace workspace = (*model)->NewWorkspace(tokens.size(), &pool);
  State state = (*model)->NewState();
  std::vector<float> logits(tokens.size() * (*model)->config().vocab_size);
  (*model)->Forward({{.tokens = tokens,
                      .state = &state,
                      .wanted = LogitsWanted::kAll,
                      .logits = absl::MakeSpan(logits)}},
                    workspace);
  return logits;
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace rwkvd::testing
