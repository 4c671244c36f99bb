// SPDX-License-Identifier: Apache-2.0
#include "service/metrics/metrics_endpoint.h"

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace rwkvd {
namespace {

constexpr int kThreads = 2;

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(
    const std::string& address,
    std::vector<std::shared_ptr<prometheus::Collectable>> sources) {
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(address, kThreads);
    for (const auto& source : sources) exposer->RegisterCollectable(source);
    const std::vector<int> ports = exposer->GetListeningPorts();
    const std::string host = address.substr(0, address.rfind(':'));
    std::string bound =
        ports.empty() ? address : absl::StrCat(host, ":", ports[0]);
    return std::unique_ptr<MetricsEndpoint>(new MetricsEndpoint(
        std::move(sources), std::move(exposer), std::move(bound)));
  } catch (const std::exception&) {
    // The library does not give the reason.
    return absl::UnavailableError(
        absl::StrCat("--metrics_listen: cannot listen at ", address,
                     " (in use, or not an address of this host?)"));
  }
}

}  // namespace rwkvd
