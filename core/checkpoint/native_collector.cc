// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/native_collector.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// The number of bytes that the tensors view; shared bytes count once.
int64_t DistinctBytes(absl::Span<const Tensor> tensors) {
  std::vector<absl::Span<const std::byte>> ranges;
  for (const Tensor& tensor : tensors) ranges.push_back(tensor.data);
  constexpr std::less<const std::byte*> before;
  std::sort(ranges.begin(), ranges.end(), [&](const auto& a, const auto& b) {
    return before(a.data(), b.data());
  });
  int64_t bytes = 0;
  const std::byte* reached = nullptr;
  for (const auto& range : ranges) {
    const std::byte* const end = range.data() + range.size();
    if (range.empty() || !before(reached, end)) continue;
    bytes += end - (before(reached, range.data()) ? range.data() : reached);
    reached = end;
  }
  return bytes;
}

// Whether the tensor is contiguous along neither of its last two dimensions,
// ignoring dimensions of size 1.
bool IsScattered(const Tensor& tensor) {
  const Tensor squeezed = Squeezed(tensor);
  const size_t rank = squeezed.shape.size();
  if (rank < 2) return false;
  const std::vector<int64_t> strides = squeezed.Strides();
  return strides[rank - 1] != 1 && strides[rank - 2] != 1;
}

}  // namespace

NativeCollector::NativeCollector(absl::string_view path,
                                 absl::Span<const Tensor> stored)
    : path_(path), max_copied_bytes_(DistinctBytes(stored)) {}

absl::Status NativeCollector::Add(std::string native_name, Tensor view) {
  const auto [entry, is_new] = entries_.try_emplace(
      native_name, Entry{collected_.tensors.size(), view.name});
  if (!is_new) {
    return TensorError(
        view,
        absl::StrCat("has the native name ", Quoted(native_name),
                     ", as has tensor ", Quoted(entry->second.stored_name)));
  }
  view.name = std::move(native_name);
  collected_.tensors.push_back(std::move(view));
  return absl::OkStatus();
}

absl::Status NativeCollector::AddTransposed(std::string native_name,
                                            const Tensor& stored) {
  const size_t rank = stored.shape.size();
  if (rank < 2 || !HasRank(stored, rank)) {
    return TensorError(stored,
                       absl::StrCat("expected a matrix, stored transposed, got "
                                    "shape ",
                                    ShapeString(stored.shape)));
  }
  return Add(std::move(native_name), Transposed(stored, rank - 2, rank - 1));
}

absl::Status NativeCollector::AddRows(
    absl::Span<const std::string> native_names, const Tensor& stored) {
  const int64_t rows = static_cast<int64_t>(native_names.size());
  if (!HasRank(stored, 2) || stored.shape[0] != rows) {
    return TensorError(stored,
                       absl::StrCat("expected shape [", rows, ", C], got ",
                                    ShapeString(stored.shape)));
  }
  for (int64_t i = 0; i < rows; ++i) {
    RWKVD_RETURN_IF_ERROR(Add(native_names[i], Sliced(stored, 0, i, i + 1)));
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<std::byte>> NativeCollector::NewCopy(
    const Tensor& stored) {
  const int64_t bytes = stored.num_bytes();
  if (bytes > max_copied_bytes_ - collected_.copied_bytes) {
    return TensorError(
        stored,
        absl::StrCat("needs a copy of ", bytes, " bytes in addition to ",
                     collected_.copied_bytes, "; all copies may take at most ",
                     max_copied_bytes_,
                     " bytes, the size of the stored tensors"));
  }
  collected_.copied_bytes += bytes;
  collected_.copies.push_back(std::make_unique<std::byte[]>(bytes));
  return absl::MakeSpan(collected_.copies.back().get(), bytes);
}

absl::Status NativeCollector::CopyScattered() {
  for (Tensor& tensor : collected_.tensors) {
    if (!IsScattered(tensor)) continue;
    RWKVD_ASSIGN_OR_RETURN(const absl::Span<std::byte> copy, NewCopy(tensor));
    CopyElements(tensor, 0, copy);
    tensor.strides.clear();
    tensor.data = copy;
  }
  return absl::OkStatus();
}

absl::Status NativeCollector::TensorError(const Tensor& stored,
                                          absl::string_view problem) const {
  return FileError(path_).In("tensor", stored.name)(problem);
}

const Tensor* NativeCollector::Find(absl::string_view native_name) const {
  const auto entry = entries_.find(native_name);
  return entry == entries_.end() ? nullptr
                                 : &collected_.tensors[entry->second.index];
}

NativeTensors NativeCollector::Take(Layout layout) && {
  collected_.layout = layout;
  return std::move(collected_);
}

bool HasRank(const Tensor& tensor, size_t rank) {
  return tensor.shape.size() == rank &&
         std::find(tensor.shape.begin(), tensor.shape.end(), 0) ==
             tensor.shape.end();
}

}  // namespace rwkvd
