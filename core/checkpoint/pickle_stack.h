// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_PICKLE_STACK_H_
#define RWKVD_CORE_CHECKPOINT_PICKLE_STACK_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint/pickle_object.h"

namespace rwkvd {

// The memory of the machine that executes a pickle: a stack of objects, marks
// on it, and the memo, which numbers objects for later use. The objects
// themselves belong to the caller.
//
// Owned by the machine; thread-compatible. Functions return InvalidArgument,
// without a position, if the stack has too few objects, or no mark.
class PickleStack {
 public:
  using Items = std::vector<const PickleObject*>;

  // As the number of objects: those above the last mark.
  static constexpr size_t kToMark = std::numeric_limits<size_t>::max();

  explicit PickleStack(std::deque<PickleObject>* objects)
      : objects_(*objects) {}

  // Creates an object and pushes it.
  PickleObject* Push(PickleObject::Kind kind);
  // The object on top, above the last mark.
  absl::StatusOr<PickleObject*> Top() const;
  absl::StatusOr<PickleObject*> Pop();
  void Mark() { marks_.push_back(stack_.size()); }
  // Pops `num` objects and returns them in the order in which they were pushed.
  // With kToMark, also pops the mark.
  absl::StatusOr<Items> PopItems(size_t num);

  // Pops `num` objects and pushes a container of them, or adds them to the
  // container below them.
  absl::Status PushContainer(PickleObject::Kind kind, size_t num);
  absl::Status Extend(PickleObject::Kind kind, size_t num);

  // Stores the object on top in the memo, under `number`.
  absl::Status Memoize(uint64_t number);
  // Pushes the object with this number.
  absl::Status PushFromMemo(uint64_t number);
  uint64_t memo_size() const { return memo_.size(); }

  size_t size() const { return stack_.size(); }
  size_t num_marks() const { return marks_.size(); }

 private:
  // The number of objects above the last mark.
  size_t Available() const {
    return stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }

  std::deque<PickleObject>& objects_;
  std::vector<PickleObject*> stack_;
  std::vector<size_t> marks_;  // sizes of the stack
  absl::flat_hash_map<uint64_t, PickleObject*> memo_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_PICKLE_STACK_H_
