// SPDX-License-Identifier: Apache-2.0
#include "service/health/health_service.h"

#include <grpcpp/support/slice.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/retry_after.h"
#include "service/convert/small_message.h"
#include "service/peer_address.h"
#include "service/telemetry/request_identity.h"

namespace rwkvd {
namespace {

using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using ::grpc::health::v1::HealthListResponse;

grpc::ByteBuffer Serialized(const google::protobuf::Message& message) {
  const grpc::Slice bytes(message.SerializeAsString());
  return grpc::ByteBuffer(&bytes, 1);
}

grpc::ByteBuffer ResponseWith(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return Serialized(response);
}

// A Watch call that ends at once. Deletes itself.
class RefusedWatch final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit RefusedWatch(const grpc::Status& status) { Finish(status); }

 private:
  void OnDone() override { delete this; }
};

}  // namespace

// One Watch call. The service and gRPC share it: gRPC uses it until OnDone.
// Thread-safe.
class HealthService::WatchCall final
    : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  WatchCall(HealthService* service, IdentifiedCall identity,
            std::string address, bool is_known, const Health& health)
      : service_(service),
        identity_(std::move(identity)),
        address_(std::move(address)),
        is_known_(is_known),
        health_(health) {}

  const std::string& address() const { return address_; }

  // Reports the health for the first time.
  void Begin() ABSL_LOCKS_EXCLUDED(mutex_) {
    Advance([] {});
  }

  // Reports a change. If an earlier report is still being written, only the
  // last change is reported after it.
  void Show(const Health& health) ABSL_LOCKS_EXCLUDED(mutex_) {
    Advance([&] {
      mutex_.AssertHeld();
      health_ = health;
    });
  }

 private:
  enum class Action { kNothing, kWrite, kFinish };

  // Changes fields under the lock, and does what is due then.
  void Advance(absl::FunctionRef<void()> change) ABSL_LOCKS_EXCLUDED(mutex_) {
    Action action;
    {
      absl::MutexLock lock(&mutex_);
      change();
      action = NextAction();
    }
    Perform(action);
  }

  // The next thing to do. The caller performs it without the lock, since gRPC
  // may call back at once.
  Action NextAction() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (is_writing_ || finish_called_) return Action::kNothing;
    const HealthCheckResponse::ServingStatus status =
        is_known_ ? health_.status : HealthCheckResponse::SERVICE_UNKNOWN;
    if (!cancelled_ && written_ != status) {
      response_ = ResponseWith(status);
      written_ = status;
      is_writing_ = true;
      return Action::kWrite;
    }
    if (!cancelled_ && !health_.ending) return Action::kNothing;
    finish_called_ = true;
    return Action::kFinish;
  }

  void Perform(Action action) ABSL_LOCKS_EXCLUDED(mutex_) {
    if (action == Action::kWrite) StartWrite(&response_);
    if (action == Action::kFinish) {
      Finish(identity_.End(ServerShuttingDown()));
    }
  }

  void OnWriteDone(bool ok) override {
    Advance([&] {
      mutex_.AssertHeld();
      is_writing_ = false;
      cancelled_ |= !ok;
    });
  }

  void OnCancel() override {
    Advance([&] {
      mutex_.AssertHeld();
      cancelled_ = true;
    });
  }

  void OnDone() override { service_->Remove(this); }

  HealthService* const service_;
  const IdentifiedCall identity_;
  const std::string address_;
  const bool is_known_;
  grpc::ByteBuffer response_;  // gRPC's while is_writing_

  absl::Mutex mutex_;
  Health health_ ABSL_GUARDED_BY(mutex_);
  std::optional<HealthCheckResponse::ServingStatus> written_
      ABSL_GUARDED_BY(mutex_);
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finish_called_ ABSL_GUARDED_BY(mutex_) = false;
};

HealthService::HealthService(std::vector<std::string> services)
    : services_(std::move(services)) {
  RWKVD_CHECK(services_.size() <= kMaxServices);
}

HealthService::~HealthService() = default;

bool HealthService::IsKnown(const std::string& service) const {
  return std::find(services_.begin(), services_.end(), service) !=
         services_.end();
}

void HealthService::SetServing(bool serving) {
  Set({.status = serving ? HealthCheckResponse::SERVING
                         : HealthCheckResponse::NOT_SERVING});
}

void HealthService::StopServing() { Set({.final = true}); }

bool HealthService::IsServing() {
  absl::MutexLock lock(&mutex_);
  return health_.status == HealthCheckResponse::SERVING;
}

void HealthService::EndWatches() { Set({.final = true, .ending = true}); }

void HealthService::Set(Health health) {
  absl::MutexLock update(&update_mutex_);
  std::vector<std::shared_ptr<WatchCall>> watches;
  {
    absl::MutexLock lock(&mutex_);
    if (health_.ending || (health_.final && !health.final)) return;
    health_ = health;
    for (const auto& [key, call] : watches_) watches.push_back(call);
  }
  for (const std::shared_ptr<WatchCall>& call : watches) call->Show(health);
}

grpc::ServerUnaryReactor* HealthService::Check(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* message,
    grpc::ByteBuffer* response) {
  const IdentifiedCall call(context);
  HealthCheckRequest request;
  absl::Status status = ParseSmallMessage(*message, &request);
  if (status.ok() && !IsKnown(request.service())) {
    status = WithResource(FieldError(ErrorReason::kServiceNotFound, "service",
                                     "this server has no service of this name"),
                          "service", request.service());
  }
  if (status.ok()) {
    absl::MutexLock lock(&mutex_);
    *response = ResponseWith(health_.status);
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(call.End(status));
  return reactor;
}

grpc::ServerUnaryReactor* HealthService::List(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer*,
    grpc::ByteBuffer* response) {
  const IdentifiedCall call(context);
  HealthListResponse list;
  {
    absl::MutexLock lock(&mutex_);
    for (const std::string& service : services_) {
      (*list.mutable_statuses())[service].set_status(health_.status);
    }
  }
  *response = Serialized(list);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(call.End(absl::OkStatus()));
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* HealthService::Watch(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* message) {
  const IdentifiedCall identity(context);
  HealthCheckRequest request;
  const absl::Status parsed = ParseSmallMessage(*message, &request);
  if (!parsed.ok()) return new RefusedWatch(identity.End(parsed));
  std::shared_ptr<WatchCall> call;
  {
    absl::MutexLock lock(&mutex_);
    call = std::make_shared<WatchCall>(this, identity,
                                       PeerAddress(context->peer()),
                                       IsKnown(request.service()), health_);
    const absl::Status status = Add(call);
    if (!status.ok()) return new RefusedWatch(identity.End(status));
  }
  call->Begin();
  // The call still exists: gRPC calls OnDone only after this has returned.
  return call.get();
}

absl::Status HealthService::Add(std::shared_ptr<WatchCall> call) {
  const std::string& address = call->address();
  const auto found = num_by_address_.find(address);
  const size_t num = found == num_by_address_.end() ? 0 : found->second;
  if (watches_.size() >= kMaxWatches ||
      (num >= kMaxWatchesPerAddress && !address.empty())) {
    return WithQuota(
        MakeError(
            ErrorReason::kTooManyWatches,
            absl::StrCat("too many Watch calls: the limit is ", kMaxWatches,
                         " in all and ", kMaxWatchesPerAddress,
                         " from one address; use Check")),
        "watches");
  }
  num_by_address_[address] = num + 1;
  WatchCall* const key = call.get();
  watches_.emplace(key, std::move(call));
  return absl::OkStatus();
}

void HealthService::Remove(WatchCall* call) {
  std::shared_ptr<WatchCall> last;  // destroyed when the lock is released
  absl::MutexLock lock(&mutex_);
  const auto found = num_by_address_.find(call->address());
  if (--found->second == 0) num_by_address_.erase(found);
  last = std::move(watches_.extract(call).mapped());
}

}  // namespace rwkvd
