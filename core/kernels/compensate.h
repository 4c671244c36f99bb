// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_COMPENSATE_H_
#define RWKVD_CORE_KERNELS_COMPENSATE_H_

#include "absl/types/span.h"
#include "core/kernels/feedback.h"
#include "core/kernels/quantize.h"

namespace rwkvd {

// Quantizes a stripe as QuantizeStripe does, except that what rounding takes
// from a column is made up for by those that are rounded later. `spans` are for
// columns one behind another, all of the stripe's together; nothing passes from
// one to the next.
//
// The scale of a group is that, of those which suit its columns as they would
// be if none of them were rounded, which leaves the least error when each
// becomes the nearest number. Then each is rounded up or down, whichever is
// best for the output: not all ways are tried, but the best few go on from
// column to column.
//
// Where the inputs do not go together and are all alike (moments that are a
// multiple of the identity), the bytes are those of QuantizeStripe.
//
// The bytes depend on the arguments alone. Thread-safe. False if
// a weight is not finite, or what is to make up for others: what was written
// then means nothing.
bool CompensateStripe(const QuantizeArgs& args,
                      absl::Span<const Feedback> spans);

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_COMPENSATE_H_
