// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pickle_globals.h"

#include <algorithm>

#include "absl/strings/strip.h"
#include "absl/types/span.h"

namespace rwkvd {
namespace {

using Kind = PickleObject::Kind;

constexpr absl::string_view kOrderedDict = "collections.OrderedDict";
constexpr absl::string_view kSize = "torch.Size";
constexpr absl::string_view kRebuildTensors[] = {
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
};
constexpr absl::string_view kRebuildParameters[] = {
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
};
constexpr absl::string_view kStorages[] = {
    "torch.BFloat16Storage", "torch.BoolStorage",   "torch.ByteStorage",
    "torch.CharStorage",     "torch.DoubleStorage", "torch.FloatStorage",
    "torch.HalfStorage",     "torch.IntStorage",    "torch.LongStorage",
    "torch.ShortStorage",
};

bool Is(absl::string_view global, absl::string_view module,
        absl::string_view name) {
  return absl::ConsumePrefix(&global, module) &&
         absl::ConsumePrefix(&global, ".") && global == name;
}

bool Contains(absl::Span<const absl::string_view> globals,
              absl::string_view name) {
  return std::find(globals.begin(), globals.end(), name) != globals.end();
}

bool IsPair(const PickleObject& object) {
  return (object.kind == Kind::kTuple || object.kind == Kind::kList) &&
         object.items.size() == 2;
}

// Python 3 calls OrderedDict without arguments and sets the items afterwards;
// Python 2 passes a list of pairs.
bool CallOrderedDict(const PickleObject& arguments, PickleObject& result) {
  result.kind = Kind::kDict;
  if (arguments.items.empty()) return true;
  const PickleObject& pairs = *arguments.items[0];
  if (pairs.kind != Kind::kList) return false;
  for (const PickleObject* pair : pairs.items) {
    if (!IsPair(*pair)) return false;
    result.items.insert(result.items.end(), pair->items.begin(),
                        pair->items.end());
  }
  return true;
}

}  // namespace

absl::string_view FindGlobal(absl::string_view module, absl::string_view name) {
  for (absl::Span<const absl::string_view> globals :
       {absl::MakeConstSpan(&kOrderedDict, 1), absl::MakeConstSpan(&kSize, 1),
        absl::MakeConstSpan(kRebuildTensors),
        absl::MakeConstSpan(kRebuildParameters),
        absl::MakeConstSpan(kStorages)}) {
    for (absl::string_view global : globals) {
      if (Is(global, module, name)) return global;
    }
  }
  return "";
}

bool CallGlobal(absl::string_view name, const PickleObject& arguments,
                PickleObject& result) {
  if (name == kOrderedDict) return CallOrderedDict(arguments, result);
  const PickleObject* const first =
      arguments.items.empty() ? nullptr : arguments.items[0];
  if (name == kSize && first != nullptr && first->kind == Kind::kTuple) {
    result = *first;
    return true;
  }
  result.kind = Kind::kTensor;
  if (Contains(kRebuildTensors, name)) {
    result.arguments = &arguments;
    return true;
  }
  if (Contains(kRebuildParameters, name) && first != nullptr &&
      first->kind == Kind::kTensor) {
    result.arguments = first->arguments;
    return true;
  }
  return false;
}

}  // namespace rwkvd
