// SPDX-License-Identifier: Apache-2.0
#include "service/auth/auth_collector.h"

#include <cstdint>
#include <string>
#include <utility>

#include "prometheus/metric_type.h"
#include "service/metrics/metric_families.h"

namespace rwkvd {
namespace {

using prometheus::MetricFamily;

MetricFamily ToReloads(const IdentitySource::Figures& figures) {
  MetricFamily reloads = EmptyFamily(
      "rwkv_auth_reloads_total",
      "How often --auth_tokens was read again, by result: ok, or failed (the "
      "last good copy stayed valid).",
      prometheus::MetricType::Counter);
  AddCounter(reloads, "result", "ok", static_cast<uint64_t>(figures.reloads));
  AddCounter(reloads, "result", "failed",
             static_cast<uint64_t>(figures.failures));
  return reloads;
}

MetricFamily ToRefusals(const Authorizer::Refusals& refusals) {
  MetricFamily refused = EmptyFamily(
      "rwkv_auth_refusals_total",
      "Calls that were refused, by reason: missing (no credential), unknown (a "
      "credential that nobody has), role (the identity may not make the call).",
      prometheus::MetricType::Counter);
  const auto add = [&refused](const char* reason, int64_t calls) {
    AddCounter(refused, "reason", reason, static_cast<uint64_t>(calls));
  };
  add("missing", refusals.missing);
  add("unknown", refusals.unknown);
  add("role", refusals.role);
  return refused;
}

// Adds the counters of all identities.
void AddUsages(
    const std::vector<std::pair<std::string, Account::Usage>>& usages,
    std::vector<MetricFamily>& families) {
  const auto add = [&](const char* name, const char* help,
                       int64_t Account::Usage::*value) {
    MetricFamily family =
        EmptyFamily(name, help, prometheus::MetricType::Counter);
    for (const auto& [identity, usage] : usages) {
      AddCounter(family, "identity", identity,
                 static_cast<uint64_t>(usage.*value));
    }
    families.push_back(std::move(family));
  };
  add("rwkv_identity_calls_total", "Calls that have ended, by identity.",
      &Account::Usage::calls);
  add("rwkv_identity_refusals_total",
      "Calls of an identity that were refused: it lacks a role, or a limit was "
      "reached.",
      &Account::Usage::refused);
  add("rwkv_identity_prompt_tokens_total",
      "Tokens of prompts, by identity, with those from the state cache.",
      &Account::Usage::prompt_tokens);
  add("rwkv_identity_cached_tokens_total",
      "Tokens of prompts that the state cache had, by identity.",
      &Account::Usage::cached_tokens);
  add("rwkv_identity_generated_tokens_total",
      "Generated and scored tokens, by identity.",
      &Account::Usage::generated_tokens);
}

}  // namespace

std::vector<MetricFamily> AuthCollector::Collect() const {
  std::vector<MetricFamily> families;
  if (usage_log_ != nullptr) {
    families.push_back(
        ToCounter("rwkv_usage_log_lines_lost_total",
                  "Lines of --usage_log that were dropped, because the disk "
                  "did not keep up, or could not be written.",
                  static_cast<uint64_t>(usage_log_->num_lost())));
  }
  const IdentitySource* const source = authorizer_->source();
  if (source == nullptr) return families;
  AddUsages(authorizer_->Usages(), families);
  const IdentitySource::Figures figures = source->figures();
  families.push_back(ToGauge("rwkv_auth_identities",
                             "Identities in the last good copy of "
                             "--auth_tokens.",
                             static_cast<double>(figures.num_identities)));
  families.push_back(ToGauge("rwkv_auth_file_current",
                             "1 if --auth_tokens was good when it was last "
                             "read, 0 if an earlier copy is in use.",
                             figures.is_current ? 1 : 0));
  families.push_back(ToReloads(figures));
  families.push_back(ToRefusals(authorizer_->refusals()));
  return families;
}

}  // namespace rwkvd
