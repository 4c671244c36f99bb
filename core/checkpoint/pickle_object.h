// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_PICKLE_OBJECT_H_
#define RWKVD_CORE_CHECKPOINT_PICKLE_OBJECT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd {

// A Python object of one of the kinds that checkpoints contain. Objects may be
// shared and may contain themselves, so code that traverses them must limit the
// depth.
struct PickleObject {
  enum class Kind {
    kNone,
    kBool,     // integer: 0 or 1
    kInt,      // integer
    kBigInt,   // text: a little-endian two's complement number
    kFloat,    // without its value
    kString,   // text
    kBytes,    // text
    kTuple,    // items
    kList,     // items
    kDict,     // items: key, value, key, value, ... keys may repeat
    kGlobal,   // text: "module.name"
    kStorage,  // arguments: its persistent id
    kTensor,   // arguments: those of torch's rebuild function
  };

  Kind kind = Kind::kNone;
  int64_t integer = 0;
  absl::string_view text;  // views the pickle or static memory
  std::vector<const PickleObject*> items;
  const PickleObject* arguments = nullptr;  // a kTuple

  // The value of a string key in a dict: the last one if the key repeats, as in
  // Python. nullptr if there is none, or if the object is not a dict.
  const PickleObject* Find(absl::string_view key) const {
    if (kind != Kind::kDict) return nullptr;
    const PickleObject* found = nullptr;
    for (size_t i = 0; i < items.size(); i += 2) {
      if (items[i]->kind == Kind::kString && items[i]->text == key) {
        found = items[i + 1];
      }
    }
    return found;
  }
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_PICKLE_OBJECT_H_
