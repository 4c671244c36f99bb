// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/file_format.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/failed_download.h"
#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/checkpoint/gguf.h"
#include "core/checkpoint/legacy_pth.h"
#include "core/checkpoint/pth.h"
#include "core/checkpoint/safetensors.h"

namespace rwkvd {
namespace {

constexpr size_t kHeadBytes = 512;
constexpr size_t kShownText = 60;  // bytes of a text in a message

// Another format that users may pass as a checkpoint, and its first bytes.
struct OtherFormat {
  absl::string_view magic;
  absl::string_view description;
};

constexpr OtherFormat kOtherFormats[] = {
    {"\x1f\x8b", "a gzip file; unpack it first"},
    {"BZh", "a bzip2 file; unpack it first"},
    {"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"},
    {"\xfd\x37zXZ", "an xz file; unpack it first"},
    {"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"},
    {"Rar!\x1a\x07", "a RAR archive; unpack it first"},
    {"GGUF", "a GGUF file, which cannot be a shard; open the file itself"},
    {"fmgg",
     "a file of rwkv.cpp (ggmf); use the checkpoint it was converted from"},
    {"lmgg", "a ggml file; use the checkpoint it was converted from"},
    {"tjgg", "a ggjt file; use the checkpoint it was converted from"},
    {absl::string_view("\0\5\x16\7", 4),
     "metadata that macOS keeps next to a file (AppleDouble); name that file"},
    {"<?xml", "an XML text; the download may have failed"},
    {"\x89HDF", "an HDF5 file"},
    {"\x93NUMPY", "a NumPy file"},
    {"PK\x05\x06", "an empty zip archive"},
};

constexpr size_t kLengthBytes = 8;
constexpr absl::string_view kHighBytesOfLength("\0\0\0\0", 4);

absl::string_view Head(const MappedFile& file) {
  return absl::string_view(reinterpret_cast<const char*>(file.bytes().data()),
                           file.bytes().size())
      .substr(0, kHeadBytes);
}

// Whether the file begins with a little-endian length below 2^32 and a JSON
// object. The length alone could be the magic number of another format.
bool BeginsLikeSafetensors(absl::string_view head) {
  return head.size() > kLengthBytes && head[kLengthBytes] == '{' &&
         absl::EndsWith(head.substr(0, kLengthBytes), kHighBytesOfLength);
}

// Whether the file begins with eight characters of text, or is a shorter text;
// a safetensors file does not.
bool IsText(absl::string_view head) {
  const absl::string_view first = head.substr(0, kLengthBytes);
  return !first.empty() &&
         std::all_of(first.begin(), first.end(), [](unsigned char c) {
           return absl::ascii_isprint(c) || absl::ascii_isspace(c);
         });
}

// Whether the file begins with a pickle: its protocol and a plausible opcode.
bool IsPickle(absl::string_view head) {
  return head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5 &&
         (!absl::ascii_isascii(head[2]) || absl::ascii_isprint(head[2]));
}

// Whether the file begins with many zeros, which no format does.
bool BeginsWithZeros(absl::string_view head) {
  return head.size() > kLengthBytes &&
         head.find_first_not_of('\0') == absl::string_view::npos;
}

// A description of the file if it certainly holds no tensors; otherwise "".
std::string DescribeOtherFormat(absl::string_view head) {
  if (head.empty()) return "an empty file; the download may not have finished";
  for (const OtherFormat& format : kOtherFormats) {
    if (absl::StartsWith(head, format.magic)) {
      return std::string(format.description);
    }
  }
  if (head.size() > 262 && head.substr(257, 5) == "ustar") {
    return "a tar archive; unpack it first";
  }
  const absl::string_view failed_download = DescribeFailedDownload(head);
  if (!failed_download.empty()) return std::string(failed_download);
  if (IsText(head)) {
    const absl::string_view text = absl::StripLeadingAsciiWhitespace(head);
    return absl::StrCat("a text that begins with ",
                        Quoted(text.substr(0, kShownText)),
                        "; the download may have failed");
  }
  if (BeginsWithZeros(head)) {
    return "a file that begins with zeros; the download may not have finished";
  }
  if (IsPickle(head)) return "a Python pickle that torch.save did not write";
  return "";
}

}  // namespace

bool IsShardIndex(const MappedFile& file) {
  if (absl::EndsWith(file.path(), kIndexSuffix)) return true;
  const absl::string_view head = Head(file);
  return absl::StartsWith(absl::StripLeadingAsciiWhitespace(head), "{") &&
         IsText(head);
}

absl::string_view FormatName(const MappedFile& file) {
  if (IsGguf(file.bytes())) return "GGUF";
  if (IsLegacyPth(file.bytes())) return "PyTorch (before 1.6)";
  return IsPth(file.bytes()) ? "PyTorch" : "safetensors";
}

absl::StatusOr<std::vector<Tensor>> ParseTensors(const MappedFile& file) {
  const absl::string_view head = Head(file);
  if (BeginsLikeSafetensors(head)) return ParseSafetensors(file);
  if (IsPth(file.bytes())) return ParsePth(file);
  const std::string other_format = DescribeOtherFormat(head);
  if (!other_format.empty()) {
    return FileError(file.path())(
        "expected a safetensors or PyTorch checkpoint, got ", other_format);
  }
  return ParseSafetensors(file);
}

}  // namespace rwkvd
