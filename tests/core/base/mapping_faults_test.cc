// SPDX-License-Identifier: Apache-2.0
#include "core/base/mapping_faults.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/mapped_file.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

constexpr size_t kBytes = 1 << 20;

std::shared_ptr<const MappedFile> MapNewFile(const std::string& path) {
  testing::WriteFileOrDie(path, std::string(kBytes, 'x'));
  return *MappedFile::Open(path);
}

int Sum(const MappedFile& file) {
  int sum = 0;
  for (const std::byte byte : file.bytes()) sum += static_cast<int>(byte);
  return sum;
}

// Death tests, because the handler is for the whole process.
class MappingFaultsDeathTest : public ::testing::Test {
 protected:
  MappingFaultsDeathTest() {
    ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  }
  const std::string path_ = testing::MakeTempDirectory() + "/model";
};

// Exits with 0 if all is as it should be.
[[noreturn]] void ReadTruncatedFile(const std::string& path) {
  InstallMappingFaultHandler(FaultAction::kReplaceByZeros);
  const auto file = MapNewFile(path);
  const auto other = MapNewFile(path + ".other");
  if (truncate(path.c_str(), 5000) != 0) std::_Exit(2);
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) readers.emplace_back([&] { Sum(*file); });
  for (std::thread& reader : readers) reader.join();
  if (Sum(*file) != 0) std::_Exit(3);
  if (!file->is_lost() || NumLostMappings() != 1) std::_Exit(4);
  if (!absl::IsDataLoss(file->CheckUnchanged())) std::_Exit(5);
  if (other->is_lost() || Sum(*other) != kBytes * 'x') std::_Exit(6);
  std::_Exit(0);
}

TEST_F(MappingFaultsDeathTest, TruncatedFileBecomesZerosAndIsReported) {
  EXPECT_EXIT(ReadTruncatedFile(path_), ::testing::ExitedWithCode(0), "");
}

[[noreturn]] void ReadTruncatedFileToExit(const std::string& path) {
  InstallMappingFaultHandler(FaultAction::kExit);
  const auto file = MapNewFile(path);
  if (truncate(path.c_str(), 0) != 0) std::_Exit(2);
  Sum(*file);
  std::_Exit(3);
}

TEST_F(MappingFaultsDeathTest, ExitNamesTheFile) {
  EXPECT_EXIT(ReadTruncatedFileToExit(path_), ::testing::ExitedWithCode(1),
              "/model: the mapped file cannot be read any more");
}

void ExitWith7(int, siginfo_t*, void*) { _exit(7); }

void InstallExitWith7() {
  struct sigaction action = {};
  action.sa_sigaction = &ExitWith7;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

// A signal that has nothing to do with a mapped file.
[[noreturn]] void RaiseBusError(bool has_handler) {
  if (has_handler) InstallExitWith7();
  InstallMappingFaultHandler(FaultAction::kReplaceByZeros);
  raise(SIGBUS);
  std::_Exit(3);
}

TEST_F(MappingFaultsDeathTest, OtherSignalsGoToTheHandlerBefore) {
  EXPECT_EXIT(RaiseBusError(true), ::testing::ExitedWithCode(7), "");
  EXPECT_EXIT(RaiseBusError(false), ::testing::KilledBySignal(SIGBUS), "");
}

// A fault in a mapping that is registered no more.
[[noreturn]] void ReadAfterRegistration(const std::string& path) {
  testing::WriteFileOrDie(path, std::string(kBytes, 'x'));
  InstallExitWith7();
  InstallMappingFaultHandler(FaultAction::kExit);
  const int fd = open(path.c_str(), O_RDONLY);
  void* const begin = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0);
  if (begin == MAP_FAILED) std::_Exit(2);
  MappingRegistration::Register(begin, kBytes, "path");
  if (truncate(path.c_str(), 0) != 0) std::_Exit(3);
  std::_Exit(*static_cast<volatile char*>(begin));
}

TEST_F(MappingFaultsDeathTest, FaultsElsewhereGoToTheHandlerBefore) {
  EXPECT_EXIT(ReadAfterRegistration(path_), ::testing::ExitedWithCode(7), "");
}

TEST(MappingRegistrationTest, HasAMaximum) {
  static const char bytes[1] = {};
  std::vector<std::optional<MappingRegistration>> registrations;
  for (int i = 0; i < MappingRegistration::kMaxMappings; ++i) {
    registrations.push_back(MappingRegistration::Register(bytes, 1, "x"));
    ASSERT_TRUE(registrations.back().has_value());
  }
  EXPECT_FALSE(MappingRegistration::Register(bytes, 1, "x").has_value());
  registrations.pop_back();
  EXPECT_TRUE(MappingRegistration::Register(bytes, 1, "x").has_value());
}

}  // namespace
}  // namespace rwkvd
