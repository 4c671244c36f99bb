// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_PICKLE_OBJECT_H_
#define RWKVD_CORE_CHECKPOINT_PICKLE_OBJECT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"

namespace rwkvd {

// A Python object, as far as checkpoints are made of them. Objects may be
// shared and may hold themselves: whoever walks them bounds the depth.
struct PickleObject {
  enum class Kind {
    kNone,
    kBool,     // integer: 0 or 1
    kInt,      // integer
    kBigInt,   // text: its bytes, little endian, two's complement
    kFloat,    // its value is not kept
    kString,   // text
    kBytes,    // text
    kTuple,    // items
    kList,     // items
    kDict,     // items: key, value, key, value, ... a key may come twice
    kGlobal,   // text: "module.name"
    kStorage,  // what a persistent id names; arguments: the id
    kTensor,   // a call of torch's rebuild function; arguments: the call's
  };

  Kind kind = Kind::kNone;
  int64_t integer = 0;
  absl::string_view text;  // into the pickle, or static
  std::vector<const PickleObject*> items;
  const PickleObject* arguments = nullptr;  // a kTuple

  // What a dict holds under a text; nullptr if it is no dict, or nothing is
  // there. Of several values the last counts, as in Python.
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
