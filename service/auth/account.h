// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_AUTH_ACCOUNT_H_
#define RWKVD_SERVICE_AUTH_ACCOUNT_H_

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
#include "service/auth/identity_source.h"
#include "service/auth/token_bucket.h"

namespace rwkvd {

// What one identity has used since the server knows it, and the rates that its
// quotas allow it.
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

  // Takes the tokens of a prompt from its quota. ResourceExhausted with a
  // RetryAfter if they exceed it, or if generated tokens have exceeded theirs:
  // those are taken when they have been generated. `now` is a time of
  // MonotonicNow.
  absl::Status TakePrompt(int64_t tokens, const Quotas& quotas, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes tokens that have been generated.
  void TakeGenerated(int64_t tokens, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // A call has ended.
  void AddCall(const Usage& call) ABSL_LOCKS_EXCLUDED(mutex_);
  Usage usage() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  TokenBucket prompt_ ABSL_GUARDED_BY(mutex_);
  TokenBucket generated_ ABSL_GUARDED_BY(mutex_);
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
