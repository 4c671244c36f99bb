// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_PICKLE_WRITER_H_
#define RWKVD_TESTS_TESTING_PICKLE_WRITER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace rwkvd::testing {

// Writes one pickle of protocol 2, with the opcodes that Python's own pickler
// chooses: each call appends one value, or an operation on those before it.
// Strings and globals are written once and taken from the memo afterwards.
class PickleWriter {
 public:
  PickleWriter();

  // Ends the pickle; nothing may be written after it.
  std::string Finish();

  void Int(int64_t value);  // not negative, below 2^31
  // 0x1950a86a20f9469cfc6c and the like: little-endian two's complement.
  void Long(absl::string_view bytes);
  void Bool(bool value);
  void None();
  void String(const std::string& value);
  // "collections", "OrderedDict"
  void Global(const std::string& module, const std::string& name);

  // `write` appends the elements.
  void Tuple(int size, const std::function<void()>& write);
  void Ints(absl::Span<const int64_t> values);         // a tuple
  void Strings(absl::Span<const std::string> values);  // a list
  // {} or OrderedDict().
  void EmptyDict();
  void EmptyOrderedDict();
  // Into the dict before it: `write(i)` appends a key and its value.
  void SetItems(int64_t size, const std::function<void(int64_t)>& write);

  void PersistentId();  // of the tuple before it
  void Reduce();        // calls a global with the tuple after it
  void Build();         // gives an object the state after it

 private:
  void Op(char opcode) { bytes_ += opcode; }
  void Memoize();
  // True if `key` was in the memo, and is now on the stack.
  bool Get(const std::string& key);

  std::string bytes_;
  std::map<std::string, int64_t> memo_;
  int64_t memo_size_ = 0;
};

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_PICKLE_WRITER_H_
