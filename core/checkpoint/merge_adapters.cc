// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/merge_adapters.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/file_error.h"
#include "core/base/float16.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// The most tensors that one message lists.
constexpr size_t kMaxListed = 12;

constexpr int64_t kRowsPerTask = 16;

// All changes of one tensor, in the order of the adapters.
struct Change {
  const Tensor* replacement = nullptr;
  std::vector<const LowRankUpdate*> updates;
  const Adapter* adapter = nullptr;  // the last one, for messages
};

using Changes = std::map<std::string, Change>;  // by native name

// A low-rank update, with its numbers as f32.
struct Factors {
  explicit Factors(const LowRankUpdate& update)
      : rank(update.a.shape[0]),
        scale(update.scale),
        a(ToFloat(update.a)),
        b(ToFloat(update.b)) {
    if (update.magnitude.has_value()) magnitude = ToFloat(*update.magnitude);
  }

  int64_t rank;
  double scale;
  std::vector<float> a;          // [rank, in]
  std::vector<float> b;          // [out, rank]
  std::vector<float> magnitude;  // [out], or empty
};

// Adds the update of one row of W to `row` [in].
void UpdateRow(const Factors& factors, int64_t index,
               std::vector<double>& row) {
  const int64_t cols = static_cast<int64_t>(row.size());
  for (int64_t k = 0; k < factors.rank; ++k) {
    const double factor =
        factors.scale * double{factors.b[index * factors.rank + k]};
    const float* const a = factors.a.data() + k * cols;
    for (int64_t i = 0; i < cols; ++i) row[i] += factor * double{a[i]};
  }
  if (factors.magnitude.empty()) return;
  double squares = 0;
  for (const double value : row) squares += value * value;
  const double factor = double{factors.magnitude[index]} / std::sqrt(squares);
  for (double& value : row) value *= factor;
}

// Rounds toward zero and sets the last bit if that is inexact. Rounding the
// result to a type of at most 22 bits then gives the same as rounding `value`.
float RoundToOdd(double value) {
  const float nearest = static_cast<float>(value);
  if (double{nearest} == value || std::isnan(value)) return nearest;
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  if (std::abs(double{nearest}) > std::abs(value)) --bits;
  return std::bit_cast<float>(bits | 1);
}

// Rounds `row` to F32, F16 or BF16. Returns the index of the first number that
// is then not finite.
std::optional<int64_t> Round(absl::Span<const double> row, DType dtype,
                             std::byte* dst) {
  std::optional<int64_t> bad;
  for (size_t i = 0; i < row.size(); ++i) {
    float rounded = static_cast<float>(row[i]);
    if (dtype == DType::kF32) {
      std::memcpy(dst + i * sizeof(rounded), &rounded, sizeof(rounded));
    } else {
      const float odd = RoundToOdd(row[i]);
      const bool is_f16 = dtype == DType::kF16;
      const uint16_t bits = is_f16 ? FloatToF16(odd) : FloatToBF16(odd);
      std::memcpy(dst + i * sizeof(bits), &bits, sizeof(bits));
      rounded = is_f16 ? F16ToFloat(bits) : BF16ToFloat(bits);
    }
    if (!std::isfinite(rounded) && !bad.has_value()) {
      bad = static_cast<int64_t>(i);
    }
  }
  return bad;
}

// Lowers `value` to `other` if `other` is smaller.
void LowerTo(int64_t other, std::atomic<int64_t>& value) {
  int64_t seen = value.load();
  while (other < seen && !value.compare_exchange_weak(seen, other)) {
  }
}

TensorFile::OwnedTensor NewTensor(const Tensor& like, DType dtype) {
  TensorFile::OwnedTensor owned;
  owned.tensor = {.name = like.name, .dtype = dtype, .shape = like.shape};
  const int64_t bytes = owned.tensor.num_bytes();
  owned.memory = std::shared_ptr<std::byte[]>(new std::byte[bytes]);
  owned.tensor.data = absl::MakeConstSpan(owned.memory.get(), bytes);
  return owned;
}

// Merges the updates of one matrix. `base` has its place and its values.
absl::StatusOr<TensorFile::OwnedTensor> MergeMatrix(const Tensor& base,
                                                    const Change& change,
                                                    DType dtype,
                                                    ThreadPool& pool) {
  std::vector<Factors> all;
  for (const LowRankUpdate* update : change.updates) all.emplace_back(*update);
  TensorFile::OwnedTensor merged = NewTensor(base, dtype);
  // Rows of transposed blocks do not begin at blocks.
  std::vector<float> storage;
  Tensor from = base;
  if (IsBlockType(base.dtype) && !base.is_row_major()) {
    storage.resize(StorageElements(base));
    DequantizeStorage(base, 0, StorageElements(base), storage.data());
    from = WithStorage(base, storage);
  }
  const int64_t rows = base.shape[0], cols = base.shape[1];
  const int64_t row_bytes = cols * static_cast<int64_t>(SizeOf(dtype));
  std::atomic<int64_t> first_bad{rows * cols};
  const int64_t num_tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
  pool.ParallelFor(num_tasks, [&](int64_t task) {
    const int64_t begin = task * kRowsPerTask;
    const int64_t end = std::min(begin + kRowsPerTask, rows);
    const std::vector<float> values = ToFloat(Sliced(from, 0, begin, end));
    std::vector<double> row(cols);
    for (int64_t r = begin; r < end; ++r) {
      const float* const own = values.data() + (r - begin) * cols;
      std::copy(own, own + cols, row.begin());
      for (const Factors& factors : all) UpdateRow(factors, r, row);
      const auto bad = Round(row, dtype, merged.memory.get() + r * row_bytes);
      if (bad.has_value()) LowerTo(r * cols + *bad, first_bad);
    }
  });
  const int64_t bad = first_bad.load();
  if (bad == rows * cols) return merged;
  return FileError(change.adapter->path())(
      "merged into tensor ", Quoted(base.name), ", element ", bad,
      " is NaN, infinite or too large for ", NameOf(dtype));
}

TensorFile::OwnedTensor CopyReplacement(const Tensor& base,
                                        const Tensor& replacement) {
  TensorFile::OwnedTensor copy = NewTensor(base, replacement.dtype);
  CopyElements(replacement, 0,
               absl::MakeSpan(copy.memory.get(), copy.tensor.num_bytes()));
  return copy;
}

// Finds the places of all tensors of some adapters in a base model.
class Placement {
 public:
  explicit Placement(const TensorFile& base) : base_(base) {}

  absl::Status Add(const Adapter& adapter) {
    problems_.clear();
    for (const Tensor& tensor : adapter.replacements()) {
      AddReplacement(tensor, adapter);
    }
    for (const LowRankUpdate& update : adapter.updates()) {
      AddUpdate(update, adapter);
    }
    if (problems_.empty()) return absl::OkStatus();
    const size_t listed = std::min(problems_.size(), kMaxListed);
    return FileError(adapter.path())(
        problems_.size(), " tensors have no place in ", base_.path(), ": ",
        absl::StrJoin(problems_.begin(), problems_.begin() + listed, "; "),
        listed < problems_.size() ? "; ..." : "");
  }

  const Changes& changes() const { return changes_; }

 private:
  template <typename... Args>
  void Problem(absl::string_view stored, const Args&... args) {
    problems_.push_back(absl::StrCat(Quoted(stored), " ", args...));
  }

  // The tensor of the base model called `target`; records a problem if there is
  // none.
  const Tensor* Find(absl::string_view target, absl::string_view stored) {
    const Tensor* const tensor = base_.Find(target);
    if (tensor != nullptr && tensor->dtype != DType::kU8) return tensor;
    const bool is_quantized =
        base_.Find(absl::StrCat(target, ".scales")) != nullptr;
    Problem(stored, "is for ", Quoted(target),
            is_quantized ? ", which is quantized; merge the adapter into the "
                           "original and quantize the result"
                         : ", which is missing");
    return nullptr;
  }

  void AddReplacement(const Tensor& tensor, const Adapter& adapter) {
    const Tensor* const base = Find(tensor.name, tensor.name);
    if (base == nullptr) return;
    if (Squeezed(*base).shape != Squeezed(tensor).shape) {
      return Problem(tensor.name, "expected ", ShapeString(base->shape),
                     ", got ", ShapeString(tensor.shape));
    }
    // It replaces what earlier adapters have changed, too.
    changes_[tensor.name] = {.replacement = &tensor, .adapter = &adapter};
  }

  void AddUpdate(const LowRankUpdate& update, const Adapter& adapter) {
    const Tensor* const base = Find(update.target, update.stored);
    if (base == nullptr) return;
    const std::vector<int64_t> shape = {update.b.shape[0], update.a.shape[1]};
    if (base->shape != shape) {
      return Problem(update.stored, "with lora_B is for a matrix ",
                     ShapeString(shape), ", ", Quoted(update.target), " is ",
                     ShapeString(base->shape));
    }
    Change& change = changes_[update.target];
    change.updates.push_back(&update);
    change.adapter = &adapter;
  }

  const TensorFile& base_;
  Changes changes_;
  std::vector<std::string> problems_;
};

DType MergedType(const Tensor& base, std::optional<DType> dtype) {
  if (dtype.has_value()) return *dtype;
  return IsBlockType(base.dtype) ? DType::kBF16 : base.dtype;
}

}  // namespace

absl::Status CheckPlacement(const TensorFile& base, const Adapter& adapter) {
  return Placement(base).Add(adapter);
}

absl::StatusOr<std::shared_ptr<const TensorFile>> MergeAdapters(
    std::shared_ptr<const TensorFile> base, absl::Span<const Adapter> adapters,
    std::optional<DType> dtype, ThreadPool& pool) {
  Placement placement(*base);
  for (const Adapter& adapter : adapters) {
    RWKVD_RETURN_IF_ERROR(placement.Add(adapter));
  }
  std::vector<TensorFile::OwnedTensor> replaced;
  for (const auto& [name, change] : placement.changes()) {
    const Tensor& original = *base->Find(name);
    const Tensor& tensor =
        change.replacement != nullptr ? *change.replacement : original;
    if (change.updates.empty()) {
      replaced.push_back(CopyReplacement(original, tensor));
      continue;
    }
    Tensor from = tensor;
    from.name = original.name;
    RWKVD_ASSIGN_OR_RETURN(
        TensorFile::OwnedTensor merged,
        MergeMatrix(from, change, MergedType(original, dtype), pool));
    replaced.push_back(std::move(merged));
  }
  // Otherwise zeros may have been read from a file that was truncated.
  for (const Adapter& adapter : adapters) {
    RWKVD_RETURN_IF_ERROR(adapter.CheckUnchanged());
  }
  return TensorFile::WithReplaced(std::move(base), std::move(replaced));
}

}  // namespace rwkvd
