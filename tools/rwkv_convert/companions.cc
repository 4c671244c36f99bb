// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/companions.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"
#include "core/base/replace_file.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

// Whether ChooseTokenizer (core/text/load_tokenizer.h) looks for this name.
bool IsTokenizer(absl::string_view name) {
  if (absl::StartsWith(name, ".")) return false;
  return absl::EndsWith(name, "tokenizer.json") ||
         (absl::StartsWith(name, "rwkv_vocab") && absl::EndsWith(name, ".txt"));
}

absl::Status CopyFile(const std::string& from, const std::string& to) {
  RWKVD_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(from));
  const absl::Span<const std::byte> bytes = file->bytes();
  return ReplaceFile(
      to, absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                            bytes.size()));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> CopyCompanions(const std::string& from,
                                                        const std::string& to) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(from, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;  // a dangling link is not a file
    const std::string name = at->path().filename().string();
    if (IsTokenizer(name) && at->is_regular_file(ignored)) {
      names.push_back(name);
    }
  }
  if (error) {
    return absl::ErrnoToStatus(
        error.value(), absl::StrCat("cannot look for a tokenizer in ", from));
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    RWKVD_RETURN_IF_ERROR(CopyFile((fs::path(from) / name).string(),
                                   (fs::path(to) / name).string()));
  }
  return names;
}

}  // namespace rwkvd
