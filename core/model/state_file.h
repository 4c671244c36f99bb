// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_STATE_FILE_H_
#define RWKVD_CORE_MODEL_STATE_FILE_H_

// Saved states. docs/state-file.md defines the format.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/model/state.h"

namespace rwkvd {

// Identifies the model that a state belongs to: to another model its values
// would be noise. A value.
struct ModelIdentity {
  std::string architecture;  // NameOf(ModelConfig::architecture)
  std::string fingerprint;   // TensorFile::Fingerprint(), 64 hex digits
  int64_t num_values = 0;    // in each state
};

// Whether `bytes` begin with the magic number of a state file.
bool IsStateFile(absl::Span<const std::byte> bytes);

// InvalidArgument, as for ParseStateFile, if `bytes` are not a complete and
// undamaged state file, of whatever model.
absl::Status CheckStateFile(absl::Span<const std::byte> bytes,
                            absl::string_view path);

// The contents of a state file. A value.
struct StateContents {
  State state;
  // How to continue the request that was suspended with this state, in a format
  // that the model does not know: see docs/state-file.md. Empty if the file
  // holds a state alone.
  std::string continuation;
};

// Returns the bytes of a state file, of format version 2 if there is a
// `continuation`, otherwise 1. Internal if a value is not finite: nothing
// useful could be computed from such a state, and the model is at fault.
absl::StatusOr<std::string> SerializeState(const State& state,
                                           const ModelIdentity& identity,
                                           absl::string_view continuation = "");

// Returns the contents of the state file `bytes`, bit-identical to what was
// saved. InvalidArgument, saying what is wrong and where, if `bytes` are not a
// state file, have a later format version, or are damaged. FailedPrecondition
// if the state belongs to another model than `identity`. `path` names the file
// in messages.
absl::StatusOr<StateContents> ParseStateFile(absl::Span<const std::byte> bytes,
                                             absl::string_view path,
                                             const ModelIdentity& identity);

// Returns the state of a state file that holds a state alone. Also
// InvalidArgument if it has a continuation: then the state may lack tokens of
// the request.
absl::StatusOr<State> ParseState(absl::Span<const std::byte> bytes,
                                 absl::string_view path,
                                 const ModelIdentity& identity);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_STATE_FILE_H_
