// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_MAPPING_FAULTS_H_
#define RWKVD_CORE_BASE_MAPPING_FAULTS_H_

// What happens when a program reads a page of a mapped file that the system
// cannot provide: another process has truncated the file, or the disk fails.
// The system then sends SIGBUS, which would end the program without a word
// about the file.

#include <cstddef>
#include <cstdint>
#include <optional>

namespace rwkvd {

// What the handler does with such a fault.
enum class FaultAction {
  // Replaces the whole mapping by zeros and continues. What was computed from
  // the mapping is wrong from then on, so the program must look at
  // MappingRegistration::is_lost before it uses a result.
  kReplaceByZeros,
  // Writes one line that names the file to the standard error, and ends the
  // process with exit code 1. Nothing is flushed.
  kExit,
};

// Installs the handler of SIGBUS. It handles faults in registered mappings, and
// passes all other signals to the handler that was installed before. Called
// once, by main, after all other handlers have been installed.
void InstallMappingFaultHandler(FaultAction action);

// The mappings that have been lost since the process started. Thread-safe.
int64_t NumLostMappings();

// Entry of one mapping in a table that the handler reads. The destructor
// removes the entry; it runs before the mapping is removed. Thread-safe.
class MappingRegistration {
 public:
  static constexpr int kMaxMappings = 4096;

  // `path` is a string that outlives the registration. Nothing if kMaxMappings
  // mappings are registered.
  static std::optional<MappingRegistration> Register(const void* begin,
                                                     size_t size,
                                                     const char* path);

  MappingRegistration(MappingRegistration&& other) noexcept
      : slot_(other.slot_) {
    other.slot_ = -1;
  }
  MappingRegistration& operator=(MappingRegistration&&) = delete;
  ~MappingRegistration();

  // Whether the mapping has been replaced by zeros.
  bool is_lost() const;

 private:
  explicit MappingRegistration(int slot) : slot_(slot) {}

  int slot_;  // -1 after a move
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_MAPPING_FAULTS_H_
