// SPDX-License-Identifier: Apache-2.0
#include "core/base/failed_download.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kLfsPointer = "version https://git-lfs";
constexpr absl::string_view kUtf8Signature = "\xEF\xBB\xBF";  // U+FEFF

}  // namespace

absl::string_view DescribeFailedDownload(absl::string_view content) {
  absl::ConsumePrefix(&content, kUtf8Signature);
  content = absl::StripLeadingAsciiWhitespace(content);
  if (absl::StartsWith(content, kLfsPointer)) {
    return "a git-lfs pointer, not the file itself; fetch it with git lfs pull";
  }
  if (absl::StartsWithIgnoreCase(content, "<!doctype html") ||
      absl::StartsWithIgnoreCase(content, "<html")) {
    return "a web page; the download may have failed";
  }
  return "";
}

}  // namespace rwkvd
