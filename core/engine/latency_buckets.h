// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_ENGINE_LATENCY_BUCKETS_H_
#define RWKVD_CORE_ENGINE_LATENCY_BUCKETS_H_

namespace rwkvd {

// Upper bounds of histogram buckets, in seconds, from OpenTelemetry's semantic
// conventions for generative models: for the time to the first token, the time
// per further token, and the duration of a request.
inline constexpr double kFirstTokenSeconds[] = {
    .001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10};
inline constexpr double kTokenSeconds[] = {.01, .025, .05, .075, .1, .15, .2,
                                           .3,  .4,   .5,  .75,  1,  2.5};
inline constexpr double kRequestSeconds[] = {.01,   .02,   .04,   .08,  .16,
                                             .32,   .64,   1.28,  2.56, 5.12,
                                             10.24, 20.48, 40.96, 81.92};

}  // namespace rwkvd

#endif  // RWKVD_CORE_ENGINE_LATENCY_BUCKETS_H_
