// SPDX-License-Identifier: Apache-2.0
#include "service/telemetry/load_report.h"

#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "xds/data/orca/v3/orca_load_report.pb.h"

namespace rwkvd {
namespace {

double Ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0
                    : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

bool WantsLoadReport(const grpc::ServerContextBase& context) {
  const auto [begin, end] =
      context.client_metadata().equal_range(kLoadReportFormatKey);
  for (auto value = begin; value != end; ++value) {
    const absl::string_view format(value->second.data(), value->second.size());
    if (absl::EqualsIgnoreCase(format, kBinaryFormat)) return true;
  }
  return false;
}

std::string LoadReport(const ServerLoad& load, const Usage& usage) {
  const EngineLoad& engine = load.engine;
  xds::data::orca::v3::OrcaLoadReport report;
  report.set_application_utilization(engine.utilization());
  report.set_rps_fractional(engine.requests_per_second);
  auto& utilization = *report.mutable_utilization();
  utilization["slots"] = Ratio(engine.running, engine.slots);
  utilization["queue"] = Ratio(engine.queued, engine.max_queued);
  utilization["tokens"] = Ratio(engine.total_tokens, engine.max_total_tokens);
  auto& metrics = *report.mutable_named_metrics();
  metrics["slots_used"] = static_cast<double>(engine.running);
  metrics["queue_length"] = static_cast<double>(engine.queued);
  metrics["oldest_wait_seconds"] = absl::ToDoubleSeconds(engine.oldest_wait);
  metrics["queued_prompt_tokens"] =
      static_cast<double>(engine.queued_prompt_tokens);
  metrics["generated_tokens_per_second"] = engine.generated_tokens_per_second;
  metrics["prompt_tokens_per_second"] = engine.prompt_tokens_per_second;
  auto& cost = *report.mutable_request_cost();
  cost["prompt_tokens"] = static_cast<double>(usage.prompt_tokens);
  cost["cached_tokens"] = static_cast<double>(usage.cached_tokens);
  cost["generated_tokens"] = static_cast<double>(usage.generated_tokens);
  return report.SerializeAsString();
}

}  // namespace rwkvd
