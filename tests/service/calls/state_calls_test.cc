// SPDX-License-Identifier: Apache-2.0
// The calls that return, save, read and delete states of a real server, and
// requests that continue from them: return_state, PutState, GetState,
// DeleteState, state_handle and resume.
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "cli/grpc_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/calls/get_state_call.h"
#include "service/calls/put_state_call.h"
#include "service/states/state_store.h"
#include "tests/service/test_server.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

struct StreamAnswer {
  std::vector<int32_t> ids;
  std::string bytes;
  std::string state;
  bool has_finish = false;
  v1::Finish finish;
  grpc::Status status;
};

StreamAnswer ReadAll(grpc::ClientReader<v1::GenerateResponse>& reader) {
  StreamAnswer answer;
  v1::GenerateResponse response;
  while (reader.Read(&response)) {
    EXPECT_FALSE(answer.has_finish);
    for (const v1::Token& token : response.delta().tokens()) {
      answer.ids.push_back(token.id());
    }
    EXPECT_LE(response.state_chunk().data().size(), size_t{1} << 20);
    answer.state += response.state_chunk().data();
    answer.bytes += response.delta().bytes() + response.finish().bytes();
    if (response.has_finish()) answer.finish = response.finish();
    answer.has_finish = response.has_finish();
  }
  answer.status = reader.Finish();
  return answer;
}

StreamAnswer GenerateAnswer(const TestServer& server,
                            const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  return ReadAll(*stub->Generate(&context, request));
}

grpc::Status Put(const TestServer& server, const std::string& bytes,
                 v1::StateInfo* info, double ttl_seconds = 100) {
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  v1::PutStateResponse response;
  const auto writer = stub->PutState(&context, &response);
  for (size_t begin = 0; begin < bytes.size(); begin += 100) {
    v1::PutStateRequest request;
    request.set_data(bytes.substr(begin, 100));
    request.set_ttl_seconds(ttl_seconds);
    if (!writer->Write(request)) break;
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  *info = response.state();
  return status;
}

grpc::Status Get(const TestServer& server, const std::string& handle,
                 std::string* bytes) {
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  v1::GetStateRequest request;
  request.set_handle(handle);
  const auto reader = stub->GetState(&context, request);
  v1::GetStateResponse response;
  while (reader->Read(&response)) *bytes += response.data();
  return reader->Finish();
}

grpc::Status Delete(const TestServer& server, const std::string& handle) {
  grpc::ClientContext context;
  v1::DeleteStateRequest request;
  request.set_handle(handle);
  v1::DeleteStateResponse response;
  return server.NewStub()->DeleteState(&context, request, &response);
}

v1::GenerateRequest WithState(int max_tokens, bool as_handle) {
  v1::GenerateRequest request = SimpleRequest(max_tokens);
  request.mutable_return_state()->set_at_end(true);
  request.mutable_return_state()->set_as_handle(as_handle);
  return request;
}

class StateCallsTest : public ::testing::Test {
 protected:
  StateCallsTest() { server_.gate().Open(); }
  TestServer server_;
};

TEST_F(StateCallsTest, StateIsSentBeforeTheFinishOnlyIfRequested) {
  EXPECT_THAT(GenerateAnswer(server_, SimpleRequest(5)).state, IsEmpty());
  EXPECT_FALSE(GenerateAnswer(server_, SimpleRequest(5)).finish.has_state());
  const StreamAnswer answer = GenerateAnswer(server_, WithState(5, false));
  EXPECT_TRUE(answer.status.ok());
  ASSERT_TRUE(answer.has_finish);
  EXPECT_EQ(answer.finish.state().bytes(), answer.state.size());
  EXPECT_GT(answer.state.size(), 100u);
  EXPECT_THAT(answer.finish.state().handle(), IsEmpty());
}

TEST_F(StateCallsTest, SavedStateCanBeReadAndDeleted) {
  const StreamAnswer answer = GenerateAnswer(server_, WithState(5, false));
  v1::StateInfo info;
  ASSERT_TRUE(Put(server_, answer.state, &info).ok());
  EXPECT_EQ(info.bytes(), answer.state.size());
  EXPECT_LE(info.expires_in_seconds(), 100);
  std::string bytes;
  EXPECT_TRUE(Get(server_, info.handle(), &bytes).ok());
  EXPECT_EQ(bytes, answer.state);
  EXPECT_TRUE(Delete(server_, info.handle()).ok());
  for (const grpc::Status& absent :
       {Delete(server_, info.handle()), Get(server_, info.handle(), &bytes)}) {
    EXPECT_EQ(absent.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_THAT(absent.error_message(), StartsWith("handle: "));
  }
  v1::GenerateRequest request = SimpleRequest(5);
  request.set_state_handle(info.handle());
  const grpc::Status status = GenerateAnswer(server_, request).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("state_handle: "));
}

// Saved states in a directory, of which something goes wrong.
class StateDirectoryCallsTest : public ::testing::Test {
 protected:
  StateDirectoryCallsTest() : server_(InDirectory(directory_)) {
    server_.gate().Open();
  }

  static Options InDirectory(const std::string& directory) {
    Options options;
    options.state_dir = directory;
    return options;
  }

  std::string SaveState() {
    return GenerateAnswer(server_, WithState(5, true)).finish.state().handle();
  }

  void ExpectIsServersFault(const grpc::Status& status,
                            grpc::StatusCode code) const {
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_THAT(status.error_message(), Not(HasSubstr("/")));
  }

  // The status of everything that reads the state.
  void ExpectReadsFail(const std::string& handle, grpc::StatusCode code) {
    std::string bytes;
    ExpectIsServersFault(Get(server_, handle, &bytes), code);
    EXPECT_THAT(bytes, IsEmpty());
    v1::GenerateRequest request = SimpleRequest(5);
    request.set_state_handle(handle);
    ExpectIsServersFault(GenerateAnswer(server_, request).status, code);
  }

  const std::string directory_ = testing::MakeTempDirectory() + "/states";
  TestServer server_;
};

TEST_F(StateDirectoryCallsTest, DamagedStateIsDataLossAndIsNotSent) {
  const std::string handle = SaveState();
  const std::string path = directory_ + "/" + handle + ".state";
  const std::string whole = testing::ReadFileOrDie(path);
  std::string flipped = whole;
  flipped[80] ^= 1;
  for (const std::string& damaged :
       {flipped, whole.substr(0, whole.size() - 1), std::string(),
        whole + std::string(1 << 28, 'x'), std::string("no state")}) {
    testing::WriteFileOrDie(path, damaged);
    ExpectReadsFail(handle, grpc::StatusCode::DATA_LOSS);
  }
  testing::WriteFileOrDie(path, whole);
  std::string bytes;
  EXPECT_TRUE(Get(server_, handle, &bytes).ok());
  EXPECT_EQ(bytes, whole);
}

TEST_F(StateDirectoryCallsTest, MissingDirectoryIsUnavailable) {
  const std::string handle = SaveState();
  const std::string state = GenerateAnswer(server_, WithState(5, false)).state;
  std::filesystem::remove_all(directory_);
  ExpectReadsFail(handle, grpc::StatusCode::UNAVAILABLE);
  ExpectIsServersFault(Delete(server_, handle), grpc::StatusCode::UNAVAILABLE);
  v1::StateInfo info;
  ExpectIsServersFault(Put(server_, state, &info),
                       grpc::StatusCode::UNAVAILABLE);
  const StreamAnswer answer = GenerateAnswer(server_, WithState(5, true));
  ExpectIsServersFault(answer.status, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(answer.ids.size(), 5);  // the output was not lost
  EXPECT_FALSE(server_.states().store().figures().is_usable);
}

TEST_F(StateDirectoryCallsTest, FullStoreTellsWhenToRetry) {
  Options options = InDirectory(directory_ + ".small");
  options.state_store_bytes = 10;
  TestServer server(options);
  server.gate().Open();
  const std::string state = GenerateAnswer(server, WithState(5, false)).state;
  grpc::ClientContext context;
  const auto stub = server.NewStub();
  v1::PutStateResponse response;
  const auto writer = stub->PutState(&context, &response);
  v1::PutStateRequest request;
  request.set_data(state);
  writer->Write(request);
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(context.GetServerTrailingMetadata(),
              Contains(Pair(kRetryPushback, "60000")));
}

TEST_F(StateCallsTest, ResumedAnswerEqualsAnUninterruptedOne) {
  const StreamAnswer whole = GenerateAnswer(server_, SimpleRequest(20));
  for (const bool as_handle : {false, true}) {
    const StreamAnswer first = GenerateAnswer(server_, WithState(8, as_handle));
    v1::StateInfo info = first.finish.state();
    if (!as_handle) {
      ASSERT_TRUE(Put(server_, first.state, &info).ok());
    }
    v1::GenerateRequest request = SimpleRequest(20);
    request.clear_prompt();
    request.mutable_sampling()->clear_seed();
    request.set_state_handle(info.handle());
    request.set_resume(true);
    const StreamAnswer second = GenerateAnswer(server_, request);
    EXPECT_TRUE(second.status.ok()) << second.status.error_message();
    std::vector<int32_t> ids = first.ids;
    ids.insert(ids.end(), second.ids.begin(), second.ids.end());
    EXPECT_EQ(ids, whole.ids);
    EXPECT_EQ(first.bytes + second.bytes, whole.bytes);
    EXPECT_EQ(second.finish.seed(), whole.finish.seed());
    EXPECT_EQ(second.finish.usage().generated_tokens(), 20);
  }
}

TEST_F(StateCallsTest, SecondTurnContinuesFromTheStateOfTheFirst) {
  const StreamAnswer first = GenerateAnswer(server_, WithState(8, true));
  v1::GenerateRequest second = SimpleRequest(8);
  second.set_state_handle(first.finish.state().handle());
  second.mutable_prompt()->set_text("xyz");
  v1::GenerateRequest whole = SimpleRequest(8);
  whole.mutable_prompt()->set_bytes("a" + first.bytes + "xyz");
  EXPECT_EQ(GenerateAnswer(server_, second).ids,
            GenerateAnswer(server_, whole).ids);
  // A handle can be used again.
  EXPECT_EQ(GenerateAnswer(server_, second).ids,
            GenerateAnswer(server_, whole).ids);
}

TEST_F(StateCallsTest, PutRefusesBytesThatAreNotAStateOfThisModel) {
  const StreamAnswer answer = GenerateAnswer(server_, WithState(5, false));
  v1::StateInfo info;
  EXPECT_EQ(Put(server_, "", &info).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Put(server_, "nonsense", &info).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  std::string spoilt = answer.state;
  spoilt[75] ^= 1;  // in a value
  grpc::Status status = Put(server_, spoilt, &info);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("data: damaged"));
  status = Put(server_, std::string(40 << 20, 'x'), &info);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("data: more than"));
  status = Put(server_, answer.state, &info, -1);
  EXPECT_THAT(status.error_message(), HasSubstr("ttl_seconds"));
}

TEST_F(StateCallsTest, ErrorNamesTheContradictoryField) {
  const std::string handle =
      GenerateAnswer(server_, WithState(5, true)).finish.state().handle();
  const auto error = [&](void (*change)(v1::GenerateRequest&)) {
    v1::GenerateRequest request = SimpleRequest(9);
    request.set_state_handle(handle);
    change(request);
    return GenerateAnswer(server_, request).status.error_message();
  };
  EXPECT_THAT(error([](v1::GenerateRequest& r) { r.set_resume(true); }),
              HasSubstr("prompt: must be empty"));
  EXPECT_THAT(error([](v1::GenerateRequest& r) {
                r.set_resume(true);
                r.clear_prompt();
                r.set_max_tokens(5);
              }),
              HasSubstr("max_tokens: 5 is not more than the 5 tokens"));
  EXPECT_THAT(error([](v1::GenerateRequest& r) {
                r.set_resume(true);
                r.clear_prompt();
                r.set_n(2);
              }),
              HasSubstr("n: 2"));
  EXPECT_THAT(error([](v1::GenerateRequest& r) {
                r.clear_state_handle();
                r.set_resume(true);
              }),
              HasSubstr("resume: "));
  EXPECT_THAT(
      error([](v1::GenerateRequest& r) { r.set_initial_state("after-x"); }),
      HasSubstr("initial_state: "));
  EXPECT_THAT(
      error([](v1::GenerateRequest& r) { r.mutable_pin()->set_name("a"); }),
      HasSubstr("pin: "));
  EXPECT_THAT(error([](v1::GenerateRequest& r) {
                r.mutable_return_state()->set_ttl_seconds(0);
              }),
              HasSubstr("return_state.ttl_seconds: "));
  EXPECT_THAT(error([](v1::GenerateRequest& r) {
                r.mutable_return_state()->set_on_drain(true);
                r.mutable_return_state()->set_as_handle(true);
              }),
              HasSubstr("return_state.on_drain: "));
  EXPECT_THAT(error([](v1::GenerateRequest& r) {
                r.mutable_return_state()->set_on_drain(true);
                r.set_best_of(2);
              }),
              HasSubstr("return_state.on_drain: "));
}

// A store that gets no memory.
class StoreWithoutMemory final : public StateStore {
 public:
  absl::Status PutAs(const std::string&, std::string, StoreTime, absl::Duration,
                     int64_t) override {
    throw std::bad_alloc();
  }
  absl::StatusOr<std::shared_ptr<const std::string>> Get(absl::string_view,
                                                         StoreTime,
                                                         int64_t) override {
    throw std::bad_alloc();
  }
  absl::Status Delete(absl::string_view, StoreTime) override {
    throw std::bad_alloc();
  }
  absl::Status Check(StoreTime) override { return absl::OkStatus(); }
  Figures figures() const override { return {}; }
  bool outlives_process() const override { return false; }
};

TEST(StateCallsMemoryTest, LackOfMemoryEndsOnlyTheCall) {
  TestServer server({}, nullptr, std::make_unique<StoreWithoutMemory>());
  server.gate().Open();
  const StreamAnswer answer = GenerateAnswer(server, WithState(5, false));
  ASSERT_TRUE(answer.status.ok());
  v1::StateInfo info;
  std::string bytes;
  v1::GenerateRequest request = SimpleRequest(5);
  request.set_state_handle("x");
  for (const grpc::Status& status :
       {Put(server, answer.state, &info), Get(server, "x", &bytes),
        Delete(server, "x"), GenerateAnswer(server, request).status,
        GenerateAnswer(server, WithState(5, true)).status}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.error_message(), HasSubstr("out of memory"));
  }
}

TEST(StateCallsDrainTest, CallFailsAfterItsFinishIfTheStateCannotBeSaved) {
  Options options;
  options.state_store_bytes = 10;
  TestServer server(options);
  server.gate().Open();
  const StreamAnswer answer = GenerateAnswer(server, WithState(5, true));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(answer.has_finish);
  EXPECT_EQ(answer.ids.size(), 5u);
  EXPECT_FALSE(answer.finish.has_state());
}

TEST(StateCallsWaitingTest, StatesOfQueuedRequestsAreBounded) {
  Options options;
  options.engine.max_running = 1;
  options.max_pending_states_bytes = 1;  // a single state is always accepted
  TestServer server(options);
  server.gate().Permit(5);
  const std::string handle =
      GenerateAnswer(server, WithState(5, true)).finish.state().handle();
  const auto stub = server.NewStub();
  grpc::ClientContext contexts[3];
  // One request runs and has released its state; another one is queued.
  v1::GenerateRequest long_one = SimpleRequest(1 << 20);
  long_one.set_state_handle(handle);
  const auto running = stub->Generate(&contexts[0], long_one);
  server.gate().WaitForArrivals(6);
  v1::GenerateRequest request = SimpleRequest(3);
  request.set_state_handle(handle);
  const auto waiting = stub->Generate(&contexts[1], request);
  ASSERT_TRUE(Eventually([&] { return server.engine().Stats().queued == 1; }));
  const auto refused = stub->Generate(&contexts[2], request);
  const grpc::Status status = ReadAll(*refused).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("state_handle: requests that"));
  EXPECT_THAT(contexts[2].GetServerTrailingMetadata(),
              Contains(Pair(kRetryPushback, "1000")));
  // A queued request does not need the handle any more.
  ASSERT_TRUE(Delete(server, handle).ok());
  contexts[0].TryCancel();
  EXPECT_TRUE(Eventually([&] {
    server.gate().Permit(1);
    return server.NumFinished(FinishReason::kCancelled) == 1;
  }));
  ReadAll(*running);
  server.gate().Open();
  // Its state is still complete.
  EXPECT_EQ(ReadAll(*waiting).ids.size(), 3u);
  v1::StateInfo info;
  ASSERT_TRUE(
      Put(server, GenerateAnswer(server, WithState(5, false)).state, &info)
          .ok());
  request.set_state_handle(info.handle());
  EXPECT_TRUE(GenerateAnswer(server, request).status.ok());
}

TEST(StateCallsDrainTest, RequestIsSuspendedWhenDrainingBegins) {
  TestServer other;
  other.gate().Open();
  const StreamAnswer whole = GenerateAnswer(other, SimpleRequest(500));
  Options options;
  options.engine.max_running = 1;
  options.drain_grace = absl::Hours(1);
  TestServer server(options);
  v1::GenerateRequest request = SimpleRequest(500);
  request.mutable_return_state()->set_on_drain(true);
  std::vector<StreamAnswer> first(2);
  {
    // One request runs, and one is queued.
    grpc::ClientContext contexts[2];
    const auto stub = server.NewStub();
    const auto running = stub->Generate(&contexts[0], request);
    server.gate().WaitForArrivals(1);
    const auto waiting = stub->Generate(&contexts[1], request);
    ASSERT_TRUE(
        Eventually([&] { return server.engine().Stats().queued == 1; }));
    server.gate().Permit(5);
    server.gate().WaitForArrivals(6);
    server.server().Drain();
    std::thread reader([&] { first[0] = ReadAll(*running); });
    ASSERT_TRUE(Eventually([&] {
      server.gate().Permit(1);
      return server.NumFinished(FinishReason::kCancelled) == 2;
    }));
    reader.join();
    first[1] = ReadAll(*waiting);
  }
  for (const StreamAnswer& part : first) {
    EXPECT_EQ(part.status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(part.finish.reason(), v1::FINISH_REASON_CANCELLED);
    EXPECT_EQ(part.finish.state().bytes(), part.state.size());
    v1::StateInfo info;
    ASSERT_TRUE(Put(other, part.state, &info).ok());
    request.clear_prompt();
    request.set_state_handle(info.handle());
    request.set_resume(true);
    const StreamAnswer rest = GenerateAnswer(other, request);
    EXPECT_TRUE(rest.status.ok()) << rest.status.error_message();
    std::vector<int32_t> ids = part.ids;
    ids.insert(ids.end(), rest.ids.begin(), rest.ids.end());
    EXPECT_EQ(ids, whole.ids);
    EXPECT_EQ(part.bytes + rest.bytes, whole.bytes);
    EXPECT_EQ(rest.finish.usage().prompt_tokens(), 1);
    EXPECT_EQ(rest.finish.usage().generated_tokens(), 500);
  }
  EXPECT_GE(first[0].ids.size(), 5u);
  EXPECT_EQ(first[1].ids.size(), 0u);
  EXPECT_TRUE(server.WaitForEnd().ok());
}

}  // namespace
}  // namespace rwkvd
