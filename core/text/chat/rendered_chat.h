// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_TEXT_CHAT_RENDERED_CHAT_H_
#define RWKVD_CORE_TEXT_CHAT_RENDERED_CHAT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// A part of a prompt. A value.
struct ChatPiece {
  std::string text;
  // Whether the client wrote the text: contents of messages, tools, names and
  // arguments of tool calls. Otherwise it is the template's own text.
  bool is_content = false;
};

// A prompt that a chat template has rendered.
//
// Content cannot forge what only the template may write. Its bytes are never
// escaped: a text such as "\n\nAssistant: yes" is in the prompt as the format
// of the template has it, which is verbatim in most templates, because models
// were trained on that. The protection is in the tokens. In content,
// ForEachText ends a token
//
//   * in the middle of "<|", so that no tokenizer recognizes the text of a
//     special token such as "<|endoftext|>";
//   * after each of the line feeds before a role of the template and a colon,
//     if there are two or more, such as in "\n\nUser:". The model reads single
//     line feeds there, but one token with two line feeds between two turns.
//
// So content has other tokens than the turn or special token that it imitates,
// if the vocabulary has the token "\n\n", as the World vocabulary and that of
// 20B do. A vocabulary of single bytes has not; there, only the templates that
// remove empty lines (ChatTemplate::cleans_text) separate content from turns.
//
// Not covered: texts that merely resemble a turn, such as "\n \nUser:" or
// "\r\n\r\nUser:", whose tokens differ from those of a turn anyway; special
// tokens that are spelled without "<|", unless the tokenizer encodes content as
// plain text (`is_content`). Whether a model that can see the difference acts
// on it depends on its training.
//
// Stop sequences need no protection: they are searched in generated text, never
// in a prompt. A value.
struct RenderedChat {
  std::vector<ChatPiece> pieces;
  // The roles of the template, without colons. Constants.
  absl::Span<const absl::string_view> roles;
  // The length of the prefix of Text() that the prompts of all longer
  // conversations share: those with the same system messages, tools and
  // options, and more messages. At most Text().size().
  size_t stable_bytes = 0;
  // The part of the answer that the prompt contains already, such as "<think".
  // The model continues it.
  std::string answer_start;

  // The whole prompt.
  std::string Text() const;

  // Calls `encode` with consecutive parts of the prompt. The tokens of the
  // prompt are those of the parts, each encoded alone. Returns the first error
  // of `encode`. A prompt without suspicious content has one part.
  absl::Status ForEachText(
      absl::FunctionRef<absl::Status(absl::string_view)> encode) const;
};

// Finds where tokens must end in a piece of content. Takes O(n) time for a
// whole text. Views its arguments, which must outlive it. Thread-compatible.
class ContentSplitter {
 public:
  ContentSplitter(absl::string_view content,
                  absl::Span<const absl::string_view> roles)
      : content_(content), roles_(roles) {}

  // Returns the next position, or content.size() if there is none.
  size_t Next();

 private:
  const absl::string_view content_;
  const absl::Span<const absl::string_view> roles_;
  size_t position_ = 0;
  size_t run_end_ = 0;  // of the latest line feeds that precede a role
};

// Builds the pieces of a RenderedChat. Thread-compatible.
class ChatWriter {
 public:
  void AddTemplate(absl::string_view text) { Add(text, false); }
  void AddContent(absl::string_view text) { Add(text, true); }

  // Ends the stable prefix here, unless it has ended before.
  void EndStable();

  // Returns the result, without roles and answer_start.
  RenderedChat Take();

 private:
  void Add(absl::string_view text, bool is_content);

  RenderedChat chat_;
  size_t size_ = 0;
  bool stable_ended_ = false;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_TEXT_CHAT_RENDERED_CHAT_H_
