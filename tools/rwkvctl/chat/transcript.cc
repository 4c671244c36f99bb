// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/chat/transcript.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/json.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

constexpr char kFormat[] = "rwkvctl chat 1";

struct NamedThinking {
  absl::string_view name;
  v1::ChatThinking thinking;
};

constexpr NamedThinking kThinking[] = {
    {"default", v1::CHAT_THINKING_UNSPECIFIED},
    {"off", v1::CHAT_THINKING_OFF},
    {"off_short", v1::CHAT_THINKING_OFF_SHORT},
    {"on", v1::CHAT_THINKING_ON},
};

absl::string_view NameOf(v1::ChatThinking thinking) {
  for (const NamedThinking& known : kThinking) {
    if (known.thinking == thinking) return known.name;
  }
  return "default";
}

// Earlier versions had a template for each mode of thinking.
void RenameEarlierTemplates(Transcript* transcript) {
  const bool thinks = transcript->template_name == "think";
  if (!thinks && transcript->template_name != "no-think") return;
  transcript->template_name = "g1";
  transcript->thinking = thinks ? v1::CHAT_THINKING_ON : v1::CHAT_THINKING_OFF;
}

absl::StatusOr<std::string> StringAt(const Json& object, const char* key,
                                     absl::string_view where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": \"", key, "\" is not a string"));
  }
  return found->get<std::string>();
}

absl::StatusOr<Turn> TurnFrom(const Json& json, absl::string_view where) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": not an object"));
  }
  Turn turn;
  RWKVD_ASSIGN_OR_RETURN(turn.user, StringAt(json, "user", where));
  RWKVD_ASSIGN_OR_RETURN(turn.assistant, StringAt(json, "assistant", where));
  return turn;
}

}  // namespace

absl::StatusOr<v1::ChatThinking> ThinkingFromName(absl::string_view name) {
  for (const NamedThinking& known : kThinking) {
    if (known.name == name) return known.thinking;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown mode of thinking ", Quoted(name),
                   "; expected default, off, off_short or on"));
}

std::string ToJson(const Transcript& transcript) {
  nlohmann::ordered_json json = {{"format", kFormat},
                                 {"template", transcript.template_name},
                                 {"thinking", NameOf(transcript.thinking)},
                                 {"system", transcript.system},
                                 {"turns", nlohmann::ordered_json::array()}};
  for (const Turn& turn : transcript.turns) {
    json["turns"].push_back(
        {{"user", turn.user}, {"assistant", turn.assistant}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<Transcript> TranscriptFromJson(absl::string_view text,
                                              absl::string_view what) {
  RWKVD_ASSIGN_OR_RETURN(const Json json, ParseJson(text, what));
  if (!json.is_object() || json.value("format", Json()) != kFormat) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": \"format\" is not \"", kFormat, "\""));
  }
  Transcript transcript;
  RWKVD_ASSIGN_OR_RETURN(transcript.template_name,
                         StringAt(json, "template", what));
  if (json.contains("thinking")) {
    RWKVD_ASSIGN_OR_RETURN(const std::string name,
                           StringAt(json, "thinking", what));
    RWKVD_ASSIGN_OR_RETURN(transcript.thinking, ThinkingFromName(name));
  }
  RenameEarlierTemplates(&transcript);
  RWKVD_ASSIGN_OR_RETURN(transcript.system, StringAt(json, "system", what));
  const Json turns = json.value("turns", Json());
  if (!turns.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": \"turns\" is not an array"));
  }
  for (size_t i = 0; i < turns.size(); ++i) {
    RWKVD_ASSIGN_OR_RETURN(
        Turn turn, TurnFrom(turns[i], absl::StrCat(what, ": turns[", i, "]")));
    transcript.turns.push_back(std::move(turn));
  }
  return transcript;
}

}  // namespace rwkvd
