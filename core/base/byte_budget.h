// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_BYTE_BUDGET_H_
#define RWKVD_CORE_BASE_BYTE_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

namespace rwkvd {

// A number of bytes that several owners share: each reserves what it is about
// to allocate, and the reservations together never exceed the limit.
//
// Some reservations may have a limit of their own: they are made in a second
// budget, their share, too.
//
// Thread-safe. It outlives its reservations.
class ByteBudget {
 public:
  // Bytes that one owner has reserved, in a budget and, if there is one, in a
  // share. The destructor returns them. A default or moved-from reservation has
  // none. Thread-compatible.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)),
          share_(std::exchange(other.share_, nullptr)),
          bytes_(std::exchange(other.bytes_, 0)) {}
    Reservation& operator=(Reservation&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(share_, other.share_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Reservation() { Resize(0); }

    int64_t bytes() const { return bytes_; }
    // Null if this reservation has no budget, or no share.
    const ByteBudget* budget() const { return budget_; }
    const ByteBudget* share() const { return share_; }

    // Changes the size to `bytes` (>= 0). Returns false, and changes nothing,
    // if the budget or the share has too little left, or this reservation has
    // no budget. A smaller size always succeeds.
    bool Resize(int64_t bytes) {
      if (budget_ == nullptr) return bytes == 0;
      if (!budget_->Add(bytes - bytes_, share_)) return false;
      bytes_ = bytes;
      return true;
    }

    // Takes over the bytes of `other`, a reservation in the same budget and
    // share, or an empty one.
    void Absorb(Reservation other) {
      if (budget_ == nullptr) {
        *this = std::move(other);
      } else {
        bytes_ += std::exchange(other.bytes_, 0);
      }
    }
    // Moves `bytes`, at most bytes(), to a reservation of their own.
    Reservation Split(int64_t bytes) {
      bytes_ -= bytes;
      return Reservation(budget_, share_, bytes);
    }

   private:
    friend class ByteBudget;
    Reservation(ByteBudget* budget, ByteBudget* share, int64_t bytes)
        : budget_(budget), share_(share), bytes_(bytes) {}

    ByteBudget* budget_ = nullptr;
    ByteBudget* share_ = nullptr;
    int64_t bytes_ = 0;
  };

  explicit ByteBudget(int64_t limit) : limit_(limit) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  // Nothing if fewer than `bytes` (>= 0) are left, here or in `share`, unless
  // that is null. `share` outlives the reservation.
  std::optional<Reservation> Reserve(int64_t bytes,
                                     ByteBudget* share = nullptr) {
    if (!Add(bytes, share)) return std::nullopt;
    return Reservation(this, share, bytes);
  }

  int64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  // Sets the limit. If more is in use, nothing can be reserved until it is
  // less.
  void SetLimit(int64_t limit) {
    limit_.store(limit, std::memory_order_relaxed);
  }
  int64_t used() const { return used_.load(std::memory_order_relaxed); }
  // Whether `bytes` more could be reserved now.
  bool HasRoomFor(int64_t bytes) const { return bytes <= limit() - used(); }

 private:
  // Adds to the bytes in use here and in `share`, unless that would exceed a
  // limit.
  bool Add(int64_t bytes, ByteBudget* share) {
    if (share != nullptr && !share->Add(bytes)) return false;
    if (Add(bytes)) return true;
    if (share != nullptr) share->used_.fetch_sub(bytes);
    return false;
  }

  // Adds to the bytes in use unless that would exceed the limit.
  bool Add(int64_t bytes) {
    int64_t used = used_.load(std::memory_order_relaxed);
    do {
      if (bytes > 0 && bytes > limit() - used) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes));
    return true;
  }

  std::atomic<int64_t> limit_;
  std::atomic<int64_t> used_{0};
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_BYTE_BUDGET_H_
