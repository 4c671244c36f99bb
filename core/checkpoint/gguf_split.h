// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGUF_SPLIT_H_
#define RWKVD_CORE_CHECKPOINT_GGUF_SPLIT_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/gguf.h"
#include "core/checkpoint/gguf_values.h"

namespace rwkvd {

// A GGUF model may be split into several files, which are called
// STEM-00001-of-00003.gguf and so on, and each of which says which part it is.
// The first one has all key-values of the model.

// The number of a part in a file name, from 1, and the number of parts.
struct GgufPart {
  absl::string_view stem;  // a view of the name
  int number;
  int count;
};
// Nothing if `name` is not the name of a part.
std::optional<GgufPart> ParseGgufPart(absl::string_view name);

// The paths of the other parts of the model whose first part is `first`, in
// order; none if the model is one file. InvalidArgument if `first` is another
// part or its name is not that of a first part.
absl::StatusOr<std::vector<std::string>> OtherGgufParts(
    const GgufValues& first);

// InvalidArgument unless `part` says that it is number `index`, from 0, of
// `count` parts.
absl::Status CheckGgufPart(const GgufValues& part, int index, int count);

// InvalidArgument unless all parts together have as many tensors as the first
// one says.
absl::Status CheckNumTensors(const GgufValues& first, size_t num_tensors);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGUF_SPLIT_H_
