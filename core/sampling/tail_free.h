// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_TAIL_FREE_H_
#define RWKVD_CORE_SAMPLING_TAIL_FREE_H_

#include "core/sampling/distribution.h"

namespace rwkvd {

// Cuts the tail off where the probabilities, in descending order, run out into
// a straight line. Of their second differences |p_i - 2 p_(i+1) + p_(i+2)|,
// divided by the sum of all, those up to some i first sum to more than z: the
// first i candidates are left, at least one. z in (0, 1).
//
// Candidates less likely than e^-16 (about 10^-7) of the likeliest are tail
// whatever z is, so that there is less to put in order. `distribution` is not
// empty.
void KeepTailFree(double z, Distribution* distribution);

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_TAIL_FREE_H_
