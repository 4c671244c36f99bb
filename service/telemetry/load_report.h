// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_TELEMETRY_LOAD_REPORT_H_
#define RWKVD_SERVICE_TELEMETRY_LOAD_REPORT_H_

#include <grpcpp/server_context.h>

#include <string>

#include "core/engine/sink.h"
#include "service/telemetry/server_load.h"

namespace rwkvd {

// Metadata by which a client asks for a load report with the end of its call,
// and the only value that is supported.
inline constexpr char kLoadReportFormatKey[] = "endpoint-load-metrics-format";
inline constexpr char kBinaryFormat[] = "bin";

// Trailing metadata with a serialized xds.data.orca.v3.OrcaLoadReport.
inline constexpr char kLoadReportKey[] = "endpoint-load-metrics-bin";

// Whether the client asks for a report.
bool WantsLoadReport(const grpc::ServerContextBase& context);

// The report of a server with this load, about a call with this usage.
std::string LoadReport(const ServerLoad& load, const Usage& usage);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_TELEMETRY_LOAD_REPORT_H_
