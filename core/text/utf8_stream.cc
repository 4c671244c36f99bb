// SPDX-License-Identifier: Apache-2.0
#include "core/text/utf8_stream.h"

#include <utility>

#include "core/base/utf8.h"

namespace rwkvd {
namespace {

constexpr char kReplacementCharacter[] = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

std::string Utf8Stream::Append(absl::string_view bytes) {
  std::string joined = std::exchange(pending_, std::string());
  joined.append(bytes.data(), bytes.size());
  std::string text;
  absl::string_view rest = joined;
  while (!rest.empty()) {
    const Utf8Part part = FirstUtf8Part(rest);
    if (part.kind == Utf8Part::Kind::kUnfinished) {
      pending_ = std::string(rest);
      break;
    }
    if (part.kind == Utf8Part::Kind::kCharacter) {
      text.append(rest.data(), part.length);
    } else {
      text += kReplacementCharacter;
    }
    rest.remove_prefix(part.length);
  }
  return text;
}

std::string ToUtf8(absl::string_view bytes) {
  Utf8Stream stream;
  std::string text = stream.Append(bytes);
  text += stream.Finish();
  return text;
}

std::string Utf8Stream::Finish() {
  const std::string unfinished = std::exchange(pending_, std::string());
  return unfinished.empty() ? "" : kReplacementCharacter;
}

}  // namespace rwkvd
