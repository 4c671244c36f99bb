// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/unpickler.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/byte_reader.h"
#include "core/checkpoint/pickle_globals.h"
#include "core/checkpoint/pickle_literals.h"
#include "core/checkpoint/pickle_opcodes.h"
#include "core/checkpoint/pickle_stack.h"

namespace rwkvd {

using Items = PickleStack::Items;
using Kind = PickleObject::Kind;
using Op = PickleOpcode;

namespace {

// Each opcode takes at most a few hundred bytes of memory. A tensor has about
// 45 opcodes.
constexpr size_t kMaxOpcodes = 1'000'000;
constexpr uint8_t kMinProtocol = 2;
constexpr uint8_t kMaxProtocol = 5;
constexpr size_t kMaxGlobalBytes = 256;  // of a line with a module or a name
constexpr size_t kToMark = PickleStack::kToMark;

template <typename... Args>
absl::Status Error(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(args...));
}

absl::Status Truncated() { return Error("truncated"); }

}  // namespace

// The stack machine that executes one pickle. Used once. Messages of all but
// Run lack the position.
class PickleMachine {
 public:
  PickleMachine(absl::Span<const std::byte> bytes, absl::string_view where)
      : bytes_(bytes), reader_(bytes), where_(where) {}

  absl::StatusOr<Pickle> Run() &&;

 private:
  absl::Status Execute();
  absl::Status ReadProtocol();
  // Subtracts `cost` from the budget: 1 for each opcode, and 1 for each item of
  // an object that a call copies, since calls may copy it repeatedly.
  absl::Status Charge(size_t cost);
  // Executes one opcode; its argument, if any, is next in reader_.
  absl::Status Step(Op opcode);

  absl::Status PushLiteral(Op opcode);
  // Stores the object on top of the stack in the memo. Its number in the memo
  // is read from `width` bytes; if `width` is 0, it is the next free number.
  absl::Status Memoize(size_t width);
  // Pushes the object whose number in the memo is read from `width` bytes.
  absl::Status PushFromMemo(size_t width);
  // Pushes a global whose module and name are the next two lines.
  absl::Status ReadGlobal();
  // Pushes a global whose module and name are popped from the stack.
  absl::Status PopGlobal();
  absl::Status PushGlobal(absl::string_view module, absl::string_view name);
  // Pops a persistent id, ('storage', type, key, ...), and pushes its storage.
  absl::Status PushStorage();
  absl::Status Call();
  // Ignores the attributes of a dict, such as the version numbers of modules.
  absl::Status Build();
  // Ignores the length of a frame, which serves readers of streams.
  absl::Status SkipFrame();

  const absl::Span<const std::byte> bytes_;
  ByteReader reader_;
  const absl::string_view where_;
  size_t opcode_position_ = 0;
  size_t budget_ = kMaxOpcodes;
  Pickle pickle_;
  PickleStack stack_{&pickle_.objects_};
};

absl::StatusOr<Pickle> PickleMachine::Run() && {
  const absl::Status status = Execute();
  if (status.ok()) return std::move(pickle_);
  return Error(where_, ": pickle: byte ", opcode_position_, ": ",
               status.message());
}

absl::Status PickleMachine::Execute() {
  RWKVD_RETURN_IF_ERROR(ReadProtocol());
  while (true) {
    opcode_position_ = reader_.position();
    uint8_t opcode;
    if (!reader_.Read(&opcode)) return Truncated();
    if (Op{opcode} == Op::kStop) break;
    RWKVD_RETURN_IF_ERROR(Charge(1));
    RWKVD_RETURN_IF_ERROR(Step(Op{opcode}));
  }
  if (stack_.size() != 1 || stack_.num_marks() > 0) {
    return Error("expected one object on the stack at the end, got ",
                 stack_.size(), " objects and ", stack_.num_marks(), " marks");
  }
  RWKVD_ASSIGN_OR_RETURN(pickle_.root_, stack_.Pop());
  pickle_.num_bytes_ = reader_.position();
  return absl::OkStatus();
}

absl::Status PickleMachine::ReadProtocol() {
  uint8_t opcode, protocol;
  if (!reader_.Read(&opcode, &protocol)) return Truncated();
  if (Op{opcode} != Op::kProto) {
    return Error("expected a pickle of protocol 2 to 5");
  }
  if (protocol < kMinProtocol || protocol > kMaxProtocol) {
    return Error("expected protocol 2 to 5, got ", protocol);
  }
  return absl::OkStatus();
}

absl::Status PickleMachine::Charge(size_t cost) {
  if (cost > budget_) {
    return Error("more than ", kMaxOpcodes,
                 " opcodes, which no checkpoint needs");
  }
  budget_ -= cost;
  return absl::OkStatus();
}

absl::Status PickleMachine::Step(Op opcode) {
  switch (opcode) {
    case Op::kMark:
      stack_.Mark();
      return absl::OkStatus();
    case Op::kPop:
      return stack_.Pop().status();
    case Op::kPopMark:
      return stack_.PopItems(kToMark).status();
    case Op::kEmptyTuple:
      return stack_.PushContainer(Kind::kTuple, 0);
    case Op::kTuple1:
      return stack_.PushContainer(Kind::kTuple, 1);
    case Op::kTuple2:
      return stack_.PushContainer(Kind::kTuple, 2);
    case Op::kTuple3:
      return stack_.PushContainer(Kind::kTuple, 3);
    case Op::kTuple:
      return stack_.PushContainer(Kind::kTuple, kToMark);
    case Op::kEmptyList:
      return stack_.PushContainer(Kind::kList, 0);
    case Op::kList:
      return stack_.PushContainer(Kind::kList, kToMark);
    case Op::kEmptyDict:
      return stack_.PushContainer(Kind::kDict, 0);
    case Op::kDict:
      return stack_.PushContainer(Kind::kDict, kToMark);
    case Op::kAppend:
      return stack_.Extend(Kind::kList, 1);
    case Op::kAppends:
      return stack_.Extend(Kind::kList, kToMark);
    case Op::kSetItem:
      return stack_.Extend(Kind::kDict, 2);
    case Op::kSetItems:
      return stack_.Extend(Kind::kDict, kToMark);
    case Op::kMemoize:
      return Memoize(0);
    case Op::kBinPut:
      return Memoize(1);
    case Op::kLongBinPut:
      return Memoize(4);
    case Op::kBinGet:
      return PushFromMemo(1);
    case Op::kLongBinGet:
      return PushFromMemo(4);
    case Op::kGlobal:
      return ReadGlobal();
    case Op::kStackGlobal:
      return PopGlobal();
    case Op::kBinPersid:
      return PushStorage();
    case Op::kReduce:
      return Call();
    case Op::kBuild:
      return Build();
    case Op::kFrame:
      return SkipFrame();
    default:
      return PushLiteral(opcode);
  }
}

absl::Status PickleMachine::PushLiteral(Op opcode) {
  if (!IsLiteral(opcode)) {
    return Error(absl::StrFormat(
        "unsupported opcode 0x%02x, which checkpoints do not need",
        static_cast<int>(opcode)));
  }
  const bool complete = ReadLiteral(opcode, reader_, *stack_.Push(Kind::kNone));
  return complete ? absl::OkStatus() : Truncated();
}

absl::Status PickleMachine::Memoize(size_t width) {
  uint64_t number;
  if (!reader_.ReadNumber(width, &number)) return Truncated();
  return stack_.Memoize(width == 0 ? stack_.memo_size() : number);
}

absl::Status PickleMachine::PushFromMemo(size_t width) {
  uint64_t number;
  if (!reader_.ReadNumber(width, &number)) return Truncated();
  return stack_.PushFromMemo(number);
}

absl::Status PickleMachine::ReadGlobal() {
  absl::string_view lines[2];
  for (absl::string_view& line : lines) {
    const auto rest = bytes_.subspan(
        reader_.position(), std::min(reader_.remaining(), kMaxGlobalBytes));
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    if (end == rest.end()) {
      return Error("the name of a global does not end within ", rest.size(),
                   " bytes");
    }
    reader_.ReadText(end - rest.begin() + 1, &line);
    line.remove_suffix(1);
  }
  return PushGlobal(lines[0], lines[1]);
}

absl::Status PickleMachine::PopGlobal() {
  RWKVD_ASSIGN_OR_RETURN(const Items both, stack_.PopItems(2));
  if (both[0]->kind != Kind::kString || both[1]->kind != Kind::kString) {
    return Error("expected strings as module and name of a global");
  }
  return PushGlobal(both[0]->text, both[1]->text);
}

absl::Status PickleMachine::PushGlobal(absl::string_view module,
                                       absl::string_view name) {
  const absl::string_view known = FindGlobal(module, name);
  if (known.empty()) {
    return Error("unsupported global ", Quoted(absl::StrCat(module, ".", name)),
                 ": checkpoints do not need it, and code from a file is never "
                 "run; if you trust the file, load it in Python and save "
                 "only its state_dict");
  }
  stack_.Push(Kind::kGlobal)->text = known;
  return absl::OkStatus();
}

absl::Status PickleMachine::PushStorage() {
  RWKVD_ASSIGN_OR_RETURN(const PickleObject* const id, stack_.Pop());
  if (id->kind != Kind::kTuple || id->items.empty() ||
      id->items[0]->kind != Kind::kString || id->items[0]->text != "storage") {
    return Error("expected a persistent id that names a storage");
  }
  stack_.Push(Kind::kStorage)->arguments = id;
  return absl::OkStatus();
}

absl::Status PickleMachine::Call() {
  RWKVD_ASSIGN_OR_RETURN(const Items both, stack_.PopItems(2));
  const PickleObject& function = *both[0];
  const PickleObject& arguments = *both[1];
  if (function.kind != Kind::kGlobal || arguments.kind != Kind::kTuple) {
    return Error("expected a call of a global with a tuple of arguments");
  }
  PickleObject* const result = stack_.Push(Kind::kNone);
  if (!CallGlobal(function.text, arguments, *result)) {
    return Error("unsupported call of ", function.text,
                 ", which checkpoints do not need with these arguments");
  }
  return Charge(result->items.size());
}

absl::Status PickleMachine::Build() {
  RWKVD_RETURN_IF_ERROR(stack_.Pop().status());
  RWKVD_ASSIGN_OR_RETURN(const PickleObject* const object, stack_.Top());
  if (object->kind != Kind::kDict) {
    return Error("expected a dict to set attributes of");
  }
  return absl::OkStatus();
}

absl::Status PickleMachine::SkipFrame() {
  uint64_t size;
  if (!reader_.Read(&size) || size > reader_.remaining()) return Truncated();
  return absl::OkStatus();
}

absl::StatusOr<Pickle> ReadPickle(absl::Span<const std::byte> bytes,
                                  absl::string_view where) {
  return PickleMachine(bytes, where).Run();
}

}  // namespace rwkvd
