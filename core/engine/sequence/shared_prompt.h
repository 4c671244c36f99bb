// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SEQUENCE_SHARED_PROMPT_H_
#define RWKVD_CORE_ENGINE_SEQUENCE_SHARED_PROMPT_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "core/engine/branch_states.h"
#include "core/engine/cache/state_cache.h"

namespace rwkvd {

class Sequence;

// The prompt that the samples of one request share. One of the admitted
// samples, the leader, prefills it; the others wait and continue from its
// result. If there is no room for the result, one of the others becomes the
// leader and prefills the prompt again.
//
// Owned by these samples, each until it has the result. Engine thread only.
class SharedPrompt {
 public:
  // `id` is the id of the first of the samples.
  explicit SharedPrompt(uint64_t id) : id_(id) {}

  uint64_t id() const { return id_; }

  // Makes `sample` the leader if there is none. Returns whether that was so.
  bool Claim(const Sequence* sample) {
    if (leader_ != nullptr) return false;
    leader_ = sample;
    return true;
  }
  // Leaves the prompt without a leader.
  void Release() { leader_ = nullptr; }
  bool IsLedBy(const Sequence* sample) const { return leader_ == sample; }

  // The result of prefilling the whole prompt; null until then.
  const std::shared_ptr<const KnownPrefix>& result() const { return result_; }
  void SetResult(std::shared_ptr<const KnownPrefix> result,
                 BranchStates::Lease room) {
    result_ = std::move(result);
    room_ = std::move(room);
  }

  // Whether `sample` must wait for the leader.
  bool MustWait(const Sequence* sample) const {
    return result_ == nullptr && leader_ != sample;
  }

 private:
  const uint64_t id_;
  const Sequence* leader_ = nullptr;
  std::shared_ptr<const KnownPrefix> result_;
  BranchStates::Lease room_;  // for the result
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_SHARED_PROMPT_H_
