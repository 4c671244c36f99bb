// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGUF_NAMES_H_
#define RWKVD_CORE_CHECKPOINT_GGUF_NAMES_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd {

// The names of the tensors of RWKV-6 and RWKV-7 in GGUF files. (MODEL_TENSOR in
// gguf-py/gguf/constants.py of llama.cpp.)

// The change that turns a stored tensor into the native one. C is the embedding
// size, H the number of heads of S channels.
enum class GgufChange {
  kNone,
  kChannels,   // [C] -> [1, 1, C]
  kHeads,      // [C] -> [H, S]
  kTranspose,  // the last two dimensions
  kShiftRows,  // [6 or 5, 1, 1, C] -> vectors
  kRescale,    // undoes the division of version 6
};

// The versions of RWKV, as bits of a set.
enum RwkvVersions : unsigned { kRwkv6 = 1, kRwkv7 = 2, kRwkv6And7 = 3 };

// How a tensor is stored, and what it is natively.
struct GgufRule {
  absl::string_view stored;
  absl::string_view native;
  GgufChange change = GgufChange::kNone;
  RwkvVersions versions = kRwkv6And7;
};

// A tensor's name behind "blk.", split at the number of its layer. Views the
// name.
struct GgufLayer {
  absl::string_view digits;
  int64_t number = 0;
  absl::string_view part;
};

// Splits `name`; nothing if it is not the name of a layer's tensor.
std::optional<GgufLayer> SplitGgufLayer(absl::string_view name);

// Whether the native tensor is a matrix; only these are quantized.
bool IsMatrix(GgufChange change);

// Whether version 7 does not use the tensor: layer 0 has no values to mix with.
bool IsUnusedGguf(const GgufLayer& layer, RwkvVersions version);

// The rule for a tensor outside of the layers, such as "output.weight", or for
// a part of a layer, behind "blk.N."; nullptr if there is none.
const GgufRule* FindModelRule(absl::string_view name);
const GgufRule* FindLayerRule(absl::string_view part, RwkvVersions version);

// The native parts of the rows of time_mix_lerp_fused.
absl::Span<const absl::string_view> FusedShifts(RwkvVersions version);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGUF_NAMES_H_
