// SPDX-License-Identifier: Apache-2.0
#include "service/convert/score_request.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/status_macros.h"
#include "service/convert/input.h"
#include "service/states/initial_states.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

using Inputs = google::protobuf::RepeatedPtrField<v1::Input>;

// Converts the items of one Score message.
//
// Lives for one conversion; thread-compatible.
class ItemConverter {
 public:
  explicit ItemConverter(const RequestLimits& limits)
      : limits_(limits),
        tokens_left_(std::min(limits.engine.max_score_tokens,
                              limits.engine.max_total_tokens)) {}

  // `prefix` is put before the names of the item's fields in errors.
  absl::StatusOr<ScoreItem> Convert(const v1::Input& context,
                                    const Inputs& continuations,
                                    absl::string_view prefix) {
    RWKVD_RETURN_IF_ERROR(CheckNumber(absl::StrCat(prefix, "continuations"),
                                      continuations.size(), kMaxContinuations));
    const int64_t most = limits_.engine.max_prompt_tokens;
    ScoreItem item;
    // One token less, so that there is one left to score.
    RWKVD_ASSIGN_OR_RETURN(
        item.context,
        Tokens(context, absl::StrCat(prefix, "context"), most - 1));
    const auto context_size = static_cast<int64_t>(item.context.size());
    item.continuations.reserve(static_cast<size_t>(continuations.size()));
    for (const v1::Input& continuation : continuations) {
      RWKVD_ASSIGN_OR_RETURN(
          std::vector<int32_t> tokens,
          Tokens(continuation,
                 absl::StrCat(prefix, "continuations[",
                              item.continuations.size(), "]"),
                 std::max<int64_t>(most - context_size, 0)));
      item.continuations.push_back(std::move(tokens));
    }
    return item;
  }

  // The same error as the engine's, before anything is converted.
  static absl::Status CheckNumber(absl::string_view field, int64_t number,
                                  int64_t most) {
    if (number <= most) return absl::OkStatus();
    return FieldError(
        field, absl::StrCat("has ", number, " entries, must have 1 to ", most));
  }

 private:
  // At most `most` tokens, and no more than are left for all texts together.
  absl::StatusOr<std::vector<int32_t>> Tokens(const v1::Input& input,
                                              absl::string_view field,
                                              int64_t most) {
    TokenLimit limit = {most};
    if (tokens_left_ < most) {
      limit = {tokens_left_, " because of the limit on all texts together"};
    }
    RWKVD_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                           TokensFromProto(input, limits_, field, limit));
    tokens_left_ = std::max<int64_t>(
        tokens_left_ - static_cast<int64_t>(tokens.size()), 0);
    return tokens;
  }

  const RequestLimits& limits_;
  int64_t tokens_left_;
};

absl::StatusOr<std::vector<ScoreItem>> ItemsFromProto(
    const v1::ScoreRequest& proto, const RequestLimits& limits) {
  ItemConverter converter(limits);
  std::vector<ScoreItem> items;
  if (proto.items().empty()) {
    RWKVD_ASSIGN_OR_RETURN(
        ScoreItem item,
        converter.Convert(proto.context(), proto.continuations(), ""));
    items.push_back(std::move(item));
    return items;
  }
  if (proto.has_context() || !proto.continuations().empty()) {
    return FieldError(ErrorReason::kFieldsConflict, "items",
                      "not together with context and continuations");
  }
  RWKVD_RETURN_IF_ERROR(
      ItemConverter::CheckNumber("items", proto.items_size(), kMaxScoreItems));
  for (const v1::ScoreItem& item : proto.items()) {
    const std::string prefix = absl::StrCat("items[", items.size(), "].");
    RWKVD_ASSIGN_OR_RETURN(
        ScoreItem converted,
        converter.Convert(item.context(), item.continuations(), prefix));
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
  RWKVD_ASSIGN_OR_RETURN(request.items, ItemsFromProto(proto, limits));
  return request;
}

absl::Status NameScoreField(const absl::Status& status, bool is_list) {
  return RenameField(status, [&](absl::string_view field) {
    if (!is_list && field == "items") return std::string("continuations");
    if (!is_list) absl::ConsumePrefix(&field, "items[0].");
    // A list of tokens is an Input on the wire, with the tokens in
    // `tokens.ids`.
    const size_t continuation = field.find("continuations[");
    if (continuation != absl::string_view::npos) {
      const size_t end = field.find(']', continuation) + 1;
      if (end == field.size()) return std::string(field);
      return absl::StrCat(field.substr(0, end), ".tokens.ids",
                          field.substr(end));
    }
    return absl::StrReplaceAll(field, {{"context[", "context.tokens.ids["}});
  });
}

absl::StatusOr<std::vector<int32_t>> PartFromProto(
    const v1::Input& part, const RequestLimits& limits) {
  const int64_t most = limits.engine.max_prompt_tokens - 1;
  RWKVD_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                         TokensFromProto(part, limits, "part", {most}));
  if (static_cast<int64_t>(tokens.size()) <= most) return tokens;
  return WithMetadata(
      FieldError(ErrorReason::kTooManyTokens, "part",
                 absl::StrCat("has ", tokens.size(), " tokens, must have 0 to ",
                              most)),
      "limit", absl::StrCat(most));
}

absl::Status NamePartField(const absl::Status& status) {
  return RenameField(status, [](absl::string_view field) {
    if (!absl::ConsumePrefix(&field, "items[0].continuations[0]")) {
      return std::string(field);
    }
    return absl::StrCat(field.empty() ? "part" : "part.tokens.ids", field);
  });
}

}  // namespace rwkvd
