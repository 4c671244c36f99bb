// SPDX-License-Identifier: Apache-2.0
#include "service/convert/score_request.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"
#include "core/engine/field_error.h"
#include "service/convert/input.h"
#include "service/states/initial_states.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// `prefix` is put before the names of the item's fields in errors.
absl::StatusOr<ScoreItem> ItemFromProto(
    const v1::Input& context,
    const google::protobuf::RepeatedPtrField<v1::Input>& continuations,
    const Tokenizer& tokenizer, absl::string_view prefix) {
  ScoreItem item;
  RWKVD_ASSIGN_OR_RETURN(
      item.context,
      TokensFromProto(context, tokenizer, absl::StrCat(prefix, "context")));
  for (const v1::Input& continuation : continuations) {
    const size_t index = item.continuations.size();
    RWKVD_ASSIGN_OR_RETURN(
        std::vector<int32_t> tokens,
        TokensFromProto(continuation, tokenizer,
                        absl::StrCat(prefix, "continuations[", index, "]")));
    item.continuations.push_back(std::move(tokens));
  }
  return item;
}

absl::StatusOr<std::vector<ScoreItem>> ItemsFromProto(
    const v1::ScoreRequest& proto, const Tokenizer& tokenizer) {
  std::vector<ScoreItem> items;
  if (proto.items().empty()) {
    RWKVD_ASSIGN_OR_RETURN(
        ScoreItem item,
        ItemFromProto(proto.context(), proto.continuations(), tokenizer, ""));
    items.push_back(std::move(item));
    return items;
  }
  if (proto.has_context() || !proto.continuations().empty()) {
    return FieldError("items", "not together with context and continuations");
  }
  for (const v1::ScoreItem& item : proto.items()) {
    const std::string prefix = absl::StrCat("items[", items.size(), "].");
    RWKVD_ASSIGN_OR_RETURN(
        ScoreItem converted,
        ItemFromProto(item.context(), item.continuations(), tokenizer, prefix));
    items.push_back(std::move(converted));
  }
  return items;
}

}  // namespace

absl::StatusOr<ScoreRequest> FromProto(const v1::ScoreRequest& proto,
                                       const RequestLimits& limits) {
  ScoreRequest request;
  RWKVD_ASSIGN_OR_RETURN(
      request.initial_state,
      FindInitialState(limits.initial_states, proto.initial_state()));
  RWKVD_ASSIGN_OR_RETURN(request.items,
                         ItemsFromProto(proto, limits.tokenizer));
  return request;
}

absl::Status NameScoreField(const absl::Status& status,
                            const v1::ScoreRequest& proto) {
  return RenameField(status, [&](absl::string_view field) {
    if (proto.items().empty()) absl::ConsumePrefix(&field, "items[0].");
    // A list of tokens is an Input on the wire, with the tokens in `tokens`.
    const size_t continuation = field.find("continuations[");
    if (continuation != absl::string_view::npos) {
      const size_t end = field.find(']', continuation) + 1;
      return absl::StrCat(field.substr(0, end), ".tokens", field.substr(end));
    }
    return absl::StrReplaceAll(field, {{"context[", "context.tokens["}});
  });
}

absl::StatusOr<std::vector<int32_t>> PartFromProto(
    const v1::Input& part, const RequestLimits& limits) {
  RWKVD_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                         TokensFromProto(part, limits.tokenizer, "part"));
  const int64_t most = limits.engine.max_prompt_tokens - 1;
  if (static_cast<int64_t>(tokens.size()) <= most) return tokens;
  return FieldError("part", absl::StrCat("has ", tokens.size(),
                                         " tokens, must have 0 to ", most));
}

absl::Status NamePartField(const absl::Status& status) {
  return RenameField(status, [](absl::string_view field) {
    if (!absl::ConsumePrefix(&field, "items[0].continuations[0]")) {
      return std::string(field);
    }
    return absl::StrCat(field.empty() ? "part" : "part.tokens", field);
  });
}

}  // namespace rwkvd
