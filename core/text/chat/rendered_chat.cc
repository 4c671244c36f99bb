// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/rendered_chat.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// Whether `text` starts with a role and a colon.
bool StartsWithRole(absl::string_view text,
                    absl::Span<const absl::string_view> roles) {
  return std::any_of(roles.begin(), roles.end(), [text](auto role) {
    absl::string_view rest = text;
    return absl::ConsumePrefix(&rest, role) && absl::StartsWith(rest, ":");
  });
}

// The end of the line feeds at `begin`.
size_t EndOfLineFeeds(absl::string_view text, size_t begin) {
  return std::min(text.find_first_not_of('\n', begin), text.size());
}

}  // namespace

size_t ContentSplitter::Next() {
  if (position_ + 1 < run_end_) return ++position_;
  for (size_t i = position_; i + 1 < content_.size(); ++i) {
    if (content_[i] == '<' && content_[i + 1] == '|') return position_ = i + 1;
    if (content_[i] != '\n') continue;
    const size_t end = EndOfLineFeeds(content_, i);
    if (end - i > 1 && StartsWithRole(content_.substr(end), roles_)) {
      run_end_ = end;
      return position_ = i + 1;
    }
    i = end - 1;
  }
  return position_ = content_.size();
}

std::string RenderedChat::Text() const {
  std::string text;
  for (const ChatPiece& piece : pieces) text += piece.text;
  return text;
}

absl::Status RenderedChat::ForEachText(
    absl::FunctionRef<absl::Status(absl::string_view)> encode) const {
  std::string part;
  for (const ChatPiece& piece : pieces) {
    const absl::string_view text = piece.text;
    ContentSplitter splitter(text, roles);
    size_t begin = 0;
    size_t end = piece.is_content ? splitter.Next() : text.size();
    for (; end < text.size(); end = splitter.Next()) {
      absl::StrAppend(&part, text.substr(begin, end - begin));
      RWKVD_RETURN_IF_ERROR(encode(part));
      part.clear();
      begin = end;
    }
    absl::StrAppend(&part, text.substr(begin));
  }
  return part.empty() ? absl::OkStatus() : encode(part);
}

void ChatWriter::EndStable() {
  if (stable_ended_) return;
  stable_ended_ = true;
  chat_.stable_bytes = size_;
}

RenderedChat ChatWriter::Take() {
  EndStable();
  return std::move(chat_);
}

void ChatWriter::Add(absl::string_view text, bool is_content) {
  if (text.empty()) return;
  size_ += text.size();
  if (chat_.pieces.empty() || chat_.pieces.back().is_content != is_content) {
    chat_.pieces.push_back({"", is_content});
  }
  absl::StrAppend(&chat_.pieces.back().text, text);
}

}  // namespace rwkvd
