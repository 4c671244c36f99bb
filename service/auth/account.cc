// SPDX-License-Identifier: Apache-2.0
#include "service/auth/account.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"

namespace rwkvd {
namespace {

// A shorter wait is not worth asking for.
constexpr absl::Duration kMinWait = absl::Milliseconds(100);

absl::Status RateExceeded(absl::string_view quota, absl::string_view problem,
                          absl::Duration wait) {
  return WithRetryAfter(
      WithQuota(MakeError(ErrorReason::kQuotaExceeded, problem), quota),
      std::max(wait, kMinWait));
}

std::string UsedUp(absl::string_view quota, int64_t per_minute) {
  return absl::StrCat("this identity has used up its ", quota, "=", per_minute);
}

constexpr absl::string_view kPromptQuota = "prompt_tokens_per_minute";
constexpr absl::string_view kGeneratedQuota = "generated_tokens_per_minute";

}  // namespace

absl::Status Account::CheckGenerated(const Quotas& quotas, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  CollectGenerated(now);
  generated_per_minute_ = quotas.generated_tokens_per_minute;
  generated_.SetRate(generated_per_minute_, now);
  GrantGenerated(now);
  const absl::Duration wait = generated_.WaitFor(1, now);
  if (wait <= absl::ZeroDuration()) return absl::OkStatus();
  return RateExceeded(kGeneratedQuota,
                      UsedUp(kGeneratedQuota, generated_per_minute_), wait);
}

absl::Status Account::TakePrompt(int64_t tokens, const Quotas& quotas,
                                 absl::Time now) {
  const int64_t per_minute = quotas.prompt_tokens_per_minute;
  absl::MutexLock lock(&mutex_);
  prompt_.SetRate(per_minute, now);
  const absl::Duration wait = prompt_.WaitFor(tokens, now);
  if (wait > absl::ZeroDuration()) {
    return RateExceeded(kPromptQuota, UsedUp(kPromptQuota, per_minute), wait);
  }
  prompt_.Take(tokens, now);
  return absl::OkStatus();
}

void Account::ReturnPrompt(int64_t tokens, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  prompt_.Return(tokens, now);
}

absl::Status Account::CheckDebt(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  CollectGenerated(now);
  GrantGenerated(now);
  if (generated_granted_ > 0) return absl::OkStatus();
  return RateExceeded(
      kGeneratedQuota,
      absl::StrCat("the call ends early: this identity has generated a "
                   "minute's worth more than its ",
                   kGeneratedQuota, "=", generated_per_minute_),
      generated_.WaitFor(1, now));
}

void Account::CollectGenerated(absl::Time now) {
  const int64_t left = generated_left_.exchange(0, std::memory_order_relaxed);
  generated_.Take(generated_granted_ - left, now);
  generated_granted_ = 0;
}

void Account::GrantGenerated(absl::Time now) {
  generated_granted_ = generated_.LeftUntilMaxDebt(now);
  // Other threads may have taken some meanwhile.
  generated_left_.fetch_add(generated_granted_, std::memory_order_relaxed);
}

void Account::SetByteLimits(const Quotas& quotas, int64_t all_messages,
                            int64_t all_unread) {
  message_bytes_.SetLimit(quotas.MessageBytesOf(all_messages));
  unread_bytes_.SetLimit(quotas.unread_bytes.Of(all_unread));
}

void Account::AddCall(const Usage& call) {
  absl::MutexLock lock(&mutex_);
  usage_.calls += call.calls;
  usage_.refused += call.refused;
  usage_.prompt_tokens += call.prompt_tokens;
  usage_.cached_tokens += call.cached_tokens;
  usage_.generated_tokens += call.generated_tokens;
}

Account::Usage Account::usage() const {
  absl::MutexLock lock(&mutex_);
  return usage_;
}

void Accounts::Update(const IdentitySource& source) {
  // Under the lock, so that an older table never replaces a newer one.
  std::shared_ptr<const IdentityTable> table = source.table();
  if (table == table_) return;
  std::map<std::string, std::shared_ptr<Account>> kept;
  for (const auto& identity : table->identities()) {
    const auto old = accounts_.find(identity->name);
    kept[identity->name] = old == accounts_.end() ? std::make_shared<Account>()
                                                  : std::move(old->second);
  }
  accounts_ = std::move(kept);
  table_ = std::move(table);
}

std::shared_ptr<Account> Accounts::Get(const std::string& name,
                                       const IdentitySource& source) {
  absl::MutexLock lock(&mutex_);
  Update(source);
  const auto found = accounts_.find(name);
  return found == accounts_.end() ? std::make_shared<Account>() : found->second;
}

std::vector<std::pair<std::string, Account::Usage>> Accounts::Usages(
    const IdentitySource& source) {
  std::vector<std::pair<std::string, Account::Usage>> usages;
  absl::MutexLock lock(&mutex_);
  Update(source);
  for (const auto& [name, account] : accounts_) {
    usages.emplace_back(name, account->usage());
  }
  return usages;
}

}  // namespace rwkvd
