// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/dot_loops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <sys/auxv.h>
#endif

namespace rwkvd::bench {
namespace {

// Hides the value of a register from the compiler, which could otherwise merge
// equal sums, or remove sums that nobody reads.
#if defined(__x86_64__)
#define RWKVD_HIDE(value) asm volatile("" : "+v"(value))
#elif defined(__aarch64__)
#define RWKVD_HIDE(value) asm volatile("" : "+w"(value))
#endif

#if defined(__x86_64__)

constexpr int kWideSums = 20;    // AVX-512 has 32 registers
constexpr int kNarrowSums = 10;  // AVX2 has 16

__attribute__((target("avx512f,avx512bf16"))) double RunBF16x512(
    int64_t rounds) {
  __m512 sums[kWideSums] = {};
#pragma GCC unroll 20
  for (__m512& sum : sums) RWKVD_HIDE(sum);
  const auto a = (__m512bh)_mm512_set1_epi16(0x3c01);
  const auto b = (__m512bh)_mm512_set1_epi16(0x3c02);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 20
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, a, b);
  }
#pragma GCC unroll 20
  for (__m512& sum : sums) RWKVD_HIDE(sum);
  return 2.0 * 32 * kWideSums * double(rounds);
}

__attribute__((target("avx512f,avx512vnni"))) double RunVnni512(
    int64_t rounds) {
  __m512i sums[kWideSums] = {};
#pragma GCC unroll 20
  for (__m512i& sum : sums) RWKVD_HIDE(sum);
  const __m512i a = _mm512_set1_epi32(0x01020304);
  const __m512i b = _mm512_set1_epi32(0x04030201);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 20
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
  }
#pragma GCC unroll 20
  for (__m512i& sum : sums) RWKVD_HIDE(sum);
  return 2.0 * 64 * kWideSums * double(rounds);
}

__attribute__((target("avx2,avxvnni"))) double RunVnni256(int64_t rounds) {
  __m256i sums[kNarrowSums] = {};
#pragma GCC unroll 10
  for (__m256i& sum : sums) RWKVD_HIDE(sum);
  const __m256i a = _mm256_set1_epi32(0x01020304);
  const __m256i b = _mm256_set1_epi32(0x04030201);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 10
    for (__m256i& sum : sums) sum = _mm256_dpbusd_avx_epi32(sum, a, b);
  }
#pragma GCC unroll 10
  for (__m256i& sum : sums) RWKVD_HIDE(sum);
  return 2.0 * 32 * kNarrowSums * double(rounds);
}

// The three AVX2 instructions that do the work of one VNNI instruction. A
// factor is hidden in each round, so that the compiler multiplies every time.
__attribute__((target("avx2"))) double RunMadd256(int64_t rounds) {
  __m256i sums[kNarrowSums] = {};
#pragma GCC unroll 10
  for (__m256i& sum : sums) RWKVD_HIDE(sum);
  __m256i a = _mm256_set1_epi32(0x01020304);
  const __m256i b = _mm256_set1_epi32(0x04030201);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 10
    for (__m256i& sum : sums) {
      RWKVD_HIDE(a);
      const __m256i pairs = _mm256_maddubs_epi16(a, b);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
  }
#pragma GCC unroll 10
  for (__m256i& sum : sums) RWKVD_HIDE(sum);
  return 2.0 * 32 * kNarrowSums * double(rounds);
}

// Eight tiles of 16 rows of 64 bytes. They hold zeros: the speed of the
// instructions does not depend on the values.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The tile arrangement of a GEMM: four tiles of sums, two of each factor.
__attribute__((target("amx-tile,amx-int8"))) double RunAmxInt8(int64_t rounds) {
  const TileConfig config;
  _tile_loadconfig(&config);
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return 2.0 * 16 * 16 * 64 * 4 * double(rounds);
}

__attribute__((target("amx-tile,amx-bf16"))) double RunAmxBF16(int64_t rounds) {
  const TileConfig config;
  _tile_loadconfig(&config);
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 2.0 * 16 * 16 * 32 * 4 * double(rounds);
}

// Asks Linux to let this process use AMX tiles. Returns whether it does.
bool RequestTiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

std::vector<DotLoop> FindLoops() {
  __builtin_cpu_init();
  std::vector<DotLoop> loops;
  if (__builtin_cpu_supports("avx512bf16")) {
    loops.push_back({Arithmetic::kBF16, "vdpbf16ps, 512 bit", &RunBF16x512});
  }
  if (__builtin_cpu_supports("avx512vnni")) {
    loops.push_back({Arithmetic::kInt8, "vpdpbusd, 512 bit", &RunVnni512});
  }
  if (__builtin_cpu_supports("avxvnni")) {
    loops.push_back({Arithmetic::kInt8, "vpdpbusd, 256 bit", &RunVnni256});
  }
  if (__builtin_cpu_supports("avx2")) {
    loops.push_back(
        {Arithmetic::kInt8, "vpmaddubsw + vpmaddwd, 256 bit", &RunMadd256});
  }
  if (__builtin_cpu_supports("amx-tile") && RequestTiles()) {
    if (__builtin_cpu_supports("amx-bf16")) {
      loops.push_back({Arithmetic::kAmxBF16, "tdpbf16ps", &RunAmxBF16});
    }
    if (__builtin_cpu_supports("amx-int8")) {
      loops.push_back({Arithmetic::kAmxInt8, "tdpbssd", &RunAmxInt8});
    }
  }
  return loops;
}

#elif defined(__aarch64__)

constexpr int kSums = 20;  // NEON has 32 registers

__attribute__((target("+dotprod"))) double RunSdot(int64_t rounds) {
  int32x4_t sums[kSums] = {};
#pragma GCC unroll 20
  for (int32x4_t& sum : sums) RWKVD_HIDE(sum);
  const int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 20
    for (int32x4_t& sum : sums) sum = vdotq_s32(sum, a, b);
  }
#pragma GCC unroll 20
  for (int32x4_t& sum : sums) RWKVD_HIDE(sum);
  return 2.0 * 16 * kSums * double(rounds);
}

std::vector<DotLoop> FindLoops() {
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) == 0) return {};
  return {{Arithmetic::kInt8, "sdot", &RunSdot}};
}

#else

std::vector<DotLoop> FindLoops() { return {}; }

#endif

}  // namespace

const std::vector<DotLoop>& SupportedDotLoops() {
  static const auto* const loops = new std::vector<DotLoop>(FindLoops());
  return *loops;
}

}  // namespace rwkvd::bench
