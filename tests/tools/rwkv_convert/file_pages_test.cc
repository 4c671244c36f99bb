// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/file_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/mapped_file.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

constexpr size_t kSize = 16 << 20;

// The number of bytes of the range that are in memory.
int64_t ResidentBytes(absl::Span<const std::byte> bytes) {
  std::string pagemap(bytes.size() / sysconf(_SC_PAGESIZE) * 8, '\0');
  FILE* file = fopen("/proc/self/pagemap", "rb");
  EXPECT_NE(file, nullptr);
  fseek(file,
        reinterpret_cast<uintptr_t>(bytes.data()) / sysconf(_SC_PAGESIZE) * 8,
        SEEK_SET);
  EXPECT_EQ(fread(pagemap.data(), 1, pagemap.size(), file), pagemap.size());
  fclose(file);
  int64_t pages = 0;
  for (size_t i = 7; i < pagemap.size(); i += 8) {
    pages += static_cast<unsigned char>(pagemap[i]) >> 7;
  }
  return pages * sysconf(_SC_PAGESIZE);
}

TEST(FilePagesTest, ReleasesPagesWhichCanBeReadAgain) {
  const std::string path = testing::MakeTempDirectory() + "/file";
  testing::WriteFileOrDie(path, std::string(kSize, 'x'));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  const FilePages pages;
  const auto bytes = (*file)->bytes();
  const auto all_x = [&] {
    return std::all_of(bytes.begin(), bytes.end(),
                       [](std::byte b) { return b == std::byte{'x'}; });
  };
  ASSERT_TRUE(all_x());
  EXPECT_EQ(ResidentBytes(bytes), kSize);
  pages.Release(bytes.subspan(kSize / 2));
  EXPECT_LE(ResidentBytes(bytes), kSize / 2);
  EXPECT_GT(ResidentBytes(bytes), kSize / 4);
  pages.Release(bytes);
  EXPECT_EQ(ResidentBytes(bytes), 0);
  EXPECT_TRUE(all_x());
  pages.ReleaseAll();
  EXPECT_EQ(ResidentBytes(bytes), 0);
}

TEST(FilePagesTest, DoesNotTouchOtherMemory) {
  const FilePages pages;
  std::vector<std::byte> memory(kSize, std::byte{'y'});
  pages.Release(memory);
  pages.Release({});
  EXPECT_EQ(std::count(memory.begin(), memory.end(), std::byte{'y'}), kSize);
}

}  // namespace
}  // namespace rwkvd
