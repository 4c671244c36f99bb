// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/bench/bench_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/grpc_status.h"
#include "nlohmann/json.hpp"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;
using Json = nlohmann::ordered_json;

double PerSecond(int64_t count, const BenchResult& result) {
  return result.seconds > 0 ? static_cast<double>(count) / result.seconds : 0;
}

double Ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::string Loop(const BenchOptions& options) {
  if (!options.is_open()) {
    return absl::StrFormat("closed loop, concurrency %d", options.concurrency);
  }
  return absl::StrFormat(
      "open loop, %g requests/s arriving, at most %d running", options.rate,
      options.concurrency);
}

std::string Row(const char* what, const Percentiles& seconds) {
  if (seconds.count() == 0) return absl::StrFormat("%-28s  (none)\n", what);
  return absl::StrFormat(
      "%-28s %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n", what,
      1e3 * seconds.Quantile(0.5), 1e3 * seconds.Quantile(0.9),
      1e3 * seconds.Quantile(0.95), 1e3 * seconds.Quantile(0.99),
      1e3 * seconds.max(), 1e3 * seconds.mean());
}

std::string Table(const BenchOptions& options, const Measurements& seen) {
  std::string text =
      absl::StrFormat("\n%-28s %9s %9s %9s %9s %9s %9s\n", "milliseconds",
                      "p50", "p90", "p95", "p99", "max", "mean");
  absl::StrAppend(&text, Row("time to first token", seen.first_token()),
                  Row("between messages with tokens", seen.between_messages()),
                  Row("per token after the first", seen.per_token()),
                  Row("whole request", seen.request()));
  if (options.is_open()) {
    absl::StrAppend(&text, Row("delay of sending", seen.start_delay()));
  }
  return text;
}

std::string FailureLines(const Measurements& seen) {
  std::string text;
  for (const auto& [code, failures] : seen.failures()) {
    absl::StrAppendFormat(&text, "%s: %d; first message: %s\n", NameOf(code),
                          failures.count, failures.example);
  }
  return text;
}

Json ToJson(const Percentiles& seconds) {
  return {{"count", seconds.count()},      {"mean", seconds.mean()},
          {"min", seconds.min()},          {"p50", seconds.Quantile(0.5)},
          {"p90", seconds.Quantile(0.9)},  {"p95", seconds.Quantile(0.95)},
          {"p99", seconds.Quantile(0.99)}, {"max", seconds.max()}};
}

Json ToJson(const BenchOptions& options) {
  return {{"loop", options.is_open() ? "open" : "closed"},
          {"concurrency", options.concurrency},
          {"connections", options.connections},
          {"rate", options.rate},
          {"requests", options.requests},
          {"duration_seconds", absl::ToDoubleSeconds(options.duration)},
          {"timeout_seconds", absl::ToDoubleSeconds(options.timeout)},
          {"prompt_tokens", AbslUnparseFlag(options.prompt_tokens)},
          {"output_tokens", AbslUnparseFlag(options.output_tokens)},
          {"workload_seed", options.workload_seed}};
}

Json FailuresToJson(const Measurements& seen) {
  Json failures = Json::object();
  for (const auto& [code, some] : seen.failures()) {
    failures[NameOf(code)] = {{"count", some.count}, {"example", some.example}};
  }
  return failures;
}

}  // namespace

std::string TextReport(const BenchOptions& options,
                       const v1::GetModelResponse& model,
                       const BenchResult& result) {
  const Measurements& seen = result.measurements;
  return absl::StrCat(
      absl::StrFormat("%s: %s, %s, %s, %d threads\n", model.name(),
                      model.architecture(), model.weight_type(), model.isa(),
                      model.num_threads()),
      absl::StrFormat("%s; prompts of %s tokens, answers of at most %s; seed "
                      "%d\n\n",
                      Loop(options), AbslUnparseFlag(options.prompt_tokens),
                      AbslUnparseFlag(options.output_tokens),
                      options.workload_seed),
      absl::StrFormat("%d requests in %.2f s: %d succeeded, %d failed, %d cut "
                      "short at the end\n",
                      seen.requests(), result.seconds, seen.succeeded(),
                      seen.failed(), seen.cut_short()),
      FailureLines(seen),
      absl::StrFormat("%.2f requests/s, %.1f tokens/s generated, %.1f tokens/s "
                      "of prompts (%.1f %% cached), %.2f tokens/message\n",
                      PerSecond(seen.succeeded(), result),
                      PerSecond(seen.tokens(), result),
                      PerSecond(seen.prompt_tokens(), result),
                      100 * Ratio(seen.cached_tokens(), seen.prompt_tokens()),
                      Ratio(seen.tokens(), seen.messages())),
      Table(options, seen));
}

std::string JsonReport(const BenchOptions& options,
                       const v1::GetModelResponse& model,
                       const BenchResult& result) {
  const Measurements& seen = result.measurements;
  const Json report = {
      {"model",
       {{"name", model.name()},
        {"architecture", model.architecture()},
        {"weight_type", model.weight_type()},
        {"isa", model.isa()},
        {"num_threads", model.num_threads()},
        {"build", model.build()}}},
      {"options", ToJson(options)},
      {"seconds", result.seconds},
      {"requests",
       {{"total", seen.requests()},
        {"succeeded", seen.succeeded()},
        {"failed", seen.failed()},
        {"cut_short", seen.cut_short()}}},
      {"failures", FailuresToJson(seen)},
      {"tokens",
       {{"prompt", seen.prompt_tokens()},
        {"cached", seen.cached_tokens()},
        {"generated", seen.tokens()},
        {"messages", seen.messages()}}},
      {"throughput",
       {{"requests_per_second", PerSecond(seen.succeeded(), result)},
        {"generated_tokens_per_second", PerSecond(seen.tokens(), result)},
        {"prompt_tokens_per_second", PerSecond(seen.prompt_tokens(), result)}}},
      {"latency_seconds",
       {{"time_to_first_token", ToJson(seen.first_token())},
        {"between_messages", ToJson(seen.between_messages())},
        {"per_token", ToJson(seen.per_token())},
        {"request", ToJson(seen.request())},
        {"start_delay", ToJson(seen.start_delay())}}}};
  // Messages of the server may not be valid UTF-8.
  return report.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace rwkvd
