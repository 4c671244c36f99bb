// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_ACCOUNT_H_
#define RWKVD_SERVICE_AUTH_ACCOUNT_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/byte_budget.h"
#include "service/auth/identity_source.h"
#include "service/auth/quotas.h"
#include "service/auth/token_bucket.h"

namespace rwkvd {

// What one identity has used since the server knows it, what it uses now, and
// the rates that its quotas allow it.
//
// Shared by its calls and Accounts. Thread-safe.
class Account {
 public:
  struct Usage {
    int64_t calls = 0;    // that have ended
    int64_t refused = 0;  // of these, with PERMISSION_DENIED or
                          // RESOURCE_EXHAUSTED
    int64_t prompt_tokens = 0;
    int64_t cached_tokens = 0;  // of the prompts
    int64_t generated_tokens = 0;
  };

  // Times are of MonotonicNow.

  // A call that generates text begins. ResourceExhausted with a RetryAfter if
  // generated tokens have exceeded their quota.
  absl::Status CheckGenerated(const Quotas& quotas, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes the tokens of a prompt from their quota. ResourceExhausted with a
  // RetryAfter if they exceed it.
  absl::Status TakePrompt(int64_t tokens, const Quotas& quotas, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives back the tokens of a prompt that was refused after that.
  void ReturnPrompt(int64_t tokens, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes a token that has been generated. Returns false if CheckDebt is to
  // be called. For each token: neither locks nor reads a clock.
  bool TakeGenerated() {
    return generated_left_.fetch_sub(1, std::memory_order_relaxed) > 1;
  }
  // ResourceExhausted with a RetryAfter if calls have generated so much more
  // than their quota that none may continue: what it allows in a minute. Until
  // then, calls that have begun continue, and later ones wait.
  absl::Status CheckDebt(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // Sets the limits of the shares below, for a server whose calls may take
  // these bytes.
  void SetByteLimits(const Quotas& quotas, int64_t all_messages,
                     int64_t all_unread);
  // The bytes of request messages that are held for its calls, and of responses
  // that its clients have not read: shares of the budgets of all calls.
  ByteBudget& message_bytes() { return message_bytes_; }
  ByteBudget& unread_bytes() { return unread_bytes_; }

  // A call has ended.
  void AddCall(const Usage& call) ABSL_LOCKS_EXCLUDED(mutex_);
  Usage usage() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Takes the generated tokens that have not been taken from the bucket yet.
  void CollectGenerated(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lets TakeGenerated take what may be generated. Follows CollectGenerated.
  void GrantGenerated(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ByteBudget message_bytes_{kNoLimit};
  ByteBudget unread_bytes_{kNoLimit};

  // What is left of generated_granted_. Negative for tokens that were generated
  // without being granted.
  std::atomic<int64_t> generated_left_{0};

  mutable absl::Mutex mutex_;
  TokenBucket prompt_ ABSL_GUARDED_BY(mutex_);
  TokenBucket generated_ ABSL_GUARDED_BY(mutex_);
  int64_t generated_granted_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t generated_per_minute_ ABSL_GUARDED_BY(mutex_) = kNoLimit;
  Usage usage_ ABSL_GUARDED_BY(mutex_);
};

// The accounts of the identities in a table, by name. An account lasts while a
// current table of the source has its identity, so that a new table changes no
// account, and their number is bounded.
//
// Owned by the authorizer. Thread-safe.
class Accounts {
 public:
  // The account of this name. One that is not in the table of `source` is not
  // kept: its identity has just been removed.
  std::shared_ptr<Account> Get(const std::string& name,
                               const IdentitySource& source)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // What each has used, by name.
  std::vector<std::pair<std::string, Account::Usage>> Usages(
      const IdentitySource& source) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Makes the accounts those of the table, if it is a new one.
  void Update(const IdentitySource& source)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  std::shared_ptr<const IdentityTable> table_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<Account>> accounts_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_AUTH_ACCOUNT_H_
