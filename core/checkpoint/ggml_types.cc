// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/ggml_types.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace rwkvd {
namespace {

struct SupportedType {
  uint32_t number;
  DType dtype;
};

constexpr SupportedType kSupported[] = {
    {0, DType::kF32},   {1, DType::kF16},     {30, DType::kBF16},
    {2, DType::kQ4_0},  {3, DType::kQ4_1},    {6, DType::kQ5_0},
    {7, DType::kQ5_1},  {8, DType::kQ8_0},    {10, DType::kQ2_K},
    {11, DType::kQ3_K}, {12, DType::kQ4_K},   {13, DType::kQ5_K},
    {14, DType::kQ6_K}, {20, DType::kIQ4_NL}, {23, DType::kIQ4_XS},
};

struct OtherType {
  uint32_t number;
  absl::string_view name;
};

constexpr OtherType kOthers[] = {
    {9, "Q8_1"},     {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},
    {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"},   {22, "IQ2_S"},
    {24, "I8"},      {25, "I16"},   {26, "I32"},     {27, "I64"},
    {28, "F64"},     {29, "IQ1_M"}, {34, "TQ1_0"},   {35, "TQ2_0"},
    {39, "MXFP4"},
};

}  // namespace

std::optional<DType> DTypeOfGgml(uint32_t number) {
  for (const SupportedType& type : kSupported) {
    if (type.number == number) return type.dtype;
  }
  return std::nullopt;
}

std::string NameOfGgmlType(uint32_t number) {
  absl::string_view name = "unknown";
  if (const auto dtype = DTypeOfGgml(number)) name = NameOf(*dtype);
  for (const OtherType& type : kOthers) {
    if (type.number == number) name = type.name;
  }
  return absl::StrCat(name, " (", number, ")");
}

}  // namespace rwkvd
