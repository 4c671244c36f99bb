// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/score_sequence.h"

#include <algorithm>
#include <utility>

#include "core/sampling/logits.h"

namespace rwkvd {
namespace {

// Nodes read in one step. Each takes a state while it is read; a hundred of the
// largest models' would be gigabytes.
constexpr size_t kMaxLanes = 16;

// Lanes and branches from which on there is one lane only, so that no further
// branch opens beside that one. It may then open one for each halving of the
// texts, since the child with the most of them comes last and takes the state.
constexpr size_t kMaxStates = 32;

// How many tokens `a` and `b` have in common at their beginning.
size_t SharedSize(absl::Span<const int32_t> a, absl::Span<const int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
         a.begin();
}

int64_t TokensOfContexts(const std::vector<ScoreItem>& items) {
  size_t tokens = 0;
  for (const ScoreItem& item : items) tokens += item.context.size();
  return static_cast<int64_t>(tokens);
}

std::vector<ScoreItem> WithStartTokens(std::vector<ScoreItem> items) {
  for (ScoreItem& item : items) {
    item.context = OrStartToken(std::move(item.context));
  }
  return items;
}

// What all contexts, with their start tokens, begin with.
std::vector<int32_t> SharedContext(const std::vector<ScoreItem>& items) {
  std::vector<int32_t> shared = OrStartToken(items[0].context);
  for (const ScoreItem& item : items) {
    const std::vector<int32_t> start = OrStartToken({});
    shared.resize(
        SharedSize(shared, item.context.empty() ? start : item.context));
  }
  return shared;
}

}  // namespace

ScoreSequence::ScoreSequence(Id id, ScoreRequest request, ScoreSink* sink,
                             EngineCounters* counters)
    : Sequence(id, SharedContext(request.items), EmptyPrompt::kNothing,
               request.initial_state,
               request.use_state_cache && request.start == nullptr,
               request.received, counters),
      sink_(sink),
      context_tokens_(TokensOfContexts(request.items)),
      items_(WithStartTokens(std::move(request.items))) {
  EndBy(request.deadline);
  StartFrom(std::move(request.start));
  SetContinues(request.continues);
  usage().prompt_tokens = context_tokens_;
  lanes_.reserve(kMaxLanes);
  BuildTree();
}

void ScoreSequence::BuildTree() {
  const size_t shared = prompt().size();
  for (size_t i = 0; i < items_.size(); ++i) {
    const ScoreItem& item = items_[i];
    const auto rest = absl::MakeConstSpan(item.context).subspan(shared);
    const size_t before = tree_.num_tokens();
    const ScoreTree::Place end = tree_.Insert({}, rest, /*wanted=*/false);
    const size_t laid_down = tree_.num_tokens() - before;
    shared_tokens_ += static_cast<int64_t>(rest.size() - laid_down);
    for (size_t j = 0; j < item.continuations.size(); ++j) {
      const std::vector<int32_t>& continuation = item.continuations[j];
      tree_.AddEnd(tree_.Insert(end, continuation, true),
                   static_cast<int64_t>(texts_.size()));
      texts_.push_back({static_cast<int64_t>(i), static_cast<int64_t>(j),
                        continuation.size()});
    }
  }
  shared_tokens_ += static_cast<int64_t>(shared * (items_.size() - 1));
  tree_.Finish();
}

void ScoreSequence::SendFinish(FinishEvent event) {
  // Shared tokens add to those from the state cache. A start token belongs to
  // no context and is not counted.
  event.usage.cached_tokens =
      std::min(event.usage.cached_tokens + shared_tokens_, context_tokens_);
  sink_->OnFinish(event);
}

int64_t ScoreSequence::TokensNeeded() const {
  size_t tokens = prompt().size();
  for (size_t i = 0; i < tree_.num_nodes(); ++i) {
    tokens += tree_.TokensToRead(static_cast<int32_t>(i));
  }
  return static_cast<int64_t>(tokens);
}

StepDemand ScoreSequence::Next() const {
  if (!started_) return Sequence::Next();
  size_t tokens = 0;
  size_t quiet = 0;
  for (const Lane& lane : lanes_) {
    tokens += lane.run_end - lane.read;
    quiet += std::max(lane.quiet_end, lane.read) - lane.read;
  }
  return {.tokens = static_cast<int64_t>(tokens),
          .logits_rows = static_cast<int64_t>(tokens - quiet)};
}

void ScoreSequence::Plan(int64_t num_tokens, LogitsBuffer* buffer,
                         std::vector<Chunk>* chunks) {
  if (!started_) return Sequence::Plan(num_tokens, buffer, chunks);
  DropLogits();
  // What needs no logits first: so it was demanded.
  size_t left = num_tokens;
  std::vector<size_t> allocations(lanes_.size());
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const Lane& lane = lanes_[i];
    allocations[i] =
        std::min(left, std::max(lane.quiet_end, lane.read) - lane.read);
    left -= allocations[i];
  }
  for (size_t i = 0; i < lanes_.size() && left > 0; ++i) {
    const size_t more =
        std::min(left, lanes_[i].run_end - lanes_[i].read - allocations[i]);
    allocations[i] += more;
    left -= more;
  }
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (allocations[i] > 0)
      PlanLane(&lanes_[i], allocations[i], buffer, chunks);
  }
}

void ScoreSequence::PlanLane(Lane* lane, size_t num_tokens,
                             LogitsBuffer* buffer, std::vector<Chunk>* chunks) {
  Chunk chunk;
  chunk.tokens = tree_.node(lane->node).tokens.subspan(lane->read, num_tokens);
  chunk.state = &lane->state;
  const bool all_wanted = lane->read >= lane->quiet_end;
  for (size_t i = 0; i < num_tokens; ++i) {
    if (!tree_.node(lane->node).scores[lane->read + i].wanted) {
      counters().prompt_tokens.Add(1);
    }
  }
  lane->read += num_tokens;
  size_t num_rows = 0;
  if (all_wanted) {
    chunk.wanted = LogitsWanted::kAll;
    num_rows = num_tokens;
  } else if (lane->read > lane->quiet_end) {
    chunk.wanted = LogitsWanted::kLast;
    num_rows = 1;
  }
  if (num_rows > 0) chunk.logits = buffer->Take(num_rows);
  for (size_t i = 0; i < num_rows; ++i) {
    rows_.push_back(
        {chunk.logits.subspan(i * buffer->vocab_size(), buffer->vocab_size()),
         lane->node, lane->read - num_rows + i});
  }
  chunks->push_back(chunk);
}

void ScoreSequence::FindRun(Lane* lane) const {
  const size_t end = tree_.TokensToRead(lane->node);
  const auto is_wanted = [&](size_t offset) {
    return tree_.IsPredictionWanted(lane->node, offset);
  };
  size_t at = lane->read;
  while (at < end && !is_wanted(at)) ++at;
  lane->quiet_end = at;
  if (at > lane->read) {
    at = std::min(at + 1, end);
  } else {
    while (at < end && is_wanted(at)) ++at;
  }
  lane->run_end = at;
}

int64_t ScoreSequence::NumLogitsTasks() const {
  return started_ ? static_cast<int64_t>(rows_.size())
                  : Sequence::NumLogitsTasks();
}

void ScoreSequence::ProcessLogits(int64_t task) {
  if (started_) {
    ScoreAfter(rows_[task]);
  } else {
    ScoreAfter({logits(), ScoreTree::kRoot, 0});
  }
}

void ScoreSequence::ScoreAfter(const Row& row) {
  const LogSoftmax log_softmax = ComputeLogSoftmax(row.logits);
  const auto score = [&](int32_t node, size_t offset) {
    const int32_t id = tree_.node(node).tokens[offset];
    ScoreTree::Score& score = tree_.score(node, offset);
    score.logprob = LogProbability(row.logits, log_softmax, id);
    score.is_greedy = id == log_softmax.greedy_id;
  };
  const ScoreTree::Node& node = tree_.node(row.node);
  if (row.offset + 1 < node.tokens.size()) {
    score(row.node, row.offset + 1);
  } else {
    for (const int32_t child : node.children) score(child, 0);
  }
}

std::optional<FinishReason> ScoreSequence::Deliver(absl::Time) {
  rows_.clear();
  if (!started_) {
    if (!prompt_is_read()) return std::nullopt;
    started_ = true;
    OpenBranch(ScoreTree::kRoot, state());
  }
  for (Lane& lane : lanes_) {
    const size_t size = tree_.node(lane.node).tokens.size();
    TellEnds(lane.node, std::min(lane.read + 1, size), &lane.told,
             lane.read + 1 == size ? &lane.state : nullptr);
    if (lane.read == tree_.TokensToRead(lane.node)) {
      OpenBranch(lane.node, std::move(lane.state));
      lane.done = true;
    } else if (lane.read == lane.run_end) {
      FindRun(&lane);
    }
  }
  std::erase_if(lanes_, [](const Lane& lane) { return lane.done; });
  OpenLanes();
  if (!lanes_.empty()) return std::nullopt;
  return FinishReason::kScored;
}

void ScoreSequence::OpenBranch(int32_t node, State state) {
  Branch branch;
  for (const int32_t child : tree_.node(node).children) {
    if (tree_.TokensToRead(child) > 0) {
      branch.children.push_back(child);
    } else {
      size_t told = 0;
      TellEnds(child, 1, &told, &state);
    }
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
  while (!branches_.empty() && lanes_.size() < kMaxLanes) {
    const bool is_crowded = lanes_.size() + branches_.size() >= kMaxStates;
    if (is_crowded && !lanes_.empty()) return;
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

void ScoreSequence::TellEnds(int32_t node, size_t num_scored, size_t* told,
                             const State* state) {
  const std::vector<ScoreTree::End>& ends = tree_.node(node).ends;
  for (; *told < ends.size() && ends[*told].offset <= num_scored; ++*told) {
    const ScoreTree::End& end = ends[*told];
    const bool is_last = end.offset == tree_.node(node).tokens.size();
    Tell(texts_[end.text], {node, end.offset}, is_last ? state : nullptr);
  }
}

void ScoreSequence::Tell(const Text& text, ScoreTree::Place end,
                         const State* state) {
  told_tokens_.clear();
  told_greedy_.clear();
  ScoreEvent event;
  tree_.VisitText(end, text.size,
                  [&](int32_t id, const ScoreTree::Score& score) {
                    told_tokens_.push_back({id, score.logprob});
                    told_greedy_.push_back(score.is_greedy);
                    event.logprob_sum += score.logprob;
                  });
  event.item = text.item;
  event.continuation = text.continuation;
  event.tokens = told_tokens_;
  event.is_greedy = told_greedy_;
  event.state = state;
  usage().generated_tokens += static_cast<int64_t>(text.size);
  counters().scored_tokens.Add(static_cast<int64_t>(text.size));
  sink_->OnScore(event);
}

}  // namespace rwkvd
