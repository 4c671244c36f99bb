// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_PTH_H_
#define RWKVD_CORE_CHECKPOINT_PTH_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// Checkpoints written by torch.save, usually called *.pth or *.bin.
//
// The current format is a zip archive of uncompressed entries: NAME/data.pkl, a
// pickle of the object with ids in place of the tensors' bytes; NAME/data/KEY,
// the bytes; and, optionally, NAME/byteorder, "little" or "big". legacy_pth.h
// describes the older format. Reading the pickle never runs code from the file.

// Whether `bytes` begin like a file of either format.
bool IsPth(absl::Span<const std::byte> bytes);

// The tensors of the file's state dict, with their names in the file, as views
// into it. Returns InvalidArgument if the file is damaged or contains objects
// that checkpoints do not need; the message begins with the file's path.
absl::StatusOr<std::vector<Tensor>> ParsePth(const MappedFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_PTH_H_
