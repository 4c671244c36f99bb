// SPDX-License-Identifier: Apache-2.0
// rwkvd serves an RWKV language model over gRPC.

#include <signal.h>
#include <sys/resource.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "cli/failure_handlers.h"
#include "cli/signal_watcher.h"
#include "cli/standard_descriptors.h"
#include "cli/version.h"
#include "core/base/exceptions.h"
#include "core/base/free_memory.h"
#include "core/base/mapping_faults.h"
#include "core/base/quote.h"
#include "service/build_info.h"
#include "service/grpc_settings.h"
#include "service/log.h"
#include "service/options/options.h"
#include "service/served_model.h"
#include "service/server.h"

namespace rwkvd {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "rwkvd: %s\n", OneLine(status.message()).c_str());
  return 1;
}

// How long the end of the process waits for the reader of the log.
constexpr absl::Duration kLogGrace = absl::Seconds(2);

// gRPC aborts the process if it gets no descriptor while it starts.
constexpr rlim_t kMinDescriptors = 64;

absl::Status CheckDescriptors() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max >= kMinDescriptors) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the limit of open files is ", limit.rlim_max,
                   ", expected at least ", kMinDescriptors));
}

// gRPC waits forever for a thread that it could not start.
constexpr size_t kMinThreads = 12;

// Tries to run that many threads at the same time.
absl::Status CheckThreads() {
  absl::Notification end;
  std::vector<std::thread> threads;
  threads.reserve(kMinThreads);
  const absl::Status status = CatchExceptions([&] {
    while (threads.size() < kMinThreads) {
      threads.emplace_back([&end] { end.WaitForNotification(); });
    }
    return absl::OkStatus();
  });
  end.Notify();
  for (std::thread& thread : threads) thread.join();
  return status;
}

void OnSignal(int signal, Server& server) {
  switch (signal) {
    case SIGHUP:
      server.Reload();
      return LogInfo(
          "SIGHUP: reading the files of TLS and tokens, opening --usage_log "
          "again; restart to change flags");
    case SIGQUIT:
      return server.DrainAtOnce();
    default:
      return server.Drain();
  }
}

int Serve(const Options& options) {
  const absl::Status descriptors = CheckDescriptors();
  if (!descriptors.ok()) return Fail(descriptors);
  // Before any thread starts.
  SignalWatcher signals({SIGTERM, SIGINT, SIGQUIT, SIGHUP});
  const absl::Status threads = CheckThreads();
  if (!threads.ok()) return Fail(threads);
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(options, [&options](LoadProgress& progress) {
        return LoadServedModel(options, progress);
      });
  if (!server.ok()) return Fail(server.status());
  signals.Start([&server](int signal) { OnSignal(signal, **server); });
  const absl::Status status = (*server)->Wait();
  signals.Stop();  // before the server is destroyed
  if (!status.ok()) return Fail(status);
  // The process was asked to end while it loads the model. Loading cannot be
  // interrupted, and no client is served, so it exits without waiting.
  if ((*server)->loading()) {
    FlushLog(kLogGrace);
    std::_Exit(0);
  }
  return 0;
}

int Main(const std::vector<std::string>& args) {
  const absl::StatusOr<Options> options = ParseOptions(args);
  if (!options.ok()) return Fail(options.status());
  if (options->help) {
    std::fputs(OptionsHelp().c_str(), stdout);
    return 0;
  }
  if (options->version) {
    std::fputs(BuildInfo().c_str(), stdout);
    return 0;
  }
  InitLog(options->log_level, options->log_format);
  LogInfo(absl::StrCat("rwkvd ", kVersion));
  for (const std::string& line : OptionsInForce()) {
    LogInfo(absl::StrCat("option ", line));
  }
  const int code = Serve(*options);
  FlushLog(kLogGrace);
  return code;
}

}  // namespace
}  // namespace rwkvd

int main(int argc, char** argv) {
  rwkvd::OccupyStandardDescriptors();
  rwkvd::ShareOneHeap();
  rwkvd::InstallFailureHandlers("rwkvd", argv[0]);
  rwkvd::InstallMappingFaultHandler(rwkvd::FaultAction::kReplaceByZeros);
  rwkvd::IgnoreNeedlessSignals();
  rwkvd::PrepareGrpc();
  try {
    return rwkvd::Main({argv + 1, argv + argc});
  } catch (...) {
    return rwkvd::Fail(rwkvd::StatusOfException());
  }
}
