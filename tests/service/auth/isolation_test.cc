// SPDX-License-Identifier: Apache-2.0
// What identities can learn of one another: pins, states and cached prefixes.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/states/state_handle.h"
#include "tests/service/test_server.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kAllButAdmin[] = "roles=infer,score,states,pins";

// A server with alice, with bob, and with carol and dora, who share a group.
// The token of each is its name.
class IsolationTest : public testing::Test {
 protected:
  IsolationTest() : server_(NewOptions()) { server_.gate().Open(); }

  static Options NewOptions() {
    const std::string group = absl::StrCat(kAllButAdmin, " group=alice");
    Options options;
    options.auth_tokens = WriteTokenFile(absl::StrCat(
        TokenLine("alice", "alice", kAllButAdmin),
        TokenLine("bob", "bob", kAllButAdmin),
        TokenLine("carol", "carol", group), TokenLine("dora", "dora", group)));
    options.engine.state_cache_interval = 0;
    return options;
  }

  // The number of cached tokens of a prompt, as its `finish` reports it.
  int64_t CachedTokens(const std::string& who, const std::string& prompt,
                       const std::string& pin = "") const {
    v1::GenerateRequest request = SimpleRequest(1);
    request.mutable_prompt()->set_text(prompt);
    if (!pin.empty()) request.mutable_pin()->set_name(pin);
    grpc::ClientContext context;
    AddToken(who, &context);
    const auto stub = server_.NewStub();
    const auto reader = stub->Generate(&context, request);
    v1::GenerateResponse response;
    int64_t cached = -1;
    while (reader->Read(&response)) {
      if (response.has_finish()) {
        cached = response.finish().usage().cached_tokens();
      }
    }
    const grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return cached;
  }

  std::vector<std::string> PinsOf(const std::string& who) const {
    grpc::ClientContext context;
    AddToken(who, &context);
    v1::ListPinnedPrefixesResponse response;
    EXPECT_TRUE(
        server_.NewStub()->ListPinnedPrefixes(&context, {}, &response).ok());
    std::vector<std::string> names;
    for (const auto& prefix : response.prefixes()) {
      names.push_back(prefix.name());
    }
    return names;
  }

  grpc::Status Unpin(const std::string& who, const std::string& name) const {
    grpc::ClientContext context;
    AddToken(who, &context);
    v1::UnpinPrefixRequest request;
    request.set_name(name);
    v1::UnpinPrefixResponse response;
    return server_.NewStub()->UnpinPrefix(&context, request, &response);
  }

  // The handle of a state that is saved for this identity.
  std::string Save(const std::string& who) const {
    v1::GenerateRequest request = SimpleRequest(1);
    request.mutable_return_state()->set_at_end(true);
    request.mutable_return_state()->set_as_handle(true);
    grpc::ClientContext context;
    AddToken(who, &context);
    const auto stub = server_.NewStub();
    const auto reader = stub->Generate(&context, request);
    v1::GenerateResponse response;
    std::string handle;
    while (reader->Read(&response)) {
      if (response.has_finish()) handle = response.finish().state().handle();
    }
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_FALSE(handle.empty());
    return handle;
  }

  grpc::Status Get(const std::string& who, const std::string& handle) const {
    grpc::ClientContext context;
    AddToken(who, &context);
    v1::GetStateRequest request;
    request.set_handle(handle);
    const auto stub = server_.NewStub();
    const auto reader = stub->GetState(&context, request);
    v1::GetStateResponse response;
    while (reader->Read(&response)) continue;
    return reader->Finish();
  }

  grpc::Status Delete(const std::string& who, const std::string& handle) const {
    grpc::ClientContext context;
    AddToken(who, &context);
    v1::DeleteStateRequest request;
    request.set_handle(handle);
    v1::DeleteStateResponse response;
    return server_.NewStub()->DeleteState(&context, request, &response);
  }

  grpc::Status Continue(const std::string& who,
                        const std::string& handle) const {
    v1::GenerateRequest request = SimpleRequest(1);
    request.set_state_handle(handle);
    grpc::ClientContext context;
    AddToken(who, &context);
    const auto stub = server_.NewStub();
    const auto reader = stub->Generate(&context, request);
    v1::GenerateResponse response;
    while (reader->Read(&response)) continue;
    return reader->Finish();
  }

  TestServer server_;
};

TEST_F(IsolationTest, PromptOfAnotherIdentityIsNotCached) {
  EXPECT_EQ(CachedTokens("alice", "a secret"), 0);
  EXPECT_EQ(CachedTokens("bob", "a secret"), 0);
  EXPECT_GT(CachedTokens("alice", "a secret"), 0);
  EXPECT_GT(CachedTokens("bob", "a secret"), 0) << "its own";
}

// A group of the name of an identity is another partition.
TEST_F(IsolationTest, GroupSharesItsPrompts) {
  EXPECT_EQ(CachedTokens("alice", "a secret"), 0);
  EXPECT_EQ(CachedTokens("carol", "a secret"), 0);
  EXPECT_GT(CachedTokens("dora", "a secret"), 0);
}

// The steps that a request takes decide when its first token arrives.
TEST_F(IsolationTest, PromptOfAnotherIdentityTakesAsManyStepsAsANewOne) {
  const auto steps_of = [this](const std::string& who,
                               const std::string& prompt) {
    const uint64_t before = server_.engine().Stats().steps;
    CachedTokens(who, prompt);
    return server_.engine().Stats().steps - before;
  };
  const std::string secret(1000, 's');
  const uint64_t steps = steps_of("alice", secret);
  EXPECT_GT(steps, 2u);
  EXPECT_EQ(steps_of("bob", secret), steps);
  EXPECT_LT(steps_of("alice", secret), steps);
}

TEST_F(IsolationTest, PinsBelongToTheirIdentity) {
  CachedTokens("alice", "rules of alice", "rules");
  EXPECT_THAT(PinsOf("bob"), IsEmpty());
  EXPECT_EQ(Unpin("bob", "rules").error_code(), grpc::StatusCode::NOT_FOUND);
  CachedTokens("bob", "rules of bob", "rules");
  EXPECT_THAT(PinsOf("alice"), ElementsAre("rules"));
  EXPECT_THAT(PinsOf("bob"), ElementsAre("rules"));
  EXPECT_TRUE(Unpin("bob", "rules").ok());
  EXPECT_THAT(PinsOf("alice"), ElementsAre("rules"));
}

TEST_F(IsolationTest, GroupSharesItsPins) {
  CachedTokens("carol", "rules", "rules");
  EXPECT_THAT(PinsOf("dora"), ElementsAre("rules"));
  EXPECT_TRUE(Unpin("dora", "rules").ok());
}

// Its error is that of a handle that nobody has.
TEST_F(IsolationTest, HandleOfAnotherIdentityIsNotFound) {
  const std::string handle = Save("alice");
  std::string nobodys = handle;
  for (char& digit : nobodys) {
    if (digit == '-') break;
    digit = digit == 'f' ? '0' : 'f';
  }
  const auto message = [](const grpc::Status& status,
                          const std::string& of_handle) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    return absl::StrReplaceAll(status.error_message(), {{of_handle, "H"}});
  };
  EXPECT_EQ(message(Get("bob", handle), handle),
            message(Get("bob", nobodys), nobodys));
  EXPECT_EQ(message(Continue("bob", handle), handle),
            message(Continue("bob", nobodys), nobodys));
  EXPECT_EQ(message(Delete("bob", handle), handle),
            message(Delete("bob", nobodys), nobodys));
  EXPECT_TRUE(Get("alice", handle).ok());
  EXPECT_TRUE(Continue("alice", handle).ok());
  EXPECT_TRUE(Delete("alice", handle).ok());
  EXPECT_EQ(Get("alice", handle).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(IsolationTest, GroupSharesItsStates) {
  const std::string handle = Save("carol");
  EXPECT_TRUE(Get("dora", handle).ok());
  EXPECT_EQ(Get("alice", handle).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(IsolationOnDiskTest, StateSurvivesARestartForItsIdentityAlone) {
  const std::string folder =
      absl::StrCat(testing::TempDir(), "/isolated_states");
  Options options;
  options.state_dir = folder;
  const StoreTime now = StoreTime::Now();
  std::string handle;
  {
    const auto store = OpenStateStore(options).value();
    handle = NewStateHandle(now.system + absl::Hours(1));
    ASSERT_TRUE(store
                    ->PutAs(StoredHandle(handle, "identity:alice"), "bytes",
                            now, absl::Hours(1), kNoLimit)
                    .ok());
  }
  const auto store = OpenStateStore(options).value();
  EXPECT_TRUE(
      store->Get(StoredHandle(handle, "identity:alice"), now, 100).ok());
  EXPECT_FALSE(store->Get(StoredHandle(handle, "identity:bob"), now, 100).ok());
  EXPECT_FALSE(store->Get(handle, now, 100).ok()) << "that of no identity";
  // After the restart, the store still knows whose the bytes are.
  const std::string next = StoredHandle(
      NewStateHandle(now.system + absl::Hours(1)), "identity:alice");
  EXPECT_EQ(store->PutAs(next, "bytes", now, absl::Hours(1), 9).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(store->PutAs(next, "bytes", now, absl::Hours(1), 10).ok());
}

TEST(StoredHandleTest, IsAHandleThatDependsOnHandleAndPartition) {
  const std::string handle = NewStateHandle(absl::UnixEpoch());
  const std::string stored = StoredHandle(handle, "identity:alice");
  EXPECT_EQ(StoredHandle(handle, ""), handle);
  EXPECT_NE(stored, handle);
  EXPECT_NE(StoredHandle(handle, "identity:bob"), stored);
  EXPECT_EQ(ExpiryOf(stored), ExpiryOf(handle));
  const std::string other = NewStateHandle(absl::UnixEpoch());
  EXPECT_NE(StoredHandle(other, "identity:alice"), stored);
  EXPECT_EQ(OwnerIn(StoredHandle(other, "identity:alice")), OwnerIn(stored));
  // A stored handle, read from the disk, is no handle of its owner.
  EXPECT_NE(StoredHandle(stored, "identity:alice"), stored);
  EXPECT_EQ(StoredHandle("no handle", "identity:alice"), "no handle");
}

}  // namespace
}  // namespace rwkvd
