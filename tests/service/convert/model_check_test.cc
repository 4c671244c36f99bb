// SPDX-License-Identifier: Apache-2.0
#include "service/convert/model_check.h"

#include <string>

#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "rwkv/v1/rwkv.pb.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

absl::Status Check(const std::string& requested, const std::string& served) {
  v1::TokenizeRequest request;
  request.set_model(requested);
  return CheckRequestedModel(request, served);
}

TEST(ModelCheckTest, AcceptsTheServedModelAndNoModel) {
  EXPECT_TRUE(Check("", "demo").ok());
  EXPECT_TRUE(Check("demo", "demo").ok());
}

TEST(ModelCheckTest, AcceptsMessagesWithoutTheField) {
  v1::Input input;
  input.set_text("other");
  EXPECT_TRUE(CheckRequestedModel(input, "demo").ok());
}

TEST(ModelCheckTest, OtherModelIsNotFoundAndTheServedOneIsNamed) {
  const absl::Status status = Check("Demo\n", "demo");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(),
            "model: \"Demo\\n\" is not served here; this server serves "
            "\"demo\"");
}

TEST(ModelCheckTest, LongNameIsTruncatedInTheMessage) {
  EXPECT_LT(Check(std::string(1 << 20, 'x'), "demo").message().size(), 250u);
}

// Proxies rely on the number.
TEST(ModelCheckTest, EveryRequestOfTheContractHasTheFieldUnderOneNumber) {
  const google::protobuf::ServiceDescriptor* const service =
      v1::Input::descriptor()->file()->FindServiceByName("RwkvService");
  ASSERT_NE(service, nullptr);
  for (int i = 0; i < service->method_count(); ++i) {
    const google::protobuf::Descriptor* const request =
        service->method(i)->input_type();
    const google::protobuf::FieldDescriptor* const field =
        request->FindFieldByNumber(100);
    ASSERT_NE(field, nullptr) << request->name();
    EXPECT_EQ(field->name(), "model") << request->name();
    EXPECT_EQ(field->type(), google::protobuf::FieldDescriptor::TYPE_STRING)
        << request->name();
  }
}

}  // namespace
}  // namespace rwkvd
