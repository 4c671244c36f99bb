// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_KERNELS_WKV_H_
#define RWKVD_CORE_KERNELS_WKV_H_

namespace rwkvd {

// Arguments of KernelTable::wkv4: one token of RWKV-4's recurrence over n
// channels. All arrays are f32 [n].
struct Wkv4Args {
  const float* k;
  const float* v;
  const float* r;      // receptance, before the sigmoid
  const float* decay;  // w = -exp(time_decay)
  const float* bonus;  // u = time_first
  float* aa;           // numerator, scaled by exp(-pp); updated
  float* bb;           // denominator, scaled by exp(-pp); updated
  float* pp;           // exponent that keeps aa and bb in range; updated
  float* out;
};

// Arguments of KernelTable::wkv6: one token of the recurrence of RWKV-5 and 6
// over a head of n channels. Arrays are f32 [n] unless said otherwise.
struct Wkv6Args {
  const float* r;  // receptance
  const float* k;
  const float* v;
  const float* decay;  // w, in (0, 1)
  const float* bonus;  // u
  float* state;        // [n key][n value]; updated
  float* out;
};

// Arguments of KernelTable::wkv7: one token of RWKV-7's recurrence over a head
// of n channels. Arrays are f32 [n] unless said otherwise.
struct Wkv7Args {
  const float* r;  // receptance
  const float* k;  // key of what is added
  const float* v;
  const float* decay;  // w, in (0, 1)
  const float* kk;     // key of what is removed, normalized to length 1
  const float* a;      // in-context learning rate, in (0, 1)
  float* state;        // [n key][n value]; updated
  float* out;
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_KERNELS_WKV_H_
