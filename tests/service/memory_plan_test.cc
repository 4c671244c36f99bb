// SPDX-License-Identifier: Apache-2.0
#include "service/memory_plan.h"

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/engine/engine_options.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kMiB = 1 << 20;

// A model of the 0.1B shape with a World vocabulary.
ModelMemory MediumModel() {
  return {.process = 30 * kMiB,
          .state = 12 * (2 * 768 + 64 * 768) * 4,
          .activations_per_row = 80 << 10,
          .vocab_size = 65536,
          .threads = 4};
}

ModelMemory SmallModel() {
  return {.process = 12 * kMiB,
          .state = 6 * 5 * 192 * 4,
          .activations_per_row = 20 << 10,
          .vocab_size = 2048,
          .threads = 2};
}

MemoryPlan Plan(const ModelMemory& model, int64_t mib, Options* options) {
  *options = LimitMessages(*options);
  const auto plan = PlanMemory(model, {mib * kMiB, "test"}, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *plan : MemoryPlan{};
}

int64_t BytesOf(const MemoryPlan& plan, const std::string& name) {
  for (const MemoryPlan::Part& part : plan.parts) {
    if (part.name == name) return part.bytes;
  }
  ADD_FAILURE() << "no part " << name;
  return 0;
}

TEST(MemoryPlanTest, PlentyOfMemoryKeepsTheDefaults) {
  Options options;
  options.memory_limit_bytes = 16384 * kMiB;
  const MemoryPlan plan = Plan(MediumModel(), 16384, &options);
  const Options defaults;
  EXPECT_EQ(options.engine.max_running, defaults.engine.max_running);
  EXPECT_EQ(options.engine.max_step_tokens, defaults.engine.max_step_tokens);
  EXPECT_EQ(options.engine.max_total_tokens, defaults.engine.max_total_tokens);
  EXPECT_EQ(options.engine.max_prompt_tokens,
            defaults.engine.max_prompt_tokens);
  EXPECT_EQ(options.engine.state_cache_bytes,
            defaults.engine.state_cache_bytes);
  EXPECT_EQ(options.max_pending_states_bytes,
            defaults.max_pending_states_bytes);
  EXPECT_EQ(options.request_memory_bytes, defaults.request_memory_bytes);
  EXPECT_EQ(options.max_message_bytes, defaults.max_message_bytes);
  EXPECT_LE(plan.bytes(), 16384 * kMiB * 9 / 10);
}

TEST(MemoryPlanTest, SumFitsIn90PercentAndUsesThem) {
  for (const ModelMemory& model : {SmallModel(), MediumModel()}) {
    for (const int64_t mib : {128, 200, 300, 512, 1024, 2048}) {
      if (mib < 300 && model.vocab_size > 2048) continue;  // refused
      Options options;
      options.memory_limit_bytes = mib * kMiB;
      const MemoryPlan plan = Plan(model, mib, &options);
      EXPECT_LE(plan.bytes(), mib * kMiB * 9 / 10) << mib;
      EXPECT_GE(plan.bytes(), mib * kMiB * 8 / 10) << plan.ToString();
      EXPECT_TRUE(Validate(options.engine).ok()) << Validate(options.engine);
    }
  }
}

TEST(MemoryPlanTest, MoreMemoryNeverLowersALimit) {
  Options before;
  before.memory_limit_bytes = 250 * kMiB;
  Plan(MediumModel(), 250, &before);
  for (int64_t mib = 300; mib < 4000; mib += mib / 4) {
    Options options;
    options.memory_limit_bytes = mib * kMiB;
    Plan(MediumModel(), mib, &options);
    EXPECT_GE(options.engine.max_running, before.engine.max_running);
    EXPECT_GE(options.engine.state_cache_bytes,
              before.engine.state_cache_bytes);
    EXPECT_GE(options.engine.max_total_tokens, before.engine.max_total_tokens);
    EXPECT_GE(options.request_memory_bytes, before.request_memory_bytes);
    before = options;
  }
}

TEST(MemoryPlanTest, SmallModelIsServedIn64MiB) {
  Options options;
  options.memory_limit_bytes = 64 * kMiB;
  const MemoryPlan plan = Plan(SmallModel(), 64, &options);
  EXPECT_LE(plan.bytes(), 64 * kMiB * 9 / 10);
  EXPECT_GE(options.engine.max_running, 8);
}

TEST(MemoryPlanTest, GivenFlagsAreKept) {
  Options options;
  options.memory_limit_bytes = 1024 * kMiB;
  options.given_flags = {"state_cache_mib", "max_running", "state_dir"};
  options.engine.state_cache_bytes = 300 * kMiB;
  options.engine.max_running = 32;
  options.state_dir = "d";
  const MemoryPlan plan = Plan(MediumModel(), 1024, &options);
  EXPECT_EQ(BytesOf(plan, "state_cache"), 300 * kMiB);
  EXPECT_EQ(options.engine.max_running, 32);
  EXPECT_EQ(BytesOf(plan, "saved_states"), 0);
  options.state_dir = "";
  options.state_store.emplace();
  EXPECT_EQ(BytesOf(Plan(MediumModel(), 1024, &options), "saved_states"), 0);
  EXPECT_LT(options.engine.max_pinned_bytes, 64 * kMiB);
}

TEST(MemoryPlanTest, GivenFlagsThatCannotFitAreRefusedWithTheSum) {
  Options options;
  options.given_flags = {"state_cache_mib"};
  options.engine.state_cache_bytes = 500 * kMiB;
  const absl::Status refused =
      PlanMemory(MediumModel(), {512 * kMiB, "physical memory"}, &options)
          .status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("--memory_limit: expected at least "),
                    HasSubstr("got 460.8 MiB, 90 % of 512.0 (physical memory)"),
                    HasSubstr(": 30.0 process + "),
                    HasSubstr("500.0 state_cache"), Not(HasSubstr("\n"))));
}

TEST(MemoryPlanTest, ModelThatCannotFitIsRefused) {
  ModelMemory model = MediumModel();
  model.process = 250 * kMiB;
  Options options;
  EXPECT_EQ(PlanMemory(model, {256 * kMiB, "test"}, &options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MemoryPlanTest, TokensOfOneRequestFitTheirMemory) {
  for (const int64_t mib : {96, 200, 1024, 16384}) {
    Options options;
    options.memory_limit_bytes = mib * kMiB;
    Plan(SmallModel(), mib, &options);
    const EngineOptions& engine = options.engine;
    EXPECT_LE(4 * (engine.max_prompt_tokens + engine.max_generated_tokens),
              engine.max_request_bytes / 2);
    EXPECT_LE(2 * (engine.max_prompt_tokens + engine.max_generated_tokens),
              engine.max_total_tokens);
  }
}

TEST(MemoryPlanTest, DraftTokensTakeStatesAndAreReducedIfMemoryIsShort) {
  const ModelMemory model = MediumModel();
  Options options;
  options.engine.max_draft_tokens = 8;
  options.memory_limit_bytes = 16384 * kMiB;
  const MemoryPlan plan = Plan(model, 16384, &options);
  EXPECT_EQ(options.engine.max_draft_tokens, 8);
  EXPECT_GE(BytesOf(plan, "drafts"), 8 * model.state);
  EXPECT_LE(BytesOf(plan, "drafts"), 8 * model.state + 16 * kMiB);

  Options little;
  little.engine.max_draft_tokens = 8;
  little.memory_limit_bytes = 300 * kMiB;
  EXPECT_LE(Plan(model, 300, &little).bytes(), 300 * kMiB * 9 / 10);
  EXPECT_LT(little.engine.max_draft_tokens, 8);

  Options off;
  off.memory_limit_bytes = 300 * kMiB;
  EXPECT_EQ(BytesOf(Plan(model, 300, &off), "drafts"), 0);
}

TEST(MemoryPlanTest, TokenizerArchiveCounts) {
  ModelMemory model = SmallModel();
  model.tokenizer_archive = 20 * kMiB;
  Options options;
  options.memory_limit_bytes = 200 * kMiB;
  const MemoryPlan plan = Plan(model, 200, &options);
  EXPECT_EQ(BytesOf(plan, "tokenizer_archive"), 20 * kMiB);
  EXPECT_LE(plan.bytes(), 200 * kMiB * 9 / 10);
}

// The first column of the table below "## Memory" in docs/architecture.md.
std::vector<std::string> DocumentedParts() {
  std::ifstream file("docs/architecture.md");
  std::vector<std::string> parts;
  bool in_section = false;
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, "## ")) in_section = line == "## Memory";
    absl::string_view row = line;
    if (!in_section || !absl::ConsumePrefix(&row, "| `")) continue;
    parts.emplace_back(row.substr(0, row.find('`')));
  }
  return parts;
}

TEST(MemoryPlanTest, DocumentListsAllPartsWhoseSumIsThePlan) {
  Options options;
  const MemoryPlan plan = Plan(SmallModel(), 16384, &options);
  std::vector<std::string> parts;
  int64_t sum = 0;
  for (const MemoryPlan::Part& part : plan.parts) {
    parts.push_back(part.name);
    sum += part.bytes;
  }
  EXPECT_EQ(parts, DocumentedParts());
  EXPECT_EQ(plan.bytes(), sum);
}

TEST(MemoryPlanTest, MessagesAreLimitedBeforeTheModelIsLoaded) {
  Options options;
  options.memory_limit_bytes = 64 * kMiB;
  options = LimitMessages(options);
  EXPECT_EQ(options.request_memory_bytes, 8 * kMiB);
  EXPECT_EQ(options.response_memory_bytes, 4 * kMiB);
  EXPECT_EQ(options.grpc_memory_bytes, 8 * kMiB);
  EXPECT_EQ(options.max_message_bytes, 64 * kMiB / 40);
  Options given;
  given.memory_limit_bytes = 64 * kMiB;
  given.given_flags = {"max_message_mib"};
  given = LimitMessages(given);
  EXPECT_EQ(given.max_message_bytes, 16 * kMiB);
  EXPECT_EQ(given.grpc_memory_bytes, 64 * kMiB);
}

}  // namespace
}  // namespace rwkvd
