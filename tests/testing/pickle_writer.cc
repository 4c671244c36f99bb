// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/pickle_writer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd::testing {
namespace {

constexpr int64_t kBatch = 1000;  // items set by one opcode

}  // namespace

PickleWriter::PickleWriter() : bytes_("\x80\x02") {}

std::string PickleWriter::Finish() { return bytes_ + "."; }

void PickleWriter::Int(int64_t value) {
  RWKVD_CHECK(value >= 0 && value < (int64_t{1} << 31));
  if (value < 256) {
    absl::StrAppend(&bytes_, "K", LittleEndian(value, 1));
  } else if (value < 65536) {
    absl::StrAppend(&bytes_, "M", LittleEndian(value, 2));
  } else {
    absl::StrAppend(&bytes_, "J", LittleEndian(value, 4));
  }
}

void PickleWriter::Long(absl::string_view bytes) {
  absl::StrAppend(&bytes_, "\x8a", LittleEndian(bytes.size(), 1), bytes);
}

void PickleWriter::Bool(bool value) { Op(value ? '\x88' : '\x89'); }
void PickleWriter::None() { Op('N'); }

void PickleWriter::String(const std::string& value) {
  if (Get("string " + value)) return;
  absl::StrAppend(&bytes_, "X", LittleEndian(value.size(), 4), value);
  memo_["string " + value] = memo_size_;
  Memoize();
}

void PickleWriter::Global(const std::string& module, const std::string& name) {
  const std::string both = absl::StrCat(module, "\n", name, "\n");
  if (Get("global " + both)) return;
  absl::StrAppend(&bytes_, "c", both);
  memo_["global " + both] = memo_size_;
  Memoize();
}

void PickleWriter::Tuple(int size, const std::function<void()>& write) {
  if (size == 0) {
    Op(')');
    return;
  }
  if (size > 3) Op('(');
  write();
  Op(size > 3 ? 't' : "\x85\x86\x87"[size - 1]);
  Memoize();
}

void PickleWriter::Ints(absl::Span<const int64_t> values) {
  Tuple(values.size(), [&] {
    for (int64_t value : values) Int(value);
  });
}

void PickleWriter::Strings(absl::Span<const std::string> values) {
  Op(']');
  Memoize();
  for (size_t i = 0; i < values.size(); i += kBatch) {
    const auto batch = values.subspan(i, kBatch);
    if (batch.size() > 1) Op('(');
    for (const std::string& value : batch) String(value);
    Op(batch.size() > 1 ? 'e' : 'a');
  }
}

void PickleWriter::EmptyDict() {
  Op('}');
  Memoize();
}

void PickleWriter::EmptyOrderedDict() {
  Global("collections", "OrderedDict");
  Tuple(0, nullptr);
  Reduce();
}

void PickleWriter::SetItems(int64_t size,
                            const std::function<void(int64_t)>& write) {
  for (int64_t first = 0; first < size; first += kBatch) {
    const int64_t end = std::min(first + kBatch, size);
    if (end - first > 1) Op('(');
    for (int64_t i = first; i < end; ++i) write(i);
    Op(end - first > 1 ? 'u' : 's');
  }
}

void PickleWriter::PersistentId() { Op('Q'); }

void PickleWriter::Reduce() {
  Op('R');
  Memoize();
}

void PickleWriter::Build() { Op('b'); }

void PickleWriter::Memoize() {
  if (memo_size_ < 256) {
    absl::StrAppend(&bytes_, "q", LittleEndian(memo_size_, 1));
  } else {
    absl::StrAppend(&bytes_, "r", LittleEndian(memo_size_, 4));
  }
  ++memo_size_;
}

bool PickleWriter::Get(const std::string& key) {
  const auto found = memo_.find(key);
  if (found == memo_.end()) return false;
  if (found->second < 256) {
    absl::StrAppend(&bytes_, "h", LittleEndian(found->second, 1));
  } else {
    absl::StrAppend(&bytes_, "j", LittleEndian(found->second, 4));
  }
  return true;
}

}  // namespace rwkvd::testing
