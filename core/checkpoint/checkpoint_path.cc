// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/checkpoint_path.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/file_error.h"
#include "core/base/mapped_file.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/pth.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxListed = 10;  // file names in a message

constexpr absl::string_view kWellKnownNames[] = {
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
};

// A kind of file, recognized by the end of its name.
struct Kind {
  std::vector<absl::string_view> suffixes;
  // Whether other programs use these suffixes too, so that the content decides.
  bool check_content;
};

// All kinds, in order of preference.
const std::vector<Kind>& Kinds() {
  static const auto* const kinds = new std::vector<Kind>{
      {{".index.json"}, false},
      {{".safetensors", ".st"}, false},
      {{".pth"}, false},
      {{".bin", ".pt"}, true},
  };
  return *kinds;
}

absl::StatusOr<std::vector<std::string>> FileNames(
    const std::string& directory) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;  // opening the file later reports it
    if (it->is_directory(ignored)) continue;
    names.push_back(it->path().filename().string());
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("cannot list ", directory));
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool IsWrittenByTorch(const std::string& path) {
  const auto file = MappedFile::Open(path);
  return file.ok() && IsPth((*file)->bytes());
}

// The paths of the files in `directory` that are of the given kind.
std::vector<std::string> FilesOfKind(const std::string& directory,
                                     const std::vector<std::string>& names,
                                     const Kind& kind) {
  std::vector<std::string> found;
  for (const std::string& name : names) {
    const bool fits = std::any_of(
        kind.suffixes.begin(), kind.suffixes.end(),
        [&](absl::string_view end) { return absl::EndsWith(name, end); });
    std::string path = (fs::path(directory) / name).string();
    if (fits && (!kind.check_content || IsWrittenByTorch(path))) {
      found.push_back(std::move(path));
    }
  }
  return found;
}

absl::Status Ambiguous(const std::string& directory,
                       absl::Span<const std::string> found) {
  const auto listed = found.first(std::min(found.size(), kMaxListed));
  return FileError(directory)(
      "expected one checkpoint, found ", found.size(),
      "; name one of them: ", absl::StrJoin(listed, ", "),
      listed.size() < found.size() ? ", ..." : "");
}

absl::StatusOr<std::string> ChooseIn(const std::string& directory) {
  RWKVD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         FileNames(directory));
  for (absl::string_view name : kWellKnownNames) {
    if (std::binary_search(names.begin(), names.end(), name)) {
      return (fs::path(directory) / std::string(name)).string();
    }
  }
  for (const Kind& kind : Kinds()) {
    const auto found = FilesOfKind(directory, names, kind);
    if (found.size() == 1) return found[0];
    if (found.size() > 1) return Ambiguous(directory, found);
  }
  return absl::NotFoundError(absl::StrCat(
      directory,
      ": no checkpoint found: expected a *.safetensors, *.st, *.index.json or "
      "*.pth file, or a *.bin or *.pt file written by torch.save"));
}

}  // namespace

absl::StatusOr<std::string> ChooseCheckpoint(const std::string& path) {
  std::error_code ignored;  // opening the file later reports it
  if (!fs::is_directory(path, ignored)) return path;
  return ChooseIn(path);
}

}  // namespace rwkvd
