// SPDX-License-Identifier: Apache-2.0
#include "core/base/exceptions.h"

#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace rwkvd {

absl::Status StatusOfException() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return MakeError(ErrorReason::kOutOfMemory, "out of memory");
  } catch (const std::length_error&) {
    return MakeError(ErrorReason::kOutOfMemory, "out of memory");
  } catch (const std::system_error& error) {
    return MakeError(
        ErrorReason::kOutOfMemory,
        absl::StrCat(
            "the operating system refuses a thread or another resource: ",
            error.what()));
  } catch (const std::exception& error) {
    return MakeError(ErrorReason::kInternalError,
                     absl::StrCat("unexpected exception: ", error.what()));
  } catch (...) {
    return MakeError(ErrorReason::kInternalError, "unexpected exception");
  }
}

}  // namespace rwkvd
