// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CALLS_CALL_ENVIRONMENT_H_
#define RWKVD_SERVICE_CALLS_CALL_ENVIRONMENT_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/retry_after.h"
#include "service/auth/caller.h"
#include "service/auth/usage_log.h"
#include "service/calls/call_monitor.h"
#include "service/calls/stream_slots.h"
#include "service/memory_budgets.h"
#include "service/metrics/metrics.h"
#include "service/served_model.h"
#include "service/telemetry/request_identity.h"
#include "service/telemetry/span_exporter.h"
#include "service/work_pool.h"

namespace rwkvd {

// When a client should retry a call that came while the model was loaded.
inline constexpr absl::Duration kRetryLoadingAfter = absl::Seconds(1);

// The parts of the server that a call uses, all of which outlive the call, the
// call's identity, and who makes it. A value.
struct CallEnvironment {
  const ServedModel* model;  // null while it is being loaded
  Metrics* metrics;
  MemoryBudgets* budgets;
  WorkPool* pool;
  CallMonitor* monitor;
  StreamSlots* transfers;  // of PutState and GetState
  StreamSlots* documents;  // of ScoreDocument
  RequestIdentity identity;
  bool logs_calls = false;         // --access_log
  bool wants_load_report = false;  // the client does
  SpanExporter* spans = nullptr;   // null: no spans are recorded

  UsageLog* usage_log = nullptr;  // null: there is none
  absl::Status access;            // OK if the caller may make the call
  Caller caller;                  // who makes it, if it may

  // Each call begins with this check, before it reads its message. Returns
  // `access` if that is an error, and Unavailable while the model is being
  // loaded.
  absl::Status CheckAllowed() const {
    if (!access.ok()) return access;
    if (model != nullptr) return absl::OkStatus();
    return WithRetryAfter(
        MakeError(ErrorReason::kModelLoading, "the model is being loaded"),
        kRetryLoadingAfter);
  }
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CALLS_CALL_ENVIRONMENT_H_
