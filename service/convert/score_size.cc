// SPDX-License-Identifier: Apache-2.0
#include "service/convert/score_size.h"

#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "service/convert/response_size.h"

namespace rwkvd {
namespace {

// The largest message that protobuf can serialize.
constexpr int64_t kMostMaxBytes = std::numeric_limits<int32_t>::max();

// Sizes of fields on the wire, with their tag of one byte.
constexpr int64_t kDoubleBytes = 1 + 8;
constexpr int64_t kBoolBytes = 1 + 1;
constexpr int64_t kMaxInt64Bytes = 1 + 10;

// Size of `usage` (three counts) and `times` (four doubles).
constexpr int64_t kFixedBytes =
    (2 + 3 * kMaxInt64Bytes) + (2 + 4 * kDoubleBytes);

// The size of a nested message with `size` bytes of fields.
int64_t NestedBytes(int64_t size) {
  return 1 + VarintBytes(static_cast<uint64_t>(size)) + size;
}

int64_t ContinuationBytes(const std::vector<int32_t>& tokens, bool with_tokens,
                          TokenTexts texts) {
  int64_t bytes = kDoubleBytes + 1 + VarintBytes(tokens.size()) + kBoolBytes;
  if (!with_tokens) return NestedBytes(bytes);
  for (const int32_t id : tokens) {
    bytes += NestedBytes(1 + VarintBytes(static_cast<uint64_t>(id)) +
                         kDoubleBytes + kBoolBytes + texts.WireBytes(id));
  }
  return NestedBytes(bytes);
}

}  // namespace

int64_t MaxScoreResponseBytes(const ScoreRequest& request, bool by_item,
                              bool with_tokens, TokenTexts texts) {
  int64_t bytes = kFixedBytes;
  for (const ScoreItem& item : request.items) {
    int64_t item_bytes = 0;
    for (const std::vector<int32_t>& tokens : item.continuations) {
      item_bytes += ContinuationBytes(tokens, with_tokens, texts);
    }
    bytes += by_item ? NestedBytes(item_bytes) : item_bytes;
  }
  return bytes;
}

absl::Status CheckScoreResponseSize(const ::rwkv::v1::ScoreRequest& proto,
                                    const ScoreRequest& request,
                                    TokenTexts texts) {
  const int64_t limit = proto.has_max_response_bytes()
                            ? proto.max_response_bytes()
                            : kDefaultMaxResponseBytes;
  if (limit < 0 || limit > kMostMaxBytes) {
    return FieldError(
        "max_response_bytes",
        absl::StrCat(limit, " is not in [0, ", kMostMaxBytes, "]"));
  }
  const int64_t bytes = MaxScoreResponseBytes(request, !proto.items().empty(),
                                              !proto.totals_only(), texts);
  if (bytes <= limit) return absl::OkStatus();
  return WithMetadata(
      FieldError(ErrorReason::kResponseTooLarge, "max_response_bytes",
                 absl::StrCat("the answer could have ", bytes,
                              " bytes, more than ", limit,
                              "; totals_only leaves the scores of tokens out, "
                              "ScoreDocument sends them in parts")),
      "response_bytes", absl::StrCat(bytes));
}

}  // namespace rwkvd
