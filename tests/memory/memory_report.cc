// SPDX-License-Identifier: Apache-2.0
// memory_report VERSION: prints the table of docs/memory.md for one version, 4,
// 6 or 7: the results of memory_probe for a model of the 0.1B shape in every
// format. Writes some gigabytes below $TEST_TMPDIR or /tmp and removes them.

#include <cstdio>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/check.h"
#include "nlohmann/json.hpp"
#include "tests/testing/checkpoint_formats.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {
namespace {

// A model with the sizes and ranks of the released models.
TestTensors RandomModel(Architecture architecture) {
  constexpr auto kType = DType::kF16;  // all that web-rwkv writes
  if (architecture == Architecture::kRwkv4) {
    return RandomRwkv4({12, 768, 768, 3072, 50277}, 1, kType);
  }
  if (architecture == Architecture::kRwkv6) {
    return RandomRwkv6({12, 12, 64, 2688, 65536, 32, 64}, 1, kType);
  }
  return RandomRwkv7({12, 12, 64, 3072, 65536, 64, 64, 32, 128, false}, 1,
                     kType);
}

nlohmann::json Measure(const std::string& probe, const std::string& path) {
  FILE* const output = popen((probe + " " + path).c_str(), "r");
  std::string text;
  for (int c; (c = std::fgetc(output)) != EOF;) text.push_back(c);
  RWKVD_CHECK(pclose(output) == 0);
  return nlohmann::json::parse(text);
}

void Report(const std::string& probe, Architecture architecture) {
  const TestTensors tensors = RandomModel(architecture);
  std::printf("| format | tensors | copied | loading | serving | mapped |\n");
  for (FileFormat format : AllFileFormats()) {
    if (!HasFormat(architecture, format)) continue;
    const std::string directory = MakeTempDirectory();
    const auto bytes = Measure(
        probe, WriteCheckpointAs(directory, tensors, architecture, format));
    const auto mib = [&](const char* key) {
      return bytes[key].get<double>() / (1 << 20);
    };
    std::printf("| %s | %.1f | %.1f | %.1f | %.1f | %.1f |\n",
                std::string(NameOf(format)).c_str(), mib("file"), mib("copied"),
                mib("loading"), mib("workspace") + mib("serving"),
                mib("mapped"));
    std::fflush(stdout);
    std::filesystem::remove_all(directory);
  }
}

}  // namespace
}  // namespace rwkvd::testing

int main(int argc, char** argv) {
  using rwkvd::Architecture;
  const absl::string_view version = argc == 2 ? argv[1] : "";
  if (version != "4" && version != "6" && version != "7") {
    std::fprintf(stderr, "usage: memory_report 4|6|7\n");
    return 2;
  }
  rwkvd::testing::Report(
      std::filesystem::path(argv[0]).parent_path() / "memory_probe",
      version == "4"   ? Architecture::kRwkv4
      : version == "6" ? Architecture::kRwkv6
                       : Architecture::kRwkv7);
  return 0;
}
