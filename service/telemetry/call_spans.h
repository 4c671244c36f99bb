// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_TELEMETRY_CALL_SPANS_H_
#define RWKVD_SERVICE_TELEMETRY_CALL_SPANS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/engine/sink.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"
#include "service/telemetry/request_identity.h"

namespace rwkvd {

namespace otlp = ::opentelemetry::proto::collector::trace::v1;

// How a Generate call is to be answered, as far as traces report it. A value.
struct GenerationSettings {
  int64_t max_tokens = 0;
  int64_t num_samples = 1;
  double temperature = 1;
  double top_p = 1;
  int64_t top_k = 0;
  double presence_penalty = 0;
  double frequency_penalty = 0;
  uint64_t seed = 0;
};

// What is known of a call that has ended. A value; the strings are bounded.
struct CallTrace {
  RequestIdentity identity;
  std::string rpc;        // such as "rwkv.v1.RwkvService/Generate"
  std::string peer;       // see ServerContext::peer
  std::string model;      // empty if none was loaded
  std::string operation;  // of the GenAI conventions; empty: not a model call
  std::string status;     // such as "OK"
  int status_code = 0;
  absl::Time received;  // by the clock of the system
  absl::Duration took;  // until the end
  // When the first message of the response, or the status, was passed to gRPC;
  // since `received`.
  std::optional<absl::Duration> first_write;
  std::optional<GenerationSettings> settings;
  // What its requests have used, unless none has ended or they followed one
  // another.
  std::optional<Usage> usage;
  std::optional<Times> times;
  std::vector<std::string> finish_reasons;
};

// The spans of the call: the call itself, and its phases as far as it has
// passed them: queue, prefill, decode, write. Attributes are those of
// OpenTelemetry's conventions for RPCs and for generative models. No span
// contains anything of a prompt or an output.
otlp::ScopeSpans SpansOf(const CallTrace& call);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_TELEMETRY_CALL_SPANS_H_
