// SPDX-License-Identifier: Apache-2.0
#include "service/auth/auth_collector.h"

#include <cstdint>
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

}  // namespace

std::vector<MetricFamily> AuthCollector::Collect() const {
  const IdentitySource* const source = authorizer_->source();
  if (source == nullptr) return {};
  const IdentitySource::Figures figures = source->figures();
  std::vector<MetricFamily> families;
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
