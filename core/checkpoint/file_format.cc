// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/file_format.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/checkpoint/pth.h"
#include "core/checkpoint/safetensors.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kIndexSuffix = ".index.json";
constexpr size_t kHeadBytes = 512;

// Formats that a checkpoint may be mistaken for, by their first bytes.
struct Foreign {
  absl::string_view magic;
  absl::string_view description;
};

constexpr Foreign kForeign[] = {
    {"\x1f\x8b", "a gzip file; unpack it first"},
    {"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"},
    {"\xfd\x37zXZ", "an xz file; unpack it first"},
    {"GGUF", "a GGUF file of llama.cpp; use the checkpoint it was made from"},
    {"fmgg", "a file of rwkv.cpp (ggmf); use the checkpoint it was made from"},
    {"lmgg", "a ggml file; use the checkpoint it was made from"},
    {"tjgg", "a ggjt file; use the checkpoint it was made from"},
    {"version https://git-lfs",
     "a git-lfs pointer, not the file itself; fetch it with git lfs pull"},
    {"\x89HDF", "an HDF5 file"},
    {"\x93NUMPY", "a NumPy file"},
    {"PK\x05\x06", "an empty zip archive"},
};

absl::string_view Head(const MappedFile& file) {
  return absl::string_view(reinterpret_cast<const char*>(file.bytes().data()),
                           file.bytes().size())
      .substr(0, kHeadBytes);
}

// The first eight bytes of a safetensors file are a length below 2^32, so none
// begins with eight letters.
bool IsText(absl::string_view head) {
  if (head.size() < 8) return false;
  for (char c : head.substr(0, 8)) {
    if (!absl::ascii_isprint(c) && !absl::ascii_isspace(c)) return false;
  }
  return true;
}

// What the file is, if it is certainly nothing that holds tensors; else "".
absl::string_view DescribeForeign(absl::string_view head) {
  for (const Foreign& foreign : kForeign) {
    if (absl::StartsWith(head, foreign.magic)) return foreign.description;
  }
  if (head.size() > 262 && head.substr(257, 5) == "ustar") {
    return "a tar archive; unpack it first";
  }
  const absl::string_view text = absl::StripLeadingAsciiWhitespace(head);
  if (absl::StartsWithIgnoreCase(text, "<!doctype html") ||
      absl::StartsWithIgnoreCase(text, "<html")) {
    return "a web page; was the download refused?";
  }
  if (IsText(head)) return "a text";
  if (head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5 &&
      (head[2] < 0 || absl::ascii_isprint(head[2]))) {
    return "a Python pickle, but none of torch.save";
  }
  return "";
}

}  // namespace

bool IsShardIndex(const MappedFile& file) {
  if (absl::EndsWith(file.path(), kIndexSuffix)) return true;
  const absl::string_view head = Head(file);
  return absl::StartsWith(absl::StripLeadingAsciiWhitespace(head), "{") &&
         IsText(head);
}

absl::StatusOr<std::vector<Tensor>> ParseTensors(const MappedFile& file) {
  if (IsPth(file.bytes())) return ParsePth(file);
  const absl::string_view foreign = DescribeForeign(Head(file));
  if (!foreign.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.path(),
                     ": expected a safetensors or PyTorch "
                     "checkpoint, but this is ",
                     foreign));
  }
  return ParseSafetensors(file);
}

}  // namespace rwkvd
