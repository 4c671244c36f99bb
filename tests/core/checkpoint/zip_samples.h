// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_CORE_CHECKPOINT_ZIP_SAMPLES_H_
#define RWKVD_TESTS_CORE_CHECKPOINT_ZIP_SAMPLES_H_

// Writes the records of a zip archive with any values of their fields, valid or
// invalid.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd::testing {

// The content of a field whose value is in a ZIP64 record.
inline constexpr uint64_t kIn64 = 0xffffffff;

inline std::string Two(uint64_t value) { return LittleEndian(value, 2); }
inline std::string Four(uint64_t value) { return LittleEndian(value, 4); }
inline std::string Eight(uint64_t value) { return LittleEndian(value, 8); }

// A ZIP64 record in an extra field.
inline std::string Extra64(absl::string_view values) {
  return absl::StrCat(Two(1), Two(values.size()), values);
}

// The fields of one of an entry's two headers.
struct Header {
  std::string name;
  uint16_t flags = 0;
  uint16_t method = 0;
  uint64_t stored_size = 0;
  uint64_t size = 0;
  std::string extra;
};

inline Header HeaderOf(absl::string_view name, size_t size) {
  return {.name = std::string(name), .stored_size = size, .size = size};
}

inline std::string Fields(const Header& header) {
  return absl::StrCat(Two(header.flags), Two(header.method), Four(0), Four(0),
                      Four(header.stored_size), Four(header.size),
                      Two(header.name.size()), Two(header.extra.size()));
}

inline std::string Local(const Header& header) {
  return absl::StrCat("PK\3\4", Two(20), Fields(header), header.name,
                      header.extra);
}

inline std::string Central(const Header& header, uint64_t offset,
                           uint16_t volume = 0) {
  return absl::StrCat("PK\1\2", Two(20), Two(20), Fields(header), Two(0),
                      Two(volume), Two(0), Four(0), Four(offset), header.name,
                      header.extra);
}

// The end record of an archive.
inline std::string End(uint64_t entries, uint64_t size, uint64_t offset,
                       absl::string_view comment = "", uint16_t volume = 0) {
  return absl::StrCat("PK\5\6", Two(volume), Two(volume), Two(entries),
                      Two(entries), Four(size), Four(offset),
                      Two(comment.size()), comment);
}

// The ZIP64 end record at byte `at`, and its locator.
inline std::string End64(uint64_t entries, uint64_t size, uint64_t offset,
                         uint64_t at) {
  return absl::StrCat("PK\6\6", Eight(44), Two(45), Two(45), Four(0), Four(0),
                      Eight(entries), Eight(entries), Eight(size),
                      Eight(offset), "PK\6\7", Four(0), Eight(at), Four(1));
}

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_CORE_CHECKPOINT_ZIP_SAMPLES_H_
