// SPDX-License-Identifier: Apache-2.0
// memory_probe CHECKPOINT [ROWS]: loads a model, processes ROWS tokens at once
// (default 256) and then one by one, and prints the memory that this took, as
// JSON, in bytes:
//
//   file       all tensors in the files of the checkpoint
//   copied     tensors that had to be rearranged
//   vectors    weights that are kept as f32: all except the matrices
//   loading    private memory that loading added
//   workspace  private memory that the activations and the state added
//   serving    private memory that the computations added
//   mapped     resident pages of files at the end, shared by all processes that
//              map them
//
// It is a process of its own, because a second model in the same process would
// reuse the memory that the first one freed.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "core/base/check.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/load_model.h"

namespace rwkvd {
namespace {

// A line of /proc/self/smaps_rollup or /proc/self/status, in bytes.
int64_t ReadProc(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  int64_t kibibytes = -1;
  while (file >> word) {
    if (word == key && file >> kibibytes) return kibibytes * 1024;
  }
  std::fprintf(stderr, "%s: no %s\n", path, key.c_str());
  std::exit(1);
}

int64_t OwnBytes() { return ReadProc("/proc/self/smaps_rollup", "Anonymous:"); }

int64_t VectorBytes(const TensorFile& file) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    if (Squeezed(tensor).shape.size() < 2) bytes += 4 * tensor.num_elements();
  }
  return bytes;
}

void Serve(const Model& model, int64_t rows, State& state,
           Workspace& workspace) {
  std::vector<int32_t> tokens(rows, 1);
  std::vector<float> logits(model.config().vocab_size);
  Chunk chunk{.tokens = tokens,
              .state = &state,
              .wanted = LogitsWanted::kLast,
              .logits = absl::MakeSpan(logits)};
  model.Forward({chunk}, workspace);
  chunk.tokens = absl::MakeConstSpan(tokens).first(1);
  for (int i = 0; i < 5; ++i) model.Forward({chunk}, workspace);
}

void Measure(const std::string& path, int64_t rows) {
  ThreadPool pool(2);
  const int64_t before = OwnBytes();
  auto file = TensorFile::Open(path);
  if (!file.ok()) {
    std::fprintf(stderr, "%s\n", file.status().ToString().c_str());
    std::exit(1);
  }
  const auto model = LoadModel(*file);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().ToString().c_str());
    std::exit(1);
  }
  const int64_t loaded = OwnBytes();
  State state = (*model)->NewState();
  Workspace workspace = (*model)->NewWorkspace(rows, &pool);
  const int64_t ready = OwnBytes();
  Serve(**model, rows, state, workspace);
  const int64_t served = OwnBytes();
  std::printf(
      "{\"file\": %ld, \"copied\": %ld, \"vectors\": %ld, \"loading\": %ld, "
      "\"workspace\": %ld, \"serving\": %ld, \"mapped\": %ld}\n",
      (*file)->tensor_bytes(), (*file)->copied_bytes(), VectorBytes(**file),
      loaded - before, ready - loaded, served - ready,
      ReadProc("/proc/self/status", "RssFile:"));
}

}  // namespace
}  // namespace rwkvd

int main(int argc, char** argv) {
  int64_t rows = 256;
  if (argc < 2 || argc > 3 ||
      (argc == 3 && !absl::SimpleAtoi(argv[2], &rows)) || rows < 1) {
    std::fprintf(stderr, "usage: memory_probe CHECKPOINT [ROWS]\n");
    return 2;
  }
  rwkvd::Measure(argv[1], rows);
  return 0;
}
