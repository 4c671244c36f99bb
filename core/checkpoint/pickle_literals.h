// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_PICKLE_LITERALS_H_
#define RWKVD_CORE_CHECKPOINT_PICKLE_LITERALS_H_

#include "core/checkpoint/byte_reader.h"
#include "core/checkpoint/pickle_object.h"
#include "core/checkpoint/pickle_opcodes.h"

namespace rwkvd {

// Whether the opcode pushes an object that its own bytes spell out: a number,
// a text, a truth value or None.
bool IsLiteral(PickleOpcode opcode);

// Reads what follows such an opcode into `object`. False if it is cut off, or
// announces more bytes than there are.
bool ReadLiteral(PickleOpcode opcode, ByteReader& reader, PickleObject& object);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_PICKLE_LITERALS_H_
