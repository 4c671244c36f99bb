// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sequence/score_sequence.h"

#include <algorithm>
#include <utility>

#include "core/sampling/logits.h"

namespace rwkvd {
namespace {

// The length of the longest common prefix of `a` and `b`.
size_t SharedSize(absl::Span<const int32_t> a, absl::Span<const int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
         a.begin();
}

size_t TokensOfTexts(const std::vector<ScoreItem>& items) {
  size_t tokens = 0;
  for (const ScoreItem& item : items) {
    tokens += item.context.size();
    for (const auto& continuation : item.continuations) {
      tokens += continuation.size();
    }
  }
  return tokens;
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

// The longest common prefix of all contexts, with their start tokens.
std::vector<int32_t> SharedContext(const std::vector<ScoreItem>& items) {
  std::vector<int32_t> shared = OrStartToken(items[0].context);
  for (const ScoreItem& item : items) {
    const std::vector<int32_t> start = OrStartToken({});
    shared.resize(
        SharedSize(shared, item.context.empty() ? start : item.context));
  }
  return shared;
}

SequenceParams ParamsOf(Sequence::Id id, const ScoreRequest& request,
                        EngineCounters* counters) {
  SequenceParams params;
  params.id = id;
  params.prompt = SharedContext(request.items);
  params.usage_prompt_tokens = TokensOfContexts(request.items);
  params.start = {.initial_state = request.initial_state,
                  .state = request.start};
  params.cache = {
      .enabled = request.use_state_cache && request.start == nullptr,
      .start = PrefixStart(request.initial_state, request.cache_partition)};
  params.received = request.received;
  params.deadline = request.deadline;
  params.continues = request.continues;
  params.counters = counters;
  return params;
}

}  // namespace

ScoreSequence::ScoreSequence(Id id, ScoreRequest request, ScoreSink* sink,
                             EngineCounters* counters)
    : Sequence(ParamsOf(id, request, counters)),
      sink_(sink),
      context_tokens_(TokensOfContexts(request.items)),
      items_(WithStartTokens(std::move(request.items))),
      tree_(TokensOfTexts(items_)) {
  lanes_.reserve(kMaxLanes);
  BuildTree();
}

void ScoreSequence::BuildTree() {
  const size_t shared = prompt().size();
  for (size_t i = 0; i < items_.size(); ++i) {
    const ScoreItem& item = items_[i];
    const auto rest = absl::MakeConstSpan(item.context).subspan(shared);
    const size_t before = tree_.num_tokens();
    const ScoreTree::Position end = tree_.Insert({}, rest, /*wanted=*/false);
    const size_t num_new = tree_.num_tokens() - before;
    shared_tokens_ += static_cast<int64_t>(rest.size() - num_new);
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
  tree_tokens_left_ = NumTreeTokens();
}

void ScoreSequence::SendFinish(FinishEvent event) {
  // Shared tokens add to those from the state cache. A start token belongs to
  // no context and is not counted.
  event.usage.cached_tokens =
      std::min(event.usage.cached_tokens + shared_tokens_, context_tokens_);
  sink_->OnFinish(event);
}

int64_t ScoreSequence::NumRequiredTokens() const {
  return Sequence::NumRequiredTokens() + tree_tokens_left_;
}

int64_t ScoreSequence::NumTreeTokens() const {
  size_t tokens = 0;
  for (size_t i = 0; i < tree_.num_nodes(); ++i) {
    tokens += tree_.NumTokensToProcess(static_cast<int32_t>(i));
  }
  return static_cast<int64_t>(tokens);
}

int64_t ScoreSequence::NumBranchStates() const {
  return std::max(tree_.node(ScoreTree::kRoot).num_states - 1, 0);
}

StepDemand ScoreSequence::NextDemand() const {
  if (!started_) return Sequence::NextDemand();
  size_t tokens = 0;
  size_t unscored = 0;
  for (const Lane& lane : lanes_) {
    tokens += lane.NumLeft();
    unscored += lane.NumUnscored();
  }
  return {.tokens = static_cast<int64_t>(tokens),
          .logits_rows = static_cast<int64_t>(tokens - unscored),
          .prompt = prompt_id(),
          .remaining = NumRequiredTokens()};
}

void ScoreSequence::Plan(int64_t num_tokens, LogitsBuffer* buffer,
                         std::vector<Chunk>* chunks) {
  if (!started_) return Sequence::Plan(num_tokens, buffer, chunks);
  DropLogits();
  tree_tokens_left_ -= num_tokens;
  // Tokens without logits come first, as NextDemand promised.
  size_t left = num_tokens;
  std::vector<size_t> allocations(lanes_.size());
  for (size_t i = 0; i < lanes_.size(); ++i) {
    allocations[i] = std::min(left, lanes_[i].NumUnscored());
    left -= allocations[i];
  }
  for (size_t i = 0; i < lanes_.size() && left > 0; ++i) {
    const size_t more = std::min(left, lanes_[i].NumLeft() - allocations[i]);
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
  chunk.tokens =
      tree_.node(lane->node).tokens.subspan(lane->num_processed, num_tokens);
  chunk.state = &lane->state;
  const bool all_wanted = lane->num_processed >= lane->unscored_end;
  for (size_t i = 0; i < num_tokens; ++i) {
    if (!tree_.score(lane->node, lane->num_processed + i).wanted) {
      counters().prompt_tokens.Add(1);
    }
  }
  lane->num_processed += num_tokens;
  size_t num_rows = 0;
  if (all_wanted) {
    chunk.wanted = LogitsWanted::kAll;
    num_rows = num_tokens;
  } else if (lane->num_processed > lane->unscored_end) {
    chunk.wanted = LogitsWanted::kLast;
    num_rows = 1;
  }
  if (num_rows > 0) chunk.logits = buffer->Take(num_rows);
  for (size_t i = 0; i < num_rows; ++i) {
    rows_.push_back(
        {chunk.logits.subspan(i * buffer->vocab_size(), buffer->vocab_size()),
         lane->node, lane->num_processed - num_rows + i});
  }
  chunks->push_back(chunk);
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
  if (!CheckFinite(row.logits)) return;
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

std::optional<FinishReason> ScoreSequence::SendResults(absl::Time) {
  rows_.clear();
  if (!started_) {
    if (!is_prefilled()) return std::nullopt;
    started_ = true;
    SendSingleTokens(ScoreTree::kRoot, state());
    if (tree_.node(ScoreTree::kRoot).num_states > 0) {
      OpenBranch(ScoreTree::kRoot, TakeState());
    }
  }
  for (Lane& lane : lanes_) {
    const size_t size = tree_.node(lane.node).tokens.size();
    SendEnds(lane.node, std::min(lane.num_processed + 1, size), &lane.num_sent,
             lane.num_processed + 1 == size ? &lane.state : nullptr);
    if (lane.num_processed == tree_.NumTokensToProcess(lane.node)) {
      SendSingleTokens(lane.node, lane.state);
      OpenBranch(lane.node, std::move(lane.state));
      lane.done = true;
    } else if (lane.num_processed == lane.run_end) {
      FindRun(&lane);
    }
  }
  std::erase_if(lanes_, [](const Lane& lane) { return lane.done; });
  OpenLanes();
  ReleaseStates();
  if (!lanes_.empty()) return std::nullopt;
  return FinishReason::kScored;
}

void ScoreSequence::SendSingleTokens(int32_t node, const State& state) {
  for (const int32_t child : tree_.node(node).children) {
    if (tree_.NumTokensToProcess(child) > 0) continue;
    size_t num_sent = 0;
    SendEnds(child, 1, &num_sent, &state);
  }
}

void ScoreSequence::SendEnds(int32_t node, size_t num_scored, size_t* num_sent,
                             const State* state) {
  const std::vector<ScoreTree::End>& ends = tree_.node(node).ends;
  for (; *num_sent < ends.size() && ends[*num_sent].offset <= num_scored;
       ++*num_sent) {
    const ScoreTree::End& end = ends[*num_sent];
    const bool is_last = end.offset == tree_.node(node).tokens.size();
    SendText(texts_[end.text], {node, end.offset}, is_last ? state : nullptr);
  }
}

void ScoreSequence::SendText(const Text& text, ScoreTree::Position end,
                             const State* state) {
  sent_tokens_.clear();
  sent_greedy_.clear();
  ScoreEvent event;
  tree_.VisitText(end, text.size,
                  [&](int32_t id, const ScoreTree::Score& score) {
                    sent_tokens_.push_back({id, score.logprob});
                    sent_greedy_.push_back(score.is_greedy);
                    event.logprob_sum += score.logprob;
                  });
  event.item = text.item;
  event.continuation = text.continuation;
  event.tokens = sent_tokens_;
  event.is_greedy = sent_greedy_;
  event.state = state;
  usage().generated_tokens += static_cast<int64_t>(text.size);
  counters().scored_tokens.Add(static_cast<int64_t>(text.size));
  sink_->OnScore(event);
}

}  // namespace rwkvd
