// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zero_matrices.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/mapped_file.h"
#include "core/base/quote.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {
namespace {

constexpr size_t kEndBytes = 4096;  // read from a matrix in any case
// The part of a matrix that must be zero: more than the rows of unused tokens
// in the embedding of most models. Of a smaller matrix than kEndBytes, all of
// it.
constexpr size_t kEndFraction = 8;
constexpr size_t kPieceBytes = 64 << 10;  // read at a time
constexpr size_t kMaxListedMatrices = 5;  // names in a message
constexpr size_t kMaxZeroFiles = 5;       // names in a message

bool IsZero(absl::Span<const std::byte> piece) {
  static constexpr std::byte kZeros[kPieceBytes] = {};
  return std::memcmp(piece.data(), kZeros, piece.size()) == 0;
}

// The file that holds `bytes`, or nullptr if they have been copied.
const MappedFile* FileOf(absl::Span<const std::byte> bytes,
                         const TensorFile& file) {
  constexpr std::less_equal<const std::byte*> not_after;
  for (const auto& mapped : file.files()) {
    const absl::Span<const std::byte> all = mapped->bytes();
    if (not_after(all.data(), bytes.data()) &&
        not_after(bytes.data() + bytes.size(), all.data() + all.size())) {
      return mapped.get();
    }
  }
  return nullptr;
}

// Whether all bytes of a mapped file's part are zero. Maps none of its pages.
bool IsZeroIn(const MappedFile& mapped, absl::Span<const std::byte> bytes) {
  std::array<std::byte, kPieceBytes> buffer;
  const size_t begin = bytes.data() - mapped.bytes().data();
  for (size_t done = 0; done < bytes.size();) {
    const auto piece = absl::MakeSpan(buffer).first(
        std::min(buffer.size(), bytes.size() - done));
    // What cannot be read is reported by those who use it.
    if (!mapped.Read(begin + done, piece).ok() || !IsZero(piece)) return false;
    done += piece.size();
  }
  return true;
}

// Whether all bytes are zero, which lie in `mapped`, or have been copied if
// that is nullptr.
bool AreZeros(absl::Span<const std::byte> bytes, const MappedFile* mapped) {
  if (mapped != nullptr) {
    // Most matrices are known from their end.
    return IsZeroIn(*mapped, bytes.last(std::min(kEndBytes, bytes.size()))) &&
           IsZeroIn(*mapped, bytes);
  }
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte value) { return value == std::byte{0}; });
}

std::string NameOf(const MappedFile& file) {
  return std::filesystem::path(file.path()).filename().string();
}

}  // namespace

std::vector<ZeroMatrix> FindZeroMatrices(const TensorFile& file) {
  std::vector<ZeroMatrix> found;
  for (const auto& [name, tensor] : file.tensors()) {
    if (Squeezed(tensor).shape.size() < 2 || tensor.data.empty()) continue;
    const MappedFile* const mapped = FileOf(tensor.data, file);
    const size_t size = tensor.data.size();
    const size_t end = size < kEndBytes ? size : size / kEndFraction;
    const auto rest = tensor.data.first(size - end);
    if (!AreZeros(tensor.data.last(end), mapped)) continue;
    found.push_back({.name = name,
                     .file = mapped == nullptr ? "" : NameOf(*mapped),
                     .is_entire = AreZeros(rest, mapped)});
  }
  return found;
}

std::string DescribeZeroMatrices(absl::Span<const ZeroMatrix> matrices) {
  std::vector<std::string> names;
  std::set<std::string> files;
  bool are_entire = true;
  for (const ZeroMatrix& matrix : matrices) {
    are_entire &= matrix.is_entire;
    if (!matrix.file.empty()) files.insert(matrix.file);
    if (names.size() == kMaxListedMatrices) continue;
    names.push_back(absl::StrCat(Quoted(matrix.name),
                                 matrix.is_entire ? "" : " (its end)"));
  }
  const size_t num_files = std::min(files.size(), kMaxZeroFiles);
  std::vector<std::string> listed(files.begin(),
                                  std::next(files.begin(), num_files));
  return absl::StrCat(
      matrices.size(), matrices.size() == 1 ? " matrix is" : " matrices are",
      are_entire ? " entirely zero: " : " entirely zero or end with zeros: ",
      absl::StrJoin(names, ", "), names.size() < matrices.size() ? ", ..." : "",
      listed.empty() ? "" : ", in ", absl::StrJoin(listed, ", "),
      listed.size() < files.size() ? ", ..." : "",
      "; the download may not have finished");
}

}  // namespace rwkvd
