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

absl::Status RateExceeded(absl::string_view quota, int64_t per_minute,
                          absl::Duration wait) {
  return WithRetryAfter(
      WithQuota(MakeError(ErrorReason::kQuotaExceeded,
                          absl::StrCat("this identity has used up its ", quota,
                                       "=", per_minute)),
                quota),
      std::max(wait, kMinWait));
}

}  // namespace

absl::Status Account::TakePrompt(int64_t tokens, const Quotas& quotas,
                                 absl::Time now) {
  absl::MutexLock lock(&mutex_);
  prompt_.SetRate(quotas.prompt_tokens_per_minute, now);
  generated_.SetRate(quotas.generated_tokens_per_minute, now);
  const absl::Duration generated_wait = generated_.WaitFor(1, now);
  if (generated_wait > absl::ZeroDuration()) {
    return RateExceeded("generated_tokens_per_minute",
                        quotas.generated_tokens_per_minute, generated_wait);
  }
  const absl::Duration prompt_wait = prompt_.WaitFor(tokens, now);
  if (prompt_wait > absl::ZeroDuration()) {
    return RateExceeded("prompt_tokens_per_minute",
                        quotas.prompt_tokens_per_minute, prompt_wait);
  }
  prompt_.Take(tokens, now);
  return absl::OkStatus();
}

void Account::TakeGenerated(int64_t tokens, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  generated_.Take(tokens, now);
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
