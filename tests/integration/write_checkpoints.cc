// SPDX-License-Identifier: Apache-2.0
// write_checkpoints DIRECTORY: writes random models with 256 byte tokens, one
// of every version in every format of that version, and initial states for
// them. Prints one line per file:
//
//   VERSION FORMAT PATH    a checkpoint; all of a version have equal weights
//   VERSION tuned_in PATH  the same with blocks.N.att.time_state
//   VERSION tuned PATH     only these tensors, in .pth and in safetensors
//   VERSION read PATH      a state file: the state after reading kRead

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/load_model.h"
#include "core/model/state_file.h"
#include "tests/testing/checkpoint_formats.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/pth_writer.h"
#include "tests/testing/random_checkpoint.h"
#include "tests/testing/tiny_checkpoint.h"

namespace rwkvd::testing {
namespace {

constexpr uint64_t kSeed = 20;
constexpr int64_t kVocab = 256;
// The only type that web-rwkv writes, so that its files have the same values.
constexpr DType kType = DType::kF16;
constexpr char kRead[] = "The quick ";

TestTensors Network(Architecture architecture) {
  return RandomCheckpoint(architecture,
                          {.rwkv4 = {.vocab = kVocab},
                           .rwkv5 = {.vocab = kVocab},
                           .rwkv6 = {.vocab = kVocab},
                           .rwkv7 = {.vocab = kVocab}},
                          kSeed, kType);
}

std::string NewDirectory(const std::string& parent, absl::string_view name) {
  const std::string path = parent + "/" + std::string(name);
  RWKVD_CHECK(std::filesystem::create_directories(path));
  return path;
}

void Say(Architecture architecture, absl::string_view what,
         const std::string& path) {
  std::printf("%s %s %s\n", std::string(NameOf(architecture)).c_str(),
              std::string(what).c_str(), path.c_str());
}

// The state after reading kRead.
void WriteReadState(const std::string& checkpoint, const std::string& path) {
  const auto file = TensorFile::Open(checkpoint);
  RWKVD_CHECK(file.ok());
  const auto model = LoadModel(*file);
  RWKVD_CHECK(model.ok());
  const absl::string_view text = kRead;
  const std::vector<int32_t> tokens(text.begin(), text.end());
  State state = (*model)->NewState();
  ThreadPool pool(1);
  Workspace workspace = (*model)->NewWorkspace(text.size(), &pool);
  const Chunk chunk = {.tokens = tokens, .state = &state};
  (*model)->Forward({chunk}, workspace);
  const ModelIdentity identity = {
      std::string(NameOf((*model)->config().architecture)),
      (*file)->Fingerprint(), static_cast<int64_t>(state.values().size())};
  const auto bytes = SerializeState(state, identity);
  RWKVD_CHECK(bytes.ok());
  WriteFileOrDie(path, *bytes);
}

void WriteTuned(const std::string& directory, Architecture architecture,
                TestTensors network) {
  const TestTensors tuned = RandomTimeState(network, kSeed, kType);
  const std::string pth = directory + "/tuned.pth";
  WriteFileOrDie(pth, PthBytes(tuned));
  Say(architecture, "tuned", pth);
  const std::string safetensors = directory + "/tuned.safetensors";
  WriteFileOrDie(safetensors, SafetensorsBytes(tuned));
  Say(architecture, "tuned", safetensors);
  network.insert(tuned.begin(), tuned.end());
  Say(architecture, "tuned_in",
      WriteCheckpointAs(NewDirectory(directory, "tuned_in"), network,
                        architecture, FileFormat::kPth));
}

void WriteAll(const std::string& root, Architecture architecture) {
  const TestTensors network = Network(architecture);
  const std::string directory = NewDirectory(root, NameOf(architecture));
  const std::string state = directory + "/read.state";
  for (const FileFormat format : AllFileFormats()) {
    if (!HasFormat(architecture, format)) continue;
    const std::string path = WriteCheckpointAs(
        NewDirectory(directory, NameOf(format)), network, architecture, format);
    Say(architecture, NameOf(format), path);
    if (format == FileFormat::kSafetensors) WriteReadState(path, state);
  }
  Say(architecture, "read", state);
  if (architecture != Architecture::kRwkv4) {
    WriteTuned(directory, architecture, network);
  }
}

}  // namespace
}  // namespace rwkvd::testing

int main(int argc, char** argv) {
  RWKVD_CHECK(argc == 2);
  using rwkvd::Architecture;
  for (const Architecture architecture : rwkvd::testing::kAllArchitectures) {
    rwkvd::testing::WriteAll(argv[1], architecture);
  }
  return 0;
}
