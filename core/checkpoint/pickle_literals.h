// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_PICKLE_LITERALS_H_
#define RWKVD_CORE_CHECKPOINT_PICKLE_LITERALS_H_

#include "core/checkpoint/byte_reader.h"
#include "core/checkpoint/pickle_object.h"
#include "core/checkpoint/pickle_opcodes.h"

namespace rwkvd {

// Whether the opcode pushes an object that its own bytes define: a number, a
// string, a boolean or None.
bool IsLiteral(PickleOpcode opcode);

// Reads the bytes that follow a literal's opcode into `object`. Returns false
// if there are fewer bytes than needed.
bool ReadLiteral(PickleOpcode opcode, ByteReader& reader, PickleObject& object);

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_PICKLE_LITERALS_H_
