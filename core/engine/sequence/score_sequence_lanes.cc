// SPDX-License-Identifier: Apache-2.0
// The part of ScoreSequence that decides which nodes of its tree are processed
// at the same time, and that bounds the states that this takes.

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/engine/sequence/score_sequence.h"

namespace rwkvd {
namespace {

// The most states of one request. It needs fewer: see ScoreTree::Node.
constexpr int64_t kMaxStates = 40;

}  // namespace

void ScoreSequence::FindRun(Lane* lane) const {
  const size_t end = tree_.NumTokensToProcess(lane->node);
  const auto is_wanted = [&](size_t offset) {
    return tree_.IsPredictionWanted(lane->node, offset);
  };
  size_t at = lane->num_processed;
  while (at < end && !is_wanted(at)) ++at;
  lane->unscored_end = at;
  if (at > lane->num_processed) {
    at = std::min(at + 1, end);
  } else {
    while (at < end && is_wanted(at)) ++at;
  }
  lane->run_end = at;
}

void ScoreSequence::OpenBranch(int32_t node, State state) {
  Branch branch;
  for (const int32_t child : tree_.node(node).children) {
    if (tree_.NumTokensToProcess(child) > 0) branch.children.push_back(child);
  }
  if (branch.children.empty()) {
    spare_states_.push_back(std::move(state));
    return;
  }
  std::reverse(branch.children.begin(), branch.children.end());
  branch.state = std::move(state);
  branches_.push_back(std::move(branch));
}

void ScoreSequence::OpenLanes() {
  while (!branches_.empty() && lanes_.size() < kMaxLanes && MayOpenLane()) {
    Branch& branch = branches_.back();
    Lane& lane = lanes_.emplace_back();
    lane.node = branch.children.back();
    branch.children.pop_back();
    FindRun(&lane);
    if (branch.children.empty()) {
      lane.state = std::move(branch.state);
      branches_.pop_back();
      continue;
    }
    if (!spare_states_.empty()) {
      lane.state = std::move(spare_states_.back());
      spare_states_.pop_back();
    }
    lane.state = branch.state;
  }
}

bool ScoreSequence::MayOpenLane() {
  // Branches that are finished one by one never need more than NumBranchStates.
  if (lanes_.empty()) return true;
  const std::vector<int32_t>& children = branches_.back().children;
  int32_t most_below = tree_.node(children.back()).num_states;
  for (const Lane& lane : lanes_) {
    most_below = std::max(most_below, tree_.node(lane.node).num_states);
  }
  const auto num_open = static_cast<int64_t>(lanes_.size() + branches_.size());
  // The last child takes the state of its branch.
  const int64_t num_states =
      num_open + (children.size() > 1 ? 1 : 0) + most_below - 1;
  return num_states <= MaxStates() ||
         (num_states <= kMaxStates && branch_states().Grow(num_states - 1));
}

int64_t ScoreSequence::NumStatesToFinish() const {
  int64_t num_states = 0;
  int64_t num_open = 0;
  for (const Branch& branch : branches_) {
    ++num_open;
    // The last child comes first and needs the most states, but takes that of
    // the branch.
    const std::vector<int32_t>& children = branch.children;
    int32_t most_below = tree_.node(children[0]).num_states - 1;
    if (children.size() > 1) {
      most_below = std::max(most_below, tree_.node(children[1]).num_states);
    }
    num_states = std::max(num_states, num_open + most_below);
  }
  num_open += static_cast<int64_t>(lanes_.size());
  for (const Lane& lane : lanes_) {
    num_states =
        std::max(num_states, num_open + tree_.node(lane.node).num_states - 1);
  }
  return num_states;
}

void ScoreSequence::ReleaseStates() {
  const auto num_open = static_cast<int64_t>(lanes_.size() + branches_.size());
  RWKVD_CHECK(num_open <= MaxStates());
  branch_states().Shrink(std::max(NumBranchStates(), NumStatesToFinish() - 1));
  while (!spare_states_.empty() &&
         num_open + static_cast<int64_t>(spare_states_.size()) > MaxStates()) {
    spare_states_.pop_back();
  }
}

}  // namespace rwkvd
