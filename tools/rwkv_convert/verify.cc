// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/verify.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/quantize/weight_kind.h"
#include "tools/rwkv_convert/file_pages.h"
#include "tools/rwkv_convert/quantized_pieces.h"
#include "tools/rwkv_convert/shard_plan.h"
#include "tools/rwkv_convert/tensor_reader.h"

namespace rwkvd {
namespace {

// A binary floating-point type: from the highest bit down, sign, exponent and
// fraction.
struct Format {
  int exponent_bits;
  int fraction_bits;

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
};

Format FormatOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {8, 23};
    case DType::kF16:
      return {5, 10};
    case DType::kBF16:
      return {8, 7};
    default:
      break;  // not a number
  }
  return {};
}

// The bits of element `index`.
uint32_t BitsOf(absl::Span<const std::byte> elements, int64_t index,
                DType dtype) {
  if (dtype == DType::kF32) {
    uint32_t bits;
    std::memcpy(&bits, elements.data() + index * sizeof(bits), sizeof(bits));
    return bits;
  }
  if (dtype == DType::kU8) return std::to_integer<uint32_t>(elements[index]);
  uint16_t bits;
  std::memcpy(&bits, elements.data() + index * sizeof(bits), sizeof(bits));
  return bits;
}

double ValueOf(uint32_t bits, const Format& format) {
  const uint32_t fraction = bits & ((1u << format.fraction_bits) - 1);
  const int exponent = static_cast<int>(bits >> format.fraction_bits) &
                       ((1 << format.exponent_bits) - 1);
  const bool negative =
      bits >> (format.fraction_bits + format.exponent_bits) != 0;
  double value;
  if (exponent == (1 << format.exponent_bits) - 1) {
    value = fraction == 0 ? std::numeric_limits<double>::infinity()
                          : std::numeric_limits<double>::quiet_NaN();
  } else {
    const bool normal = exponent != 0;
    value = std::ldexp(
        fraction + (normal ? std::ldexp(1.0, format.fraction_bits) : 0),
        (normal ? exponent : 1) - format.bias() - format.fraction_bits);
  }
  return negative ? -value : value;
}

// The values of a 16-bit type, by their bits.
std::vector<double> MakeTable(DType dtype) {
  std::vector<double> values;
  for (uint32_t bits = 0; bits < 1 << 16; ++bits) {
    values.push_back(ValueOf(bits, FormatOf(dtype)));
  }
  return values;
}

// The same as ValueOf, but faster.
class Values {
 public:
  explicit Values(DType dtype) {
    static const auto* const kF16 = new auto(MakeTable(DType::kF16));
    static const auto* const kBF16 = new auto(MakeTable(DType::kBF16));
    if (dtype == DType::kF16) table_ = kF16->data();
    if (dtype == DType::kBF16) table_ = kBF16->data();
  }

  double operator()(uint32_t bits) const {
    if (table_ != nullptr) return table_[bits];
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }

 private:
  const double* table_ = nullptr;  // f32 has none
};

// Whether `bits` are the right rounding of `value`: to the nearest number, and
// in case of a tie to the one whose lowest bit is 0. Numbers with adjacent bits
// are adjacent in magnitude, and the midpoint between them is exact in double
// precision. Nothing is rounded to infinity.
bool IsNearest(double value, uint32_t bits, const Values& values) {
  const double got = values(bits);
  if (std::isnan(value) || std::isnan(got)) {
    return std::isnan(value) && std::isnan(got);
  }
  if (std::signbit(value) != std::signbit(got)) return false;
  if (value == got) return true;
  if (std::isinf(value) || std::isinf(got)) return false;
  const bool below = std::abs(value) < std::abs(got);
  const double neighbor = values(below ? bits - 1 : bits + 1);
  if (std::isinf(neighbor)) return false;
  const double half_way = std::abs(got + neighbor) / 2;
  if (std::abs(value) == half_way) return bits % 2 == 0;
  return (std::abs(value) > half_way) == below;
}

template <typename... Args>
absl::Status Differs(const TensorFile& written, const Args&... args) {
  return absl::DataLossError(
      absl::StrCat(written.path(), ": verification failed: ", args...));
}

// Compares elements of one type with their conversions to another.
class Comparison {
 public:
  Comparison(DType from, DType to)
      : from_(from), to_(to), from_values_(from), to_values_(to) {}

  // The index of the first element that is wrong.
  std::optional<int64_t> FindDifference(absl::Span<const std::byte> from,
                                        absl::Span<const std::byte> to) const {
    if (from_ == to_ && from == to) return std::nullopt;
    const int64_t num = static_cast<int64_t>(to.size() / SizeOf(to_));
    for (int64_t i = 0; i < num; ++i) {
      if (!IsRight(BitsOf(from, i, from_), BitsOf(to, i, to_))) return i;
    }
    return std::nullopt;
  }

  // "expected 1 (3f80), got 2 (4000)"
  std::string Describe(absl::Span<const std::byte> from,
                       absl::Span<const std::byte> to, int64_t index) const {
    const auto right = RightBits(BitsOf(from, index, from_));
    return absl::StrCat(
        "expected ",
        right ? Describe(*right) : "a number that is too large for the type",
        ", got ", Describe(BitsOf(to, index, to_)));
  }

 private:
  bool IsRight(uint32_t from, uint32_t to) const {
    return from_ == to_ ? from == to
                        : IsNearest(from_values_(from), to, to_values_);
  }

  // The right conversion of `from`; nothing if it does not exist.
  std::optional<uint32_t> RightBits(uint32_t from) const {
    if (from_ == to_) return from;
    if (to_ == DType::kF32) {
      const float value = static_cast<float>(from_values_(from));
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      return bits;
    }
    for (uint32_t bits = 0; bits < 1 << 16; ++bits) {
      if (IsRight(from, bits)) return bits;
    }
    return std::nullopt;
  }

  std::string Describe(uint32_t bits) const {
    return absl::StrFormat("%.9g (%0*x)", to_values_(bits),
                           static_cast<int>(2 * SizeOf(to_)), bits);
  }

  const DType from_, to_;
  const Values from_values_, to_values_;
};

// Checks one tensor after another and reports the progress.
class Verification {
 public:
  Verification(const TensorFile& source, const TensorFile& written,
               const Target& target, ThreadPool& pool, Calibration* calibration,
               VerifyProgress progress)
      : source_(source),
        written_(written),
        target_(target),
        pool_(pool),
        calibration_(calibration),
        progress_(progress),
        all_(written.tensor_bytes()) {}

  absl::Status Run() {
    if (calibration_ != nullptr) calibration_->Restart();
    for (const Tensor* const from : InOrderOfUse(source_)) {
      const auto form = FormAfter(*from, target_.weights);
      RWKVD_RETURN_IF_ERROR(form.has_value() ? CheckQuantized(*from, *form)
                                             : CheckElements(*from));
    }
    return CheckNoOthers();
  }

 private:
  // Returns the tensor `name`, which must have this type and shape.
  absl::StatusOr<const Tensor*> Find(const std::string& name, DType dtype,
                                     absl::Span<const int64_t> shape) {
    expected_.insert(name);
    const Tensor* const to = written_.Find(name);
    if (to == nullptr) {
      return Differs(written_, "tensor ", Quoted(name), " is missing");
    }
    if (to->dtype != dtype || absl::MakeConstSpan(to->shape) != shape) {
      return Differs(written_, "tensor ", Quoted(name), ": expected ",
                     NameOf(dtype), " ", ShapeString(shape), ", got ",
                     NameOf(to->dtype), " ", ShapeString(to->shape));
    }
    return to;
  }

  absl::Status Advance(size_t bytes) {
    done_ += static_cast<int64_t>(bytes);
    return progress_("verifying", done_, all_);
  }

  absl::Status CheckElements(const Tensor& from) {
    RWKVD_ASSIGN_OR_RETURN(
        const Tensor* const to,
        Find(from.name, DTypeAfter(from, target_.dtype), from.shape));
    if (IsBlockType(to->dtype)) return CheckBlocks(from, *to);
    const DType from_type = ElementTypeOf(from);
    const Comparison compare(from_type, to->dtype);
    const int64_t num = from.num_elements(), step = ElementsPerPiece(from);
    std::vector<std::byte> read, got;
    for (int64_t first = 0; first < num; first += step) {
      const int64_t piece = std::min(step, num - first);
      read.resize(piece * SizeOf(from_type));
      got.resize(piece * SizeOf(to->dtype));
      ReadElements(from, pages_, first, absl::MakeSpan(read));
      ReadElements(*to, pages_, first, absl::MakeSpan(got));
      const auto at = compare.FindDifference(read, got);
      if (at.has_value()) {
        return Differs(written_, "tensor ", Quoted(from.name), ", element ",
                       first + *at, ": ", compare.Describe(read, got, *at));
      }
      RWKVD_RETURN_IF_ERROR(Advance(got.size()));
    }
    return absl::OkStatus();
  }

  // Checks that the bytes of `to` that begin at `first` are `expected`.
  absl::Status CheckBytes(const Tensor& to, int64_t first,
                          absl::Span<const std::byte> expected) {
    const absl::Span<const std::byte> got =
        to.data.subspan(first, expected.size());
    const auto at =
        std::mismatch(expected.begin(), expected.end(), got.begin());
    if (at.first != expected.end()) {
      return Differs(written_, "tensor ", Quoted(to.name), ", byte ",
                     first + (at.first - expected.begin()), ": expected ",
                     std::to_integer<int>(*at.first), ", got ",
                     std::to_integer<int>(*at.second));
    }
    pages_.Release(got);
    return Advance(got.size());
  }

  // Checks that both matrices have the same blocks.
  absl::Status CheckBlocks(const Tensor& from, const Tensor& to) {
    int64_t first = 0;
    return ReadBlocks(from, pages_, [&](absl::Span<const std::byte> blocks) {
      const absl::Status status = CheckBytes(to, first, blocks);
      first += static_cast<int64_t>(blocks.size());
      return status;
    });
  }

  // Quantizes the matrix once more and compares the bytes.
  absl::Status CheckQuantized(const Tensor& from, QuantForm form) {
    const int64_t rows = from.shape[0], cols = from.shape[1];
    RWKVD_ASSIGN_OR_RETURN(const Tensor* const quants,
                           Find(QuantsName(from.name, form), DType::kU8,
                                QuantsShape(form, rows, cols)));
    RWKVD_ASSIGN_OR_RETURN(const Tensor* const scales,
                           Find(ScalesName(from.name), DType::kBF16,
                                ScalesShape(form, rows, cols)));
    int64_t first = 0;
    RWKVD_ASSIGN_OR_RETURN(
        const std::vector<std::byte> expected,
        QuantizeInPieces(from, form, calibration_, progress_, pages_, pool_,
                         [&](absl::Span<const std::byte> piece) {
                           const absl::Status status =
                               CheckBytes(*quants, first, piece);
                           first += static_cast<int64_t>(piece.size());
                           return status;
                         }));
    return CheckBytes(*scales, 0, expected);
  }

  absl::Status CheckNoOthers() const {
    for (const auto& [name, tensor] : written_.tensors()) {
      if (expected_.contains(name)) continue;
      return Differs(written_, "tensor ", Quoted(name), " is not in ",
                     source_.path());
    }
    return absl::OkStatus();
  }

  const TensorFile& source_;
  const TensorFile& written_;
  const Target target_;
  ThreadPool& pool_;
  Calibration* const calibration_;
  const VerifyProgress progress_;
  const FilePages pages_;
  const int64_t all_;
  int64_t done_ = 0;
  absl::flat_hash_set<std::string> expected_;  // names, as they are found
};

}  // namespace

absl::Status Verify(const TensorFile& source, const TensorFile& written,
                    const Target& target, ThreadPool& pool,
                    Calibration* calibration, VerifyProgress progress) {
  return Verification(source, written, target, pool, calibration, progress)
      .Run();
}

}  // namespace rwkvd
