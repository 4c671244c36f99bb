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

// Writes one pickle of protocol 2 with the opcodes that Python's pickler
// chooses. Each call appends one value, or an operation on the values before
// it. Strings and globals are written once; later uses refer to the memo.
class PickleWriter {
 public:
  PickleWriter();

  // Ends the pickle and returns its bytes. The last call.
  std::string Finish();

  void Int(int64_t value);  // in [0, 2^31)
  // A large integer, as a little-endian two's complement number.
  void Long(absl::string_view bytes);
  void Bool(bool value);
  void None();
  void String(const std::string& value);
  // A global, such as ("collections", "OrderedDict").
  void Global(const std::string& module, const std::string& name);

  // A tuple whose elements `write` appends.
  void Tuple(int size, const std::function<void()>& write);
  void Ints(absl::Span<const int64_t> values);         // a tuple
  void Strings(absl::Span<const std::string> values);  // a list
  // An empty dict or OrderedDict.
  void EmptyDict();
  void EmptyOrderedDict();
  // Sets items of the dict before it; `write(i)` appends a key and its value.
  void SetItems(int64_t size, const std::function<void(int64_t)>& write);

  void PersistentId();  // converts the tuple before it
  void Reduce();        // calls a global with the tuple that follows it
  void Build();         // sets the state of an object to the value after it

 private:
  void Op(char opcode) { bytes_ += opcode; }
  void Memoize();
  // Pushes the value of `key` from the memo; false if it is not there.
  bool Get(const std::string& key);

  std::string bytes_;
  std::map<std::string, int64_t> memo_;
  int64_t memo_size_ = 0;
};

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_PICKLE_WRITER_H_
