// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/report.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/grpc_status.h"

namespace rwkvd {

namespace v1 = ::rwkv::v1;

void PrintFailure(const absl::Status& status) {
  absl::FPrintF(stderr, "rwkvctl: %s: %s\n",
                NameOf(static_cast<grpc::StatusCode>(status.code())),
                status.message());
}

void PrintStats(const v1::Finish& finish) {
  const v1::Usage& usage = finish.usage();
  const v1::Times& times = finish.times();
  const double speed = times.decode_seconds() > 0
                           ? static_cast<double>(usage.generated_tokens()) /
                                 times.decode_seconds()
                           : 0;
  absl::FPrintF(
      stderr,
      "%s; prompt %d tokens (%d cached), generated %d (%d guessed); queue %.1f "
      "ms, prefill "
      "%.1f ms, decode %.1f ms (%.1f tokens/s), first token after %.1f ms; "
      "seed %d\n",
      v1::FinishReason_Name(finish.reason()), usage.prompt_tokens(),
      usage.cached_tokens(), usage.generated_tokens(),
      usage.accepted_draft_tokens(), 1e3 * times.queue_seconds(),
      1e3 * times.prefill_seconds(), 1e3 * times.decode_seconds(), speed,
      1e3 * times.time_to_first_token_seconds(), finish.seed());
}

}  // namespace rwkvd
