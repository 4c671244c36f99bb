// SPDX-License-Identifier: Apache-2.0
// How long prompts wait: a simulation that counts steps, of the scheduler and
// of even sharing.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <random>
#include <vector>

#include "core/engine/schedule/scheduler.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// A prompt that arrives before step number `arrival`.
struct Arrival {
  int64_t arrival = 0;
  int64_t tokens = 0;
  const void* flow = nullptr;
};

// The tokens of `left` that a step of `rows` prefills.
using Share = std::function<std::vector<int64_t>(
    const std::vector<int64_t>& prompts, const std::vector<int64_t>& left)>;

// Runs steps until all prompts are prefilled. Returns the steps from the
// arrival of each to its first token.
std::vector<int64_t> Simulate(const std::vector<Arrival>& arrivals,
                              const Share& share) {
  std::vector<int64_t> steps(arrivals.size());
  std::vector<int64_t> tokens_left;
  for (const Arrival& one : arrivals) tokens_left.push_back(one.tokens);
  size_t num_complete = 0;
  for (int64_t step = 0; num_complete < arrivals.size(); ++step) {
    std::vector<int64_t> prompts, left;
    for (size_t i = 0; i < arrivals.size(); ++i) {
      if (arrivals[i].arrival > step || tokens_left[i] == 0) continue;
      prompts.push_back(i);
      left.push_back(tokens_left[i]);
    }
    const std::vector<int64_t> prefilled = share(prompts, left);
    for (size_t i = 0; i < prompts.size(); ++i) {
      tokens_left[prompts[i]] -= prefilled[i];
      if (tokens_left[prompts[i]] > 0) continue;
      steps[prompts[i]] = step + 1 - arrivals[prompts[i]].arrival;
      ++num_complete;
    }
  }
  return steps;
}

std::vector<int64_t> WithScheduler(const std::vector<Arrival>& arrivals,
                                   int64_t rows) {
  Scheduler scheduler(1 << 16, 1 << 15);
  return Simulate(arrivals, [&](const auto& prompts, const auto& left) {
    std::vector<StepDemand> demands;
    for (size_t i = 0; i < prompts.size(); ++i) {
      demands.push_back({.tokens = left[i],
                         .flow = arrivals[prompts[i]].flow,
                         .prompt = static_cast<uint64_t>(prompts[i] + 1),
                         .remaining = left[i]});
    }
    const auto allocations = scheduler.Allocate(demands, rows);
    return std::vector<int64_t>(allocations.begin(), allocations.end());
  });
}

// One row after the other goes to the next prompt in turn.
std::vector<int64_t> WithEvenSharing(const std::vector<Arrival>& arrivals,
                                     int64_t rows) {
  size_t turn = 0;
  return Simulate(arrivals, [&](const auto& prompts, const auto& left) {
    const auto num = static_cast<int64_t>(prompts.size());
    std::vector<int64_t> prefilled(prompts.size());
    int64_t unused = 0;  // turns in a row
    for (int64_t row = 0; row < std::max(rows, num) && unused < num;) {
      const size_t i = turn++ % prompts.size();
      if (prefilled[i] == left[i]) {
        ++unused;
        continue;
      }
      unused = 0;
      ++prefilled[i];
      ++row;
    }
    return prefilled;
  });
}

double MeanSteps(const std::vector<int64_t>& steps) {
  int64_t sum = 0;
  for (const int64_t one : steps) sum += one;
  return static_cast<double>(sum) / static_cast<double>(steps.size());
}

int64_t MostSteps(const std::vector<int64_t>& steps) {
  return *std::max_element(steps.begin(), steps.end());
}

TEST(PromptScheduleTest, EqualPromptsWaitAtMostSixTenthsOfEvenSharing) {
  for (const int64_t num : {6, 8, 16, 32, 64}) {
    for (const int64_t tokens : {64, 500}) {
      const std::vector<Arrival> arrivals(num, {0, tokens});
      const std::vector<int64_t> even = WithEvenSharing(arrivals, 64);
      const std::vector<int64_t> waits = WithScheduler(arrivals, 64);
      EXPECT_LE(MeanSteps(waits), 0.6 * MeanSteps(even))
          << num << " " << tokens;
      EXPECT_EQ(MostSteps(waits), MostSteps(even)) << num << " " << tokens;
    }
  }
}

TEST(PromptScheduleTest, PromptsThatArriveTogetherNeverWaitLonger) {
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    std::vector<Arrival> arrivals(1 + random() % 30);
    for (Arrival& one : arrivals) one.tokens = 1 + random() % 700;
    const std::vector<int64_t> even = WithEvenSharing(arrivals, 64);
    const std::vector<int64_t> waits = WithScheduler(arrivals, 64);
    for (size_t i = 0; i < arrivals.size(); ++i) {
      EXPECT_LE(waits[i], even[i] + 1);  // a step for rounding
    }
    EXPECT_EQ(MostSteps(waits), MostSteps(even));
  }
}

TEST(PromptScheduleTest, ShortPromptBehindLongOnesWaitsAtMostTwoSteps) {
  for (int64_t arrival = 0; arrival < 500; ++arrival) {
    std::vector<Arrival> arrivals(4, {0, 2000});
    arrivals.push_back({arrival, 16});
    ASSERT_LE(WithScheduler(arrivals, 16).back(), 2) << arrival;
  }
}

// The wait of a long prompt behind another one, if a short prompt arrives every
// `period` steps. With a period of 1, short prompts alone fill all steps.
TEST(PromptScheduleTest, LongPromptInAStreamOfShortOnesWaitsAtMostTwiceAsLong) {
  for (const int64_t period : {1, 2, 3, 5}) {
    std::vector<Arrival> arrivals = {{0, 500}, {0, 2000}};
    for (int64_t i = 0; i < 1500; ++i) arrivals.push_back({i * period, 16});
    const std::vector<int64_t> even = WithEvenSharing(arrivals, 16);
    const std::vector<int64_t> waits = WithScheduler(arrivals, 16);
    EXPECT_LE(waits[0], 2 * even[0]) << period;
    EXPECT_LE(waits[1], 2 * even[1]) << period;
  }
}

TEST(PromptScheduleTest, NoPromptOfARandomStreamWaitsMuchLonger) {
  constexpr int64_t kSizes[] = {4, 16, 64, 200, 2000};
  std::mt19937 random(4);
  for (int round = 0; round < 40; ++round) {
    const int64_t pause = 5 + random() % 60;
    std::vector<Arrival> arrivals;
    int64_t now = 0;
    for (int i = 0; i < 60; ++i) {
      arrivals.push_back({now, kSizes[random() % std::size(kSizes)]});
      now += random() % pause;
    }
    const std::vector<int64_t> even = WithEvenSharing(arrivals, 16);
    const std::vector<int64_t> waits = WithScheduler(arrivals, 16);
    EXPECT_LT(MeanSteps(waits), MeanSteps(even));
    for (size_t i = 0; i < arrivals.size(); ++i) {
      EXPECT_LE(waits[i], 2 * even[i]) << round << " " << i;
    }
  }
}

// Clients send a prompt of the same size as soon as the last one is prefilled.
// Returns the longest wait of each client, also that of its last prompt.
std::vector<int64_t> LongestWaits(const std::vector<int64_t>& sizes,
                                  int64_t rows, int64_t num_steps) {
  Scheduler scheduler(1 << 16, 1 << 15);
  std::vector<StepDemand> demands(sizes.size());
  std::vector<int64_t> waits(sizes.size()), longest(sizes.size());
  uint64_t last_prompt = 0;
  for (int64_t step = 0; step < num_steps; ++step) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (demands[i].tokens > 0) continue;
      demands[i] = {.tokens = sizes[i], .prompt = ++last_prompt};
      waits[i] = 0;
    }
    const auto allocations = scheduler.Allocate(demands, rows);
    for (size_t i = 0; i < sizes.size(); ++i) {
      demands[i].tokens -= allocations[i];
      longest[i] = std::max(longest[i], ++waits[i]);
    }
  }
  return longest;
}

// Short prompts could use all rows: each time one is prefilled, another comes.
TEST(PromptScheduleTest, NoClientWaitsMoreThanTwiceItsFairShare) {
  constexpr int64_t kRows = 16;
  const std::vector<int64_t> mixes[] = {
      {1000, 1000, 500, 10},
      {2000, 2000, 2000, 16, 16},
      {2000, 2000, 2000, 2000, 2000, 2000, 2000, 16},
      {6000, 6000, 500, 16, 16},
      {2000, 200, 200, 200, 16, 16, 16, 16},
      {2000, 2000, 300, 300, 300, 64, 64, 64, 64, 64}};
  for (const std::vector<int64_t>& sizes : mixes) {
    const std::vector<int64_t> waits = LongestWaits(sizes, kRows, 20'000);
    for (size_t i = 0; i < sizes.size(); ++i) {
      const auto num_clients = static_cast<int64_t>(sizes.size());
      // Prompts that are behind get their half in turn.
      EXPECT_LE(waits[i], 2 * sizes[i] * num_clients / kRows + num_clients)
          << sizes[i] << " of " << num_clients;
    }
  }
}

TEST(PromptScheduleTest, OrderOfOneFlowDoesNotDelayAnother) {
  const char flows[2] = {};
  std::vector<Arrival> arrivals = {{0, 800, &flows[0]}};
  for (int64_t i = 0; i < 100; ++i) arrivals.push_back({i, 16, &flows[1]});
  // It has at least half of the rows.
  EXPECT_LE(WithScheduler(arrivals, 16)[0], 100);
}

TEST(PromptScheduleTest, SameArrivalsHaveTheSameSchedule) {
  std::mt19937 random(5);
  std::vector<Arrival> arrivals;
  for (int64_t i = 0; i < 100; ++i) {
    arrivals.push_back({i * 3, static_cast<int64_t>(1 + random() % 100)});
  }
  EXPECT_EQ(WithScheduler(arrivals, 16), WithScheduler(arrivals, 16));
}

}  // namespace
}  // namespace rwkvd
