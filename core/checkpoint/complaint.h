// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_COMPLAINT_H_
#define RWKVD_CORE_CHECKPOINT_COMPLAINT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/quote.h"

namespace rwkvd {

// Makes the errors of what reads a file: InvalidArgument, with a message that
// begins with the file and, where there is one, the part of it that is wrong.
// Views what it is made of; a value.
class Complaint {
 public:
  explicit Complaint(absl::string_view where) : where_(where) {}

  // The same about a part, such as the tensor "emb.weight".
  Complaint About(absl::string_view kind, absl::string_view name) const {
    Complaint about = *this;
    about.kind_ = kind;
    about.name_ = name;
    return about;
  }

  template <typename... Args>
  absl::Status operator()(const Args&... args) const {
    return absl::InvalidArgumentError(absl::StrCat(Prefix(), ": ", args...));
  }

  absl::string_view where() const { return where_; }
  // What the messages begin with.
  std::string Prefix() const {
    if (kind_.empty()) return std::string(where_);
    return absl::StrCat(where_, ": ", kind_, " ", Quoted(name_));
  }

 private:
  absl::string_view where_;
  absl::string_view kind_;
  absl::string_view name_;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_COMPLAINT_H_
