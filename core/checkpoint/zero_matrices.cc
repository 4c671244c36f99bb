// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zero_matrices.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "core/base/mapped_file.h"
#include "core/base/quote.h"
#include "core/checkpoint/tensor.h"

namespace rwkvd {
namespace {

constexpr size_t kEndBytes = 4096;        // read from a matrix in any case
constexpr size_t kPieceBytes = 64 << 10;  // read at a time
constexpr size_t kMaxListedMatrices = 5;  // names in a message

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

// Whether all bytes, which lie in `file` or have been copied, are zero.
bool AreZeros(absl::Span<const std::byte> bytes, const TensorFile& file) {
  const MappedFile* const mapped = FileOf(bytes, file);
  if (mapped != nullptr) {
    const size_t end = std::min(kEndBytes, bytes.size());
    return IsZeroIn(*mapped, bytes.first(end)) &&
           IsZeroIn(*mapped, bytes.last(end)) && IsZeroIn(*mapped, bytes);
  }
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte value) { return value == std::byte{0}; });
}

}  // namespace

std::vector<std::string> FindZeroMatrices(const TensorFile& file) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file.tensors()) {
    if (Squeezed(tensor).shape.size() >= 2 && !tensor.data.empty() &&
        AreZeros(tensor.data, file)) {
      names.push_back(name);
    }
  }
  return names;
}

std::string DescribeZeroMatrices(const std::vector<std::string>& names) {
  std::vector<std::string> listed;
  for (const std::string& name : names) {
    if (listed.size() < kMaxListedMatrices) listed.push_back(Quoted(name));
  }
  return absl::StrCat(names.size(),
                      names.size() == 1 ? " matrix is" : " matrices are",
                      " entirely zero: ", absl::StrJoin(listed, ", "),
                      listed.size() < names.size() ? ", ..." : "",
                      "; the download may not have finished");
}

}  // namespace rwkvd
