// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_SEQUENCE_SAMPLE_GROUP_H_
#define RWKVD_CORE_ENGINE_SEQUENCE_SAMPLE_GROUP_H_

#include <cstdint>

namespace rwkvd {

// The samples of one request: only some of them may run at the same time, so
// that other requests find slots.
//
// Owned by these samples. Engine thread only, once they are queued.
struct SampleGroup {
  int64_t num_running = 0;   // samples that occupy a slot
  bool has_started = false;  // a sample has had a slot
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_SEQUENCE_SAMPLE_GROUP_H_
