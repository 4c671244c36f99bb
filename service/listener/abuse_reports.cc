// SPDX-License-Identifier: Apache-2.0
#include "service/listener/abuse_reports.h"

#include "absl/strings/str_cat.h"

namespace rwkvd {
namespace {

const char* DescriptionOf(Http2Abuse abuse) {
  switch (abuse) {
    case Http2Abuse::kNone:
      return "nothing";
    case Http2Abuse::kHeaders:
      return "headers that are too long";
    case Http2Abuse::kNoSettings:
      return "many calls before it acknowledged the settings";
    case Http2Abuse::kResets:
      return "many streams that it opened and reset";
    case Http2Abuse::kControlFrames:
      return "many frames without content";
    case Http2Abuse::kCalls:
      return "more calls than the server has memory for";
    case Http2Abuse::kMessages:
      return "unfinished messages that take too much memory";
  }
  return "";
}

}  // namespace

void AbuseReports::Add(Http2Abuse abuse) {
  counts_[static_cast<size_t>(abuse)].fetch_add(1, std::memory_order_relaxed);
  log_.Warning(absl::StrCat("closed a connection: the client sent ",
                            DescriptionOf(abuse)));
}

}  // namespace rwkvd
