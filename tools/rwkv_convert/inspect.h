// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TOOLS_RWKV_CONVERT_INSPECT_H_
#define RWKVD_TOOLS_RWKV_CONVERT_INSPECT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/checkpoint/adapter.h"
#include "core/model/config.h"

namespace rwkvd {

// Tensors of several layers that have the same name, except for the layer, and
// the same type and shape.
struct TensorGroup {
  std::string name;  // "blocks.*.att.key.weight", or that of the only tensor
  std::string type;  // as NameOf(DType)
  std::vector<int64_t> shape;
  std::string layers;  // "0-23", "0, 3-5"; empty for a tensor of no layer
  int64_t num_tensors = 0;
  int64_t num_bytes = 0;  // of all of them
};

// All tensors of one type.
struct TypeUse {
  std::string type;
  int64_t num_tensors = 0;
  int64_t num_bytes = 0;
};

// The memory that the weights take in a server, in bytes, for one value of
// --weights. Activations, states, caches and messages, which depend on the
// server's flags, come in addition.
struct ServingMemory {
  std::string weights;
  // Copies, quantized matrices, packed blocks of GGUF, and vectors as F32.
  int64_t process = 0;
  int64_t mapped = 0;  // weights that stay in the file
};

// An adapter, and what it would change.
struct InspectedAdapter {
  std::string name, path;
  int64_t num_matrices = 0, num_replaced = 0;
  int64_t min_rank = 0, max_rank = 0;
  bool has_magnitudes = false;
  // Whether its alpha is known.
  bool has_alpha = false;
  // Why it cannot be merged; empty if it can, or if there is no base model.
  std::string problem;
};

// What a file or folder of weights is. A value.
struct Inspection {
  enum class Kind { kModel, kTunedState, kAdapter };

  Kind kind = Kind::kModel;
  std::string path;    // of the file or index that was opened
  std::string format;  // "safetensors", "PyTorch (zip)", ...
  int64_t num_files = 0;
  int64_t file_bytes = 0;
  std::string layout;  // of the tensor names, as NameOf(Layout)
  int64_t num_tensors = 0;
  int64_t tensor_bytes = 0;
  std::vector<TypeUse> types;       // most bytes first
  std::vector<TensorGroup> groups;  // in order of use
  int64_t copied_bytes = 0;         // by what the layout requires
  // Of kModel; empty if rwkvd does not know the model.
  std::optional<ModelConfig> config;
  std::string problem;        // why rwkvd would not serve it; empty if it would
  std::string tokenizer;      // what rwkvd would use, or why there is none
  std::string chat_template;  // the file; empty if there is none
  std::vector<InspectedAdapter> adapters;
  std::vector<ServingMemory> memory;
  int64_t state_bytes = 0;  // of one sequence
};

// Inspects the checkpoint, tuned state or adapter at `path`, and how `adapters`
// fit into it. Reads names, shapes, a few vectors and the tokenizer.
// Errors are those of TensorFile and Adapter.
absl::StatusOr<Inspection> Inspect(const std::string& path,
                                   absl::Span<const AdapterPath> adapters,
                                   std::optional<double> adapter_alpha);

// The inspection as aligned text, and as one JSON object.
std::string InspectionText(const Inspection& inspection);
std::string InspectionJson(const Inspection& inspection);

}  // namespace rwkvd

#endif  // RWKVD_TOOLS_RWKV_CONVERT_INSPECT_H_
