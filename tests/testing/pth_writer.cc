// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/pth_writer.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/check.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fixtures.h"
#include "tests/testing/pickle_writer.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd::testing {
namespace {

// The unused numbers in a shared storage before and after each tensor.
constexpr int64_t kGap = 7;

struct Storage {
  std::string key;
  DType dtype;
  std::string bytes;

  int64_t size() const { return bytes.size() / SizeOf(dtype); }
};

// The position of a tensor. Offset and strides are in elements.
struct Placed {
  std::string name;
  size_t storage = 0;
  int64_t offset = 0;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  bool is_parameter = false;
};

struct Plan {
  std::vector<Storage> storages;
  std::vector<Placed> tensors;
};

std::string StorageType(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "FloatStorage";
    case DType::kF16:
      return "HalfStorage";
    case DType::kBF16:
      return "BFloat16Storage";
    case DType::kU8:
      return "ByteStorage";
    default:
      RWKVD_CHECK(false);  // PyTorch has no block types
  }
}

// Keys of storages are 0, 1, ... in zip archives. In legacy files they are
// addresses, whose order differs from that of the tensors.
size_t NewStorage(DType dtype, const PthOptions& options, Plan& plan) {
  const size_t number = plan.storages.size();
  plan.storages.push_back(
      {.key = absl::StrCat(options.legacy ? 94250 - 64 * number : number),
       .dtype = dtype});
  return number;
}

void AppendGap(Storage& storage) {
  storage.bytes.append(kGap * SizeOf(storage.dtype), '\x5a');
}

Plan MakePlan(const TestTensors& tensors, const PthOptions& options) {
  Plan plan;
  std::map<DType, size_t> shared;
  int number = 0;
  for (const auto& [name, tensor] : tensors) {
    const bool is_shared = options.shared_storage && number % 3 != 0;
    const bool is_transposed =
        options.transposed && number % 2 == 0 && tensor.shape.size() == 2;
    Placed placed{.name = name, .shape = tensor.shape};
    if (!is_shared || shared.count(tensor.dtype) == 0) {
      placed.storage = NewStorage(tensor.dtype, options, plan);
      if (is_shared) shared[tensor.dtype] = placed.storage;
    } else {
      placed.storage = shared[tensor.dtype];
    }
    Storage& storage = plan.storages[placed.storage];
    if (is_shared) AppendGap(storage);
    placed.offset = storage.size();
    storage.bytes += BytesOf(is_transposed ? TransposedCopy(tensor) : tensor);
    if (is_shared) AppendGap(storage);
    placed.strides = RowMajorStrides(tensor.shape);
    if (is_transposed) placed.strides = {1, tensor.shape[0]};
    placed.is_parameter = options.parameters && number % 3 == 1;
    plan.tensors.push_back(std::move(placed));
    ++number;
  }
  return plan;
}

void WriteStorage(const Storage& storage, bool legacy, PickleWriter& pickle) {
  pickle.Tuple(legacy ? 6 : 5, [&] {
    pickle.String("storage");
    pickle.Global("torch", StorageType(storage.dtype));
    pickle.String(storage.key);
    pickle.String("cpu");
    pickle.Int(storage.size());
    if (legacy) pickle.None();  // no view of another storage
  });
  pickle.PersistentId();
}

void WriteTensor(const Placed& tensor, const Storage& storage, bool legacy,
                 PickleWriter& pickle) {
  pickle.Global("torch._utils", "_rebuild_tensor_v2");
  pickle.Tuple(6, [&] {
    WriteStorage(storage, legacy, pickle);
    pickle.Int(tensor.offset);
    pickle.Ints(tensor.shape);
    pickle.Ints(tensor.strides);
    pickle.Bool(false);         // requires_grad
    pickle.EmptyOrderedDict();  // hooks
  });
  pickle.Reduce();
}

void WriteParameter(const Placed& tensor, const Storage& storage, bool legacy,
                    PickleWriter& pickle) {
  pickle.Global("torch._utils", "_rebuild_parameter");
  pickle.Tuple(3, [&] {
    WriteTensor(tensor, storage, legacy, pickle);
    pickle.Bool(true);          // requires_grad
    pickle.EmptyOrderedDict();  // hooks
  });
  pickle.Reduce();
}

// The versions of all modules, which Module.state_dict() stores.
void WriteMetadata(PickleWriter& pickle) {
  const std::vector<std::string> modules = {"", "emb", "blocks", "blocks.0"};
  pickle.EmptyDict();
  pickle.SetItems(1, [&](int64_t) {
    pickle.String("_metadata");
    pickle.EmptyOrderedDict();
    pickle.SetItems(modules.size(), [&](int64_t i) {
      pickle.String(modules[i]);
      pickle.EmptyDict();
      pickle.SetItems(1, [&](int64_t) {
        pickle.String("version");
        pickle.Int(1);
      });
    });
  });
  pickle.Build();
}

void WriteTensors(const Plan& plan, const PthOptions& options,
                  PickleWriter& pickle) {
  pickle.EmptyOrderedDict();
  pickle.SetItems(plan.tensors.size(), [&](int64_t i) {
    const Placed& tensor = plan.tensors[i];
    const Storage& storage = plan.storages[tensor.storage];
    pickle.String(tensor.name);
    (tensor.is_parameter ? WriteParameter : WriteTensor)(
        tensor, storage, options.legacy, pickle);
  });
  if (options.modern) WriteMetadata(pickle);
}

std::string TensorsPickle(const Plan& plan, const PthOptions& options) {
  PickleWriter pickle;
  if (!options.wrapped) {
    WriteTensors(plan, options, pickle);
    return pickle.Finish();
  }
  pickle.EmptyDict();
  pickle.SetItems(1, [&](int64_t) {
    pickle.String("state_dict");
    WriteTensors(plan, options, pickle);
  });
  return pickle.Finish();
}

std::string ZipForm(const Plan& plan, const PthOptions& options) {
  ZipWriter zip;
  zip.Add(options.root + "/data.pkl", TensorsPickle(plan, options));
  if (options.modern) {
    zip.Add(options.root + "/.format_version", "1");
    zip.Add(options.root + "/.storage_alignment", "64");
    zip.Add(options.root + "/byteorder", "little");
  }
  for (const Storage& storage : plan.storages) {
    zip.Add(absl::StrCat(options.root, "/data/", storage.key), storage.bytes);
  }
  zip.Add(options.root + "/version", "3\n");
  if (options.modern) {
    zip.Add(options.root + "/.data/serialization_id",
            "0640741160420314522517752840031926719936");
  }
  return zip.Finish();
}

// {"protocol_version": 1001, "little_endian": True, "type_sizes": {...}}
std::string SystemPickle() {
  const std::pair<const char*, int> sizes[] = {
      {"short", 2}, {"int", 4}, {"long", 4}};
  PickleWriter pickle;
  pickle.EmptyDict();
  pickle.SetItems(3, [&](int64_t i) {
    if (i == 0) {
      pickle.String("protocol_version");
      pickle.Int(1001);
    } else if (i == 1) {
      pickle.String("little_endian");
      pickle.Bool(true);
    } else {
      pickle.String("type_sizes");
      pickle.EmptyDict();
      pickle.SetItems(3, [&](int64_t k) {
        pickle.String(sizes[k].first);
        pickle.Int(sizes[k].second);
      });
    }
  });
  return pickle.Finish();
}

std::string LegacyForm(Plan plan, const PthOptions& options) {
  PickleWriter magic, protocol, keys;
  magic.Long("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
  protocol.Int(1001);
  const std::string tensors = TensorsPickle(plan, options);
  std::sort(plan.storages.begin(), plan.storages.end(),
            [](const Storage& a, const Storage& b) { return a.key < b.key; });
  std::vector<std::string> names;
  std::string data;
  for (const Storage& storage : plan.storages) {
    names.push_back(storage.key);
    absl::StrAppend(&data, LittleEndian(storage.size(), 8), storage.bytes);
  }
  keys.Strings(names);
  return absl::StrCat(magic.Finish(), protocol.Finish(), SystemPickle(),
                      tensors, keys.Finish(), data);
}

}  // namespace

std::string PthBytes(const TestTensors& tensors, const PthOptions& options) {
  const Plan plan = MakePlan(tensors, options);
  return options.legacy ? LegacyForm(plan, options) : ZipForm(plan, options);
}

std::string WriteShardedPth(const std::string& directory,
                            const TestTensors& tensors, int num_shards) {
  std::vector<TestTensors> shards(num_shards);
  nlohmann::json map = nlohmann::json::object();
  const auto shard_name = [&](int shard) {
    return absl::StrFormat("pytorch_model-%05d-of-%05d.bin", shard + 1,
                           num_shards);
  };
  int next = 0;
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors) {
    const int shard = next++ % num_shards;
    shards[shard].emplace(name, tensor);
    map[name] = shard_name(shard);
    total += tensor.values.size() * SizeOf(tensor.dtype);
  }
  for (int i = 0; i < num_shards; ++i) {
    WriteFileOrDie(absl::StrCat(directory, "/", shard_name(i)),
                   PthBytes(shards[i], {.root = "archive"}));
  }
  const std::string path = directory + "/pytorch_model.bin.index.json";
  WriteFileOrDie(path, nlohmann::json{{"metadata", {{"total_size", total}}},
                                      {"weight_map", map}}
                           .dump());
  return path;
}

}  // namespace rwkvd::testing
