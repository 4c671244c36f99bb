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

// Checkpoints as torch.save writes them, most often called .pth or .bin.
//
// The form of today is a zip archive of stored entries: NAME/data.pkl, a pickle
// of the object with ids in place of its tensors' bytes; NAME/data/KEY, the
// bytes; perhaps NAME/byteorder, "little" or "big". See legacy_pth.h for the
// form before that. The pickle is read by a machine that runs nothing.

// Whether `bytes` begin like either form.
bool IsPth(absl::Span<const std::byte> bytes);

// The tensors of the file's state dict under their names in it, as views: into
// the file, nothing is copied. InvalidArgument if it is damaged or holds what
// no checkpoint of tensors needs; the message begins with the file's path.
absl::StatusOr<std::vector<Tensor>> ParsePth(const MappedFile& file);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_PTH_H_
