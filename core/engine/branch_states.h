// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_BRANCH_STATES_H_
#define RWKVD_CORE_ENGINE_BRANCH_STATES_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "core/base/check.h"

namespace rwkvd {

// The states that running requests hold in addition to one per slot: those of
// the branches of score requests, and the results of prompts that samples
// share. All requests together hold at most a fixed number.
//
// Owned by the step runner, and outlives all leases. Engine thread only.
class BranchStates {
 public:
  // States that only Take uses, so that a request that cannot run without some
  // gets them soon. No request needs more: a score request of kMaxScoreTexts
  // texts needs at most log2 of that number.
  static constexpr int64_t kReserved = 12;

  // Some of the states. The destructor returns them.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : states_(std::exchange(other.states_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    Lease& operator=(Lease&& other) noexcept {
      std::swap(states_, other.states_);
      std::swap(size_, other.size_);
      return *this;
    }
    ~Lease() {
      if (states_ != nullptr) states_->used_ -= size_;
    }

    int64_t size() const { return size_; }
    // Enlarges the lease to `size`, unless too few states are left.
    bool Grow(int64_t size) {
      if (size <= size_) return true;
      if (states_ == nullptr || !states_->HasSpare(size - size_)) return false;
      states_->used_ += size - size_;
      size_ = size;
      return true;
    }
    // Returns all states but `size`.
    void Shrink(int64_t size) {
      if (size >= size_) return;
      states_->used_ -= size_ - size;
      size_ = size;
    }

   private:
    friend class BranchStates;
    Lease(BranchStates* states, int64_t size) : states_(states), size_(size) {
      states_->used_ += size;
    }

    BranchStates* states_ = nullptr;
    int64_t size_ = 0;
  };

  explicit BranchStates(int64_t limit) : limit_(limit) {}
  BranchStates(const BranchStates&) = delete;
  BranchStates& operator=(const BranchStates&) = delete;
  ~BranchStates() { RWKVD_CHECK(used_ == 0); }

  int64_t used() const { return used_; }
  bool Has(int64_t num) const { return num <= limit_ - used_; }

  // Takes states that a request cannot run without. Requires Has(num).
  Lease Take(int64_t num) {
    RWKVD_CHECK(Has(num));
    return Lease(this, num);
  }
  // Takes states that only save time. Returns nothing if fewer than kReserved
  // would be left.
  std::optional<Lease> TakeSpare(int64_t num) {
    if (!HasSpare(num)) return std::nullopt;
    return Lease(this, num);
  }

 private:
  bool HasSpare(int64_t num) const { return Has(num + kReserved); }

  const int64_t limit_;
  int64_t used_ = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_BRANCH_STATES_H_
