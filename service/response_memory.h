// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_RESPONSE_MEMORY_H_
#define RWKVD_SERVICE_RESPONSE_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/byte_budget.h"

namespace rwkvd {

// The bytes that the responses of one call take in the budget of all calls, and
// in the share that its identity has of that.
//
// Shared by the call and by the bytes that gRPC still writes for it. The latter
// may live longer than the server, so the account shares both budgets too.
// Thread-safe.
class ResponseAccount {
 public:
  explicit ResponseAccount(std::shared_ptr<ByteBudget> budget,
                           std::shared_ptr<ByteBudget> share = nullptr)
      : budget_(std::move(budget)), share_(std::move(share)) {}

  int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  const ByteBudget& budget() const { return *budget_; }
  // Null if there is no identity.
  const ByteBudget* share() const { return share_.get(); }

 private:
  friend class ResponseCharge;

  const std::shared_ptr<ByteBudget> budget_;
  const std::shared_ptr<ByteBudget> share_;
  std::atomic<int64_t> bytes_{0};  // of all charges to this account
};

// Bytes that are charged to one account. They are reserved before memory is
// allocated for a response; the destructor returns them. A default or
// moved-from charge has none.
//
// Owned by what holds the memory; thread-compatible.
class ResponseCharge {
 public:
  ResponseCharge() = default;
  ResponseCharge(ResponseCharge&&) noexcept = default;
  ResponseCharge& operator=(ResponseCharge&& other) noexcept {
    std::swap(account_, other.account_);
    std::swap(reservation_, other.reservation_);
    return *this;
  }
  ~ResponseCharge() { ShrinkTo(0); }

  // Nothing if the budget or the share has fewer than `bytes` (>= 0) left.
  static std::optional<ResponseCharge> Take(
      std::shared_ptr<ResponseAccount> account, int64_t bytes) {
    auto reservation = account->budget_->Reserve(bytes, account->share_.get());
    if (!reservation.has_value()) return std::nullopt;
    account->bytes_ += bytes;
    return ResponseCharge(std::move(account), *std::move(reservation));
  }

  int64_t bytes() const { return reservation_.bytes(); }

  // Returns all bytes but `bytes`, which is at most bytes().
  void ShrinkTo(int64_t bytes) {
    if (account_ == nullptr) return;
    account_->bytes_ -= reservation_.bytes() - bytes;
    reservation_.Resize(bytes);
  }
  // Takes over the bytes of `other`, a charge to the same account.
  void Absorb(ResponseCharge other) {
    if (account_ == nullptr) {
      *this = std::move(other);
    } else {
      reservation_.Absorb(std::exchange(other.reservation_, {}));
    }
  }
  // Moves `bytes`, at most bytes(), to a charge of their own.
  ResponseCharge Split(int64_t bytes) {
    return ResponseCharge(account_, reservation_.Split(bytes));
  }

 private:
  ResponseCharge(std::shared_ptr<ResponseAccount> account,
                 ByteBudget::Reservation reservation)
      : account_(std::move(account)), reservation_(std::move(reservation)) {}

  // In this order: the reservation is returned to budgets that the account
  // shares.
  std::shared_ptr<ResponseAccount> account_;
  ByteBudget::Reservation reservation_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_RESPONSE_MEMORY_H_
