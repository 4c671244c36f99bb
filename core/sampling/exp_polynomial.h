// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_SAMPLING_EXP_POLYNOMIAL_H_
#define RWKVD_CORE_SAMPLING_EXP_POLYNOMIAL_H_

namespace rwkvd {

// e^x = 2^n * 2^f with n + f = x / ln 2 and f in [-0.5, 0.5].
inline constexpr double kLog2OfE = 0x1.71547652b82fep+0;

// The coefficients of a polynomial for 2^f, highest power first: the Chebyshev
// interpolant of degree 10, with an error below 2.2e-16 and 2^0 = 1 exactly.
inline constexpr double kPowerOfTwo[] = {
    0x1.e6063f7217bc6p-28,
    0x1.b675bca4eeebbp-24,
    0x1.62bfd47773353p-20,
    0x1.ffcb54062e698p-17,
    0x1.430913096fd9fp-13,
    0x1.5d87fe9d7a584p-10,
    0x1.3b2ab6fba1ddap-7,
    0x1.c6b08d703ce49p-5,
    0x1.ebfbdff82c598p-3,
    0x1.62e42fefa3a19p-1,
    0x1.0p+0,
};

// Rounds when added to a number of magnitude below 2^51: the lowest bits of the
// sum hold the nearest integer.
inline constexpr double kRounder = 0x1.8p+52;

// Results below 2^kLowestExponent become zero.
inline constexpr double kLowestExponent = -1022;

}  // namespace rwkvd

#endif  // RWKVD_CORE_SAMPLING_EXP_POLYNOMIAL_H_
