// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_SERVICE_LISTENER_SHORT_FOLDER_H_
#define RWKVD_TESTS_SERVICE_LISTENER_SHORT_FOLDER_H_

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "core/base/check.h"

namespace rwkvd {

// A new folder whose path is short enough for sockets in it, unlike that of
// ::testing::TempDir(). The destructor removes it. Thread-compatible.
class ShortFolder {
 public:
  ShortFolder() { RWKVD_CHECK(mkdtemp(path_.data()) != nullptr); }
  ~ShortFolder() { std::filesystem::remove_all(path_); }
  ShortFolder(const ShortFolder&) = delete;
  ShortFolder& operator=(const ShortFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/rwkvd-test-XXXXXX";
};

}  // namespace rwkvd

#endif  // RWKVD_TESTS_SERVICE_LISTENER_SHORT_FOLDER_H_
