// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_UNPICKLER_H_
#define RWKVD_CORE_CHECKPOINT_UNPICKLER_H_

#include <cstddef>
#include <deque>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/checkpoint/pickle_object.h"

namespace rwkvd {

// What a pickle builds. Owns the objects, which view the pickle's bytes.
// Move-only; thread-compatible.
class Pickle {
 public:
  Pickle() = default;
  Pickle(Pickle&&) = default;
  Pickle& operator=(Pickle&&) = default;

  const PickleObject& root() const { return *root_; }
  // All objects, in the order in which they were made.
  const std::deque<PickleObject>& objects() const { return objects_; }
  // Length of the pickle, up to and with its last opcode.
  size_t num_bytes() const { return num_bytes_; }

 private:
  friend class PickleMachine;

  std::deque<PickleObject> objects_;
  const PickleObject* root_ = nullptr;
  size_t num_bytes_ = 0;
};

// Runs the pickle at the front of `bytes` without running any Python: it only
// takes apart what torch.save puts together (protocols 2 to 5). The globals
// that it knows are dicts, tensors, parameters, sizes and storages of PyTorch;
// any other is refused by its name, and so is an opcode that needs one.
//
// InvalidArgument if the pickle is cut off, malformed, refused or over a limit;
// the message begins with `where` and says at which byte. Time and memory are
// linear in the length, with at most one million opcodes.
absl::StatusOr<Pickle> ReadPickle(absl::Span<const std::byte> bytes,
                                  absl::string_view where);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_UNPICKLER_H_
