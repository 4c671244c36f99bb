// SPDX-License-Identifier: Apache-2.0
#include "service/options/initial_state_options.h"

#include <algorithm>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "cli/command_line.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(rwkvd::RepeatedFlag, initial_state, {},
          "NAME=PATH: an initial state that requests can choose by this name "
          "(1 to 64 letters, digits, \".\", \"_\" and \"-\"). The file is a "
          "state-tuned .pth or .safetensors file, or a saved state of this "
          "model. May be given several times.");
ABSL_FLAG(std::string, default_initial_state, rwkvd::kOwnStateName,
          "The initial state of requests that do not choose one: the name of "
          "an --initial_state, or \"model\" for the model's own state, which "
          "is zero unless its checkpoint contains a tuned one.");

namespace rwkvd {
namespace {

// Splits "NAME=PATH"; the path may contain further equals signs.
absl::StatusOr<NamedPath> ParseNamedPath(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.second.empty()) {
    return FlagError("initial_state", Quoted(text), " is not NAME=PATH");
  }
  if (!IsStateName(parts.first)) {
    return FlagError("initial_state", "the name ", Quoted(parts.first),
                     " is not ", kStateNameRule);
  }
  return NamedPath{std::string(parts.first), std::string(parts.second)};
}

bool HasState(const InitialStateOptions& options, absl::string_view name) {
  return name == kOwnStateName ||
         std::any_of(
             options.initial_states.begin(), options.initial_states.end(),
             [name](const NamedPath& state) { return state.name == name; });
}

absl::Status AddState(NamedPath state, InitialStateOptions* options) {
  if (state.name == kOwnStateName) {
    return FlagError("initial_state", Quoted(kOwnStateName),
                     " is the model's own state; choose another name");
  }
  if (HasState(*options, state.name)) {
    return FlagError("initial_state", "two are named ", Quoted(state.name));
  }
  options->initial_states.push_back(std::move(state));
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadInitialStateFlags(InitialStateOptions* options) {
  for (const std::string& text : absl::GetFlag(FLAGS_initial_state).values) {
    RWKVD_ASSIGN_OR_RETURN(NamedPath state, ParseNamedPath(text));
    RWKVD_RETURN_IF_ERROR(AddState(std::move(state), options));
  }
  options->default_initial_state = absl::GetFlag(FLAGS_default_initial_state);
  if (HasState(*options, options->default_initial_state)) {
    return absl::OkStatus();
  }
  return FlagError("default_initial_state",
                   Quoted(options->default_initial_state),
                   " is not the name of an --initial_state");
}

}  // namespace rwkvd
