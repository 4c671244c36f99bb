// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pickle_stack.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

absl::Status EmptyStack() {
  return absl::InvalidArgumentError(
      "expected an object on the stack, found none");
}

absl::Status OddDict() {
  return absl::InvalidArgumentError("expected a value for each key of a dict");
}

}  // namespace

PickleObject* PickleStack::Push(PickleObject::Kind kind) {
  stack_.push_back(&objects_.emplace_back());
  stack_.back()->kind = kind;
  return stack_.back();
}

absl::StatusOr<PickleObject*> PickleStack::Top() const {
  if (Available() == 0) return EmptyStack();
  return stack_.back();
}

absl::StatusOr<PickleObject*> PickleStack::Pop() {
  RWKVD_ASSIGN_OR_RETURN(PickleObject* const object, Top());
  stack_.pop_back();
  return object;
}

absl::StatusOr<PickleStack::Items> PickleStack::PopItems(size_t num) {
  if (num == kToMark) {
    if (marks_.empty()) {
      return absl::InvalidArgumentError(
          "expected a mark on the stack, found none");
    }
    num = Available();
    marks_.pop_back();
  } else if (num > Available()) {
    return EmptyStack();
  }
  const auto begin = stack_.end() - static_cast<ptrdiff_t>(num);
  Items items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  return items;
}

absl::Status PickleStack::PushContainer(PickleObject::Kind kind, size_t num) {
  RWKVD_ASSIGN_OR_RETURN(Items items, PopItems(num));
  if (kind == PickleObject::Kind::kDict && items.size() % 2 != 0) {
    return OddDict();
  }
  Push(kind)->items = std::move(items);
  return absl::OkStatus();
}

absl::Status PickleStack::Extend(PickleObject::Kind kind, size_t num) {
  RWKVD_ASSIGN_OR_RETURN(const Items items, PopItems(num));
  if (kind == PickleObject::Kind::kDict && items.size() % 2 != 0) {
    return OddDict();
  }
  RWKVD_ASSIGN_OR_RETURN(PickleObject* const top, Top());
  PickleObject& container = *top;
  if (container.kind != kind) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected a ", kind == PickleObject::Kind::kDict ? "dict" : "list",
        " to add items to"));
  }
  container.items.insert(container.items.end(), items.begin(), items.end());
  return absl::OkStatus();
}

absl::Status PickleStack::Memoize(uint64_t number) {
  RWKVD_ASSIGN_OR_RETURN(memo_[number], Top());
  return absl::OkStatus();
}

absl::Status PickleStack::PushFromMemo(uint64_t number) {
  const auto found = memo_.find(number);
  if (found == memo_.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("object ", number, " is not in the memo"));
  }
  stack_.push_back(found->second);
  return absl::OkStatus();
}

}  // namespace rwkvd
