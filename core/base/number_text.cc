// SPDX-License-Identifier: Apache-2.0
#include "core/base/number_text.h"

#include <charconv>

namespace rwkvd {
namespace {

template <typename Number>
std::string ShortestText(Number number) {
  char text[32];  // the longest is -2.2250738585072014e-308
  const auto end = std::to_chars(text, text + sizeof(text), number).ptr;
  return std::string(text, end);
}

}  // namespace

std::string NumberText(float number) { return ShortestText(number); }

std::string NumberText(double number) { return ShortestText(number); }

}  // namespace rwkvd
