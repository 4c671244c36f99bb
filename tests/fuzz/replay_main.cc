// SPDX-License-Identifier: Apache-2.0
//
// Runs a fuzz target on every file of its corpus, in the order of the names:
//
//   NAME_fuzz_test CORPUS
//
// Fails if there is no file, or if a file takes more than 10 seconds, which
// inputs of a few kilobytes never need, even with a sanitizer on a busy
// machine.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_input.h"

namespace {

constexpr unsigned kMaxSeconds = 10;

std::vector<std::filesystem::path> FilesIn(const char* directory) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(directory, error)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string Contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

const char* running = "";  // the file that OnAlarm reports

void OnAlarm(int) {
  for (const char* part : {"takes too long: ", running, "\n"}) {
    if (write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  }
  _exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
    return 2;
  }
  signal(SIGALRM, OnAlarm);
  const std::vector<std::filesystem::path> files = FilesIn(argv[1]);
  for (const std::filesystem::path& path : files) {
    std::printf("%s\n", path.c_str());
    std::fflush(stdout);  // so that the name precedes the report of a crash
    const std::string input = Contents(path);
    running = path.c_str();
    alarm(kMaxSeconds);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()),
                           input.size());
    alarm(0);
  }
  std::printf("%zu inputs\n", files.size());
  return files.empty() ? 1 : 0;
}
