// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_MODEL_STATE_FILE_H_
#define RWKVD_CORE_MODEL_STATE_FILE_H_

// States outside the process; docs/state-file.md says what each byte means.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/model/state.h"

namespace rwkvd {

// The network whose states are meant: to another they would be noise. A value.
struct ModelIdentity {
  std::string architecture;  // NameOf(ModelConfig::architecture)
  std::string fingerprint;   // TensorFile::Fingerprint(), 64 digits
  int64_t num_values = 0;    // of each of its states
};

// Whether `bytes` begin as a state file does.
bool IsStateFile(absl::Span<const std::byte> bytes);

// What a state file holds. A value.
struct StateContents {
  State state;
  // How its sequence goes on, in words that are not the model's: see
  // docs/state-file.md. Empty if the state is all there is.
  std::string continuation;
};

// The bytes of a state file, of format version 1 if there is no `continuation`,
// else 2. InvalidArgument if a value is not finite: the sequence has left the
// range of numbers, and all that followed would be lost.
absl::StatusOr<std::string> SerializeState(const State& state,
                                           const ModelIdentity& identity,
                                           absl::string_view continuation = "");

// What is in `bytes`, bit for bit as it was. InvalidArgument, saying what and
// where, if they are not a state file, of a later format, or damaged;
// FailedPrecondition if of another network than `identity`. `path` names them
// in messages.
absl::StatusOr<StateContents> ParseStateFile(absl::Span<const std::byte> bytes,
                                             absl::string_view path,
                                             const ModelIdentity& identity);

// The same of a state alone: InvalidArgument too if it has a continuation, for
// then tokens may be missing from it.
absl::StatusOr<State> ParseState(absl::Span<const std::byte> bytes,
                                 absl::string_view path,
                                 const ModelIdentity& identity);

}  // namespace rwkvd

#endif  // RWKVD_CORE_MODEL_STATE_FILE_H_
