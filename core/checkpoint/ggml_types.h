// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_GGML_TYPES_H_
#define RWKVD_CORE_CHECKPOINT_GGML_TYPES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/dtype.h"

namespace rwkvd {

// The numbers that GGUF files use for element types. (enum ggml_type in
// ggml/include/ggml.h.)

// The type with this number; nothing if it is not supported.
std::optional<DType> DTypeOfGgml(uint32_t number);

// The name and number of any type, such as "MXFP4 (39)".
std::string NameOfGgmlType(uint32_t number);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_GGML_TYPES_H_
