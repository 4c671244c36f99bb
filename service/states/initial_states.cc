// SPDX-License-Identifier: Apache-2.0
#include "service/states/initial_states.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/mapped_file.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/tensor_file.h"
#include "core/model/config.h"
#include "core/model/state_file.h"

namespace rwkvd {
namespace {

// The most names that one message lists.
constexpr size_t kMaxNamesListed = 20;

absl::StatusOr<State> OpenState(const std::string& path, const Model& model,
                                const std::string& fingerprint) {
  RWKVD_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file,
                         MappedFile::Open(path));
  if (IsStateFile(file->bytes())) {
    return ParseState(file->bytes(), path, IdentityOf(model, fingerprint));
  }
  RWKVD_ASSIGN_OR_RETURN(const std::shared_ptr<const TensorFile> tuned,
                         TensorFile::Open(path));
  RWKVD_ASSIGN_OR_RETURN(State state, model.NewTunedState(*tuned));
  RWKVD_RETURN_IF_ERROR(tuned->CheckUnchanged());  // all of it was read
  return state;
}

// "a, b and 3 more"
std::string ListOf(absl::Span<const NamedState> states) {
  const auto listed = states.first(std::min(states.size(), kMaxNamesListed));
  const std::string list = absl::StrJoin(
      listed, ", ", [](std::string* out, const NamedState& state) {
        out->append(state.name);
      });
  if (listed.size() == states.size()) return list;
  return absl::StrCat(list, " and ", states.size() - listed.size(), " more");
}

}  // namespace

absl::StatusOr<std::vector<NamedState>> LoadInitialStates(
    const InitialStateOptions& options, const Model& model,
    const std::string& fingerprint) {
  std::vector<NamedState> states;
  states.push_back({kOwnStateName, model.NewState()});
  for (const NamedPath& named : options.initial_states) {
    absl::StatusOr<State> state = OpenState(named.path, model, fingerprint);
    if (!state.ok()) {
      return absl::Status(state.status().code(),
                          absl::StrCat("--initial_state=", named.name, ": ",
                                       state.status().message()));
    }
    const bool is_default = named.name == options.default_initial_state;
    states.insert(is_default ? states.begin() : states.end(),
                  {named.name, *std::move(state)});
  }
  return states;
}

ModelIdentity IdentityOf(const Model& model, const std::string& fingerprint) {
  return {std::string(NameOf(model.config().architecture)), fingerprint,
          static_cast<int64_t>(model.NewState().values().size())};
}

absl::StatusOr<int32_t> FindInitialState(absl::Span<const NamedState> states,
                                         absl::string_view name) {
  if (name.empty()) return 0;
  for (size_t i = 0; i < states.size(); ++i) {
    if (states[i].name == name) return static_cast<int32_t>(i);
  }
  return WithResource(
      FieldError(ErrorReason::kInitialStateUnknown, "initial_state",
                 absl::StrCat("there is no ", Quoted(name),
                              "; this server has ", ListOf(states))),
      "initial state", name);
}

}  // namespace rwkvd
