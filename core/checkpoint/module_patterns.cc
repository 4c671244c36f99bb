// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/module_patterns.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/quote.h"

namespace rwkvd {
namespace {

constexpr size_t kMaxEntries = 4096;
constexpr size_t kMaxExpressionBytes = 512;
// Steps and memory of one match. Names are short, and so are expressions.
constexpr uint32_t kMatchLimit = 10'000;
constexpr uint32_t kHeapLimitKib = 256;

}  // namespace

// A compiled expression.
struct ModulePatterns::Expression {
  pcre2_code* code = nullptr;
  pcre2_match_context* limits = nullptr;

  Expression() : limits(pcre2_match_context_create(nullptr)) {
    RWKVD_CHECK(limits != nullptr);
    pcre2_set_match_limit(limits, kMatchLimit);
    pcre2_set_heap_limit(limits, kHeapLimitKib);
  }
  ~Expression() {
    pcre2_match_context_free(limits);
    pcre2_code_free(code);
  }
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;
};

absl::Status ModulePatterns::Add(absl::string_view expression, double number) {
  if (entries_.size() == kMaxEntries) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected at most ", kMaxEntries, " patterns"));
  }
  if (expression.size() > kMaxExpressionBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("pattern ", Quoted(expression), ": expected at most ",
                     kMaxExpressionBytes, " bytes, got ", expression.size()));
  }
  const std::string whole = absl::StrCat("(?:.*\\.)?(?:", expression, ")$");
  auto compiled = std::make_shared<Expression>();
  int error = 0;
  size_t error_offset = 0;
  compiled->code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(whole.data()), whole.size(),
      PCRE2_ANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &error,
      &error_offset, nullptr);
  if (compiled->code == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("pattern ", Quoted(expression),
                     ": expected a regular expression that PCRE2 supports"));
  }
  entries_.push_back({std::string(expression), std::move(compiled), number});
  return absl::OkStatus();
}

absl::StatusOr<std::optional<double>> ModulePatterns::Find(
    absl::string_view module) const {
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  RWKVD_CHECK(match != nullptr);
  for (const Entry& entry : entries_) {
    const int result = pcre2_match(
        entry.compiled->code, reinterpret_cast<PCRE2_SPTR>(module.data()),
        module.size(), 0, 0, match.get(), entry.compiled->limits);
    if (result >= 0) return entry.number;
    if (result == PCRE2_ERROR_NOMATCH) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "pattern ", Quoted(entry.text), ": takes too many steps to match"));
  }
  return std::nullopt;
}

}  // namespace rwkvd
