// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_LEGACY_PTH_H_
#define RWKVD_CORE_CHECKPOINT_LEGACY_PTH_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {

// The format that torch.save wrote before PyTorch 1.6. It is not an archive but
// a sequence: pickles of a magic number, of the protocol version 1001, of a
// dict that describes the machine, of the object, and of the list of its
// storages' keys; then, for each key, the number of elements (8 bytes, little
// endian) and the elements.

// Whether `bytes` begin with the magic number.
bool IsLegacyPth(absl::Span<const std::byte> bytes);

// The tensors of the file, as views into `bytes`. Returns InvalidArgument, with
// a message that begins with `where`, if the format is violated, and errors as
// of ReadStateDict.
absl::StatusOr<std::vector<Tensor>> ParseLegacyPth(
    absl::Span<const std::byte> bytes, absl::string_view where);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_LEGACY_PTH_H_
