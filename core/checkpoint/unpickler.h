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

// The objects of a pickle. Owns them; they view the pickle's bytes. Move-only;
// thread-compatible.
class Pickle {
 public:
  Pickle() = default;
  Pickle(Pickle&&) = default;
  Pickle& operator=(Pickle&&) = default;

  const PickleObject& root() const { return *root_; }
  // All objects, in the order of their creation.
  const std::deque<PickleObject>& objects() const { return objects_; }
  // The length of the pickle, including its last opcode.
  size_t num_bytes() const { return num_bytes_; }

 private:
  friend class PickleMachine;

  std::deque<PickleObject> objects_;
  const PickleObject* root_ = nullptr;
  size_t num_bytes_ = 0;
};

// Reads the pickle at the front of `bytes` (protocols 2 to 5) without running
// Python code. Supports only what torch.save writes: the globals of
// pickle_globals.h and the opcodes of pickle_opcodes.h.
//
// Returns InvalidArgument if the pickle is truncated, malformed, unsupported or
// exceeds a limit; the message begins with `where` and has the position of the
// opcode. Time and memory are linear in the length, with at most one million
// opcodes.
absl::StatusOr<Pickle> ReadPickle(absl::Span<const std::byte> bytes,
                                  absl::string_view where);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_UNPICKLER_H_
