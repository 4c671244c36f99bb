// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_LAYER_PARTS_H_
#define RWKVD_CORE_CHECKPOINT_LAYER_PARTS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/native_collector.h"
#include "core/checkpoint/native_tensors.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The parts of a layer that libraries store under other names, or in another
// orientation or order, than the training code. No two libraries use the same
// name for different parts, so the name alone decides.

// The change that turns a stored part into the native one. C is the embedding
// size, r the rank of a LoRA matrix.
enum class Change {
  kNone,
  kTranspose,
  kShiftRows7,  // [6, C] -> six vectors
  kShiftRows6,  // [5, C] -> five vectors
  kShiftDown6,  // [5r, C] -> [C, 5r], parts in another order
  kShiftUp6,    // [C, 5r] -> [5, r, C], parts in another order
};

// A part of a layer as a library stores it, and the native part that it is. A
// value.
struct LayerPart {
  absl::string_view stored;  // after WithNativeParts: "att.r_proj.weight"
  absl::string_view native;  // "att.receptance.weight"; "" for several parts
  Layout layout = Layout::kNative;  // that has this name
  Change change = Change::kNone;
};

// The part that is stored as `stored`; nullptr if it has its native name or is
// unknown.
const LayerPart* FindLayerPart(absl::string_view stored);

// Adds `stored`, which is `part` of the layer with this number, to `collector`
// in the native layout: as views, except for the two changes that reorder parts
// of a matrix and therefore copy it. InvalidArgument if the shape does not
// allow the change, or as NativeCollector returns it.
absl::Status AddLayerPart(const LayerPart& part, absl::string_view layer,
                          Tensor stored, NativeCollector& collector);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_LAYER_PARTS_H_
