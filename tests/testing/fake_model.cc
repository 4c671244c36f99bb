// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/fake_model.h"

#include <cmath>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_set.h"
#include "core/base/check.h"

namespace rwkvd {
namespace {

constexpr uint64_t kHashOfNothing = 0x243f6a8885a308d3;

uint64_t Mix(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t HashAfter(uint64_t hash, int32_t token) {
  return Mix(hash ^ Mix(static_cast<uint64_t>(token)));
}

uint64_t HashOfAll(absl::Span<const int32_t> tokens) {
  uint64_t hash = kHashOfNothing;
  for (const int32_t token : tokens) hash = HashAfter(hash, token);
  return hash;
}

// A hash as four floats, each of which represents 16 of its bits exactly.
State StateOf(uint64_t hash) {
  std::vector<float> values;
  for (int i = 0; i < 4; ++i) values.push_back((hash >> (16 * i)) & 0xffff);
  return State(std::move(values));
}

uint64_t HashOf(const State& state) {
  RWKVD_CHECK(state.values().size() == 4);
  uint64_t hash = 0;
  for (int i = 0; i < 4; ++i) {
    hash |= static_cast<uint64_t>(state.values()[i]) << (16 * i);
  }
  return hash;
}

}  // namespace

FakeModel::FakeModel(int64_t vocab_size, OnForward on_forward)
    : on_forward_(std::move(on_forward)) {
  config_.vocab_size = vocab_size;
}

State FakeModel::NewState() const { return StateOf(kHashOfNothing); }

absl::StatusOr<State> FakeModel::NewTunedState(const TensorFile& file) const {
  return StateOf(std::hash<std::string>()(file.path()));
}

Workspace FakeModel::NewWorkspace(int64_t max_rows, ThreadPool* pool) const {
  return Workspace(0, max_rows, pool);
}

void FakeModel::Forward(absl::Span<const Chunk> chunks,
                        Workspace& workspace) const {
  if (on_forward_ != nullptr) on_forward_(chunks);
  int64_t rows = 0;
  absl::flat_hash_set<const State*> states;
  for (const Chunk& chunk : chunks) {
    rows += static_cast<int64_t>(chunk.tokens.size());
    RWKVD_CHECK(!chunk.tokens.empty());
    RWKVD_CHECK(states.insert(chunk.state).second);
  }
  RWKVD_CHECK(rows <= workspace.max_rows());
  workspace.pool().ParallelFor(chunks.size(),
                               [&](int64_t i) { ForwardChunk(chunks[i]); });
}

void FakeModel::ForwardChunk(const Chunk& chunk) const {
  const int64_t vocab_size = config_.vocab_size;
  const int64_t num_rows = chunk.wanted == LogitsWanted::kNone ? 0
                           : chunk.wanted == LogitsWanted::kLast
                               ? 1
                               : chunk.tokens.size();
  RWKVD_CHECK(static_cast<int64_t>(chunk.logits.size()) ==
              num_rows * vocab_size);
  uint64_t hash = HashOf(*chunk.state);
  RWKVD_CHECK(chunk.inner_states.empty() ||
              chunk.inner_states.size() + 1 == chunk.tokens.size());
  int64_t row = num_rows - static_cast<int64_t>(chunk.tokens.size());
  for (size_t i = 0; i < chunk.tokens.size(); ++i) {
    const int32_t token = chunk.tokens[i];
    RWKVD_CHECK(token >= 0 && token < vocab_size);
    hash = HashAfter(hash, token);
    if (i < chunk.inner_states.size()) chunk.inner_states[i] = StateOf(hash);
    if (row >= 0) {
      const absl::Span<float> logits =
          chunk.logits.subspan(row * vocab_size, vocab_size);
      FillLogits(hash, logits);
      if (token == broken_token_) absl::c_fill(logits, NAN);
    }
    ++row;
  }
  *chunk.state = StateOf(hash);
}

State FakeModel::StateAfter(absl::Span<const int32_t> tokens) const {
  return StateOf(HashOfAll(tokens));
}

std::vector<float> FakeModel::LogitsAfter(
    absl::Span<const int32_t> tokens) const {
  const uint64_t hash = HashOfAll(tokens);
  std::vector<float> logits(config_.vocab_size);
  FillLogits(hash, absl::MakeSpan(logits));
  return logits;
}

void FakeModel::FillLogits(uint64_t hash, absl::Span<float> logits) const {
  for (size_t id = 0; id < logits.size(); ++id) {
    logits[id] = static_cast<float>(Mix(hash + id) >> 40) * 0x1p-21f - 4;
  }
}

}  // namespace rwkvd
