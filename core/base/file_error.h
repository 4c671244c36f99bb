// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_FILE_ERROR_H_
#define RWKVD_CORE_BASE_FILE_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/quote.h"

namespace rwkvd {

// Builds the errors of code that reads a file. Each error is InvalidArgument;
// its message begins with the file and, if given, the part of the file that is
// wrong:
//
//   const FileError error(path);
//   return error.In("tensor", name)("expected 2 dimensions, got ", rank);
//
// Views its arguments, which must outlive it. A value.
class FileError {
 public:
  explicit FileError(absl::string_view file) : file_(file) {}

  // Errors in one part of the file, such as the tensor "emb.weight".
  FileError In(absl::string_view kind, absl::string_view name) const {
    FileError error = *this;
    error.kind_ = kind;
    error.name_ = name;
    return error;
  }

  template <typename... Args>
  absl::Status operator()(const Args&... args) const {
    return absl::InvalidArgumentError(absl::StrCat(Prefix(), ": ", args...));
  }

  absl::string_view file() const { return file_; }
  // The start of each message: the file and, if given, its part.
  std::string Prefix() const {
    if (kind_.empty()) return std::string(file_);
    return absl::StrCat(file_, ": ", kind_, " ", Quoted(name_));
  }

 private:
  absl::string_view file_;
  absl::string_view kind_;
  absl::string_view name_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_FILE_ERROR_H_
