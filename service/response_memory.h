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

// The bytes that the responses of one call take in the budget of all calls.
//
// Shared by the call and by the bytes that gRPC still writes for it. The latter
// may live longer than the server, so the account shares the budget too.
// Thread-safe.
class ResponseAccount {
 public:
  explicit ResponseAccount(std::shared_ptr<ByteBudget> budget)
      : budget_(std::move(budget)) {}

  int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  const ByteBudget& budget() const { return *budget_; }

 private:
  friend class ResponseCharge;

  const std::shared_ptr<ByteBudget> budget_;
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

  // Nothing if the budget has fewer than `bytes` (>= 0) left.
  static std::optional<ResponseCharge> Take(
      std::shared_ptr<ResponseAccount> account, int64_t bytes) {
    auto reservation = account->budget_->Reserve(bytes);
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

  // In this order: the reservation is returned to a budget that the account
  // shares.
  std::shared_ptr<ResponseAccount> account_;
  ByteBudget::Reservation reservation_;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_RESPONSE_MEMORY_H_
