// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/layout.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "core/base/check.h"
#include "core/base/float16.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/checkpoint/layout_checks.h"
#include "tests/core/checkpoint/layout_samples.h"
#include "tests/testing/fixtures.h"

namespace rwkvd {
namespace {

using testing::ExpectTensors;
using ::testing::HasSubstr;
using testing::NativeSample;
using testing::ReadTensors;
using testing::TestTensor;
using testing::TestTensors;

std::vector<Tensor> Stored(const TestTensors& tensors) {
  return ReadTensors(
      testing::WriteCheckpoint(testing::MakeTempDirectory(), tensors));
}

absl::StatusOr<NativeTensors> Convert(const TestTensors& tensors,
                                      const HubConfig& config = {}) {
  return ToNativeLayout(Stored(tensors), "m.bin", config);
}

std::string LayoutError(const TestTensors& tensors,
                        const HubConfig& config = {}) {
  const auto native = Convert(tensors, config);
  EXPECT_FALSE(native.ok());
  EXPECT_EQ(native.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(native.status().message());
}

TestTensors WithoutPrefix(const TestTensors& tensors,
                          absl::string_view prefix) {
  TestTensors result;
  for (const auto& [name, tensor] : tensors) {
    result[std::string(absl::StripPrefix(name, prefix))] = tensor;
  }
  return result;
}

TestTensors AsBareHuggingFace(const TestTensors& native) {
  return WithoutPrefix(testing::AsHuggingFace(native), "rwkv.");
}

TestTensors AsBareFla7(const TestTensors& native) {
  return WithoutPrefix(testing::AsFla7(native), "model.");
}

TestTensors AsItIs(const TestTensors& native) { return native; }

TestTensors Renamed(
    const TestTensors& native,
    std::vector<std::pair<absl::string_view, absl::string_view>> names) {
  TestTensors stored;
  for (const auto& [name, tensor] : native) {
    stored["model." + absl::StrReplaceAll(name, names)] = tensor;
  }
  return stored;
}

TestTensors AsCompiledWebRwkv(const TestTensors& native) {
  return testing::AsCompiled(testing::AsWebRwkv(native));
}

TestTensors AsCompiledFla7(const TestTensors& native) {
  return testing::AsCompiled(testing::AsFla7(native));
}

// A mixture that some converters write: only the outer names are changed.
TestTensors AsAttention7(const TestTensors& native) {
  return Renamed(native,
                 {{".att.", ".attention."}, {".ffn.", ".feed_forward."}});
}

TestTensors AsTimeMixer7(const TestTensors& native) {
  return Renamed(native,
                 {{".att.", ".self_attn.time_mixer."}, {"blocks.", "layers."}});
}

// The converter of web-rwkv copies the decay and bonus of a head to each of its
// channels.
TestTensors AsWebRwkv51(const TestTensors& native) {
  TestTensors stored = testing::AsWebRwkv(native);
  for (int64_t i = 0; i < testing::kLayers; ++i) {
    for (const char* part : {"decay", "first"}) {
      TestTensor& tensor =
          stored.at(absl::StrCat("blocks.", i, ".att.time_", part));
      std::vector<float> values;
      for (float value : tensor.values) {
        values.insert(values.end(), testing::kHeadSize, value);
      }
      tensor.values = values;
      tensor.shape = {testing::kHeads, testing::kHeadSize};
    }
  }
  return stored;
}

struct Case {
  const char* name;
  const char* version;
  TestTensors (*store)(const TestTensors&);
  Layout layout;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

constexpr Layout kFla = Layout::kFlashLinearAttention;

const Case kCases[] = {
    {"Native4", "4", AsItIs, Layout::kNative},
    {"Native50", "5.0", AsItIs, Layout::kNative},
    {"Native51", "5.1", AsItIs, Layout::kNative},
    {"Native52", "5.2", AsItIs, Layout::kNative},
    {"Native6", "6", AsItIs, Layout::kNative},
    {"Native7", "7", AsItIs, Layout::kNative},
    {"HuggingFace4", "4", testing::AsHuggingFace, Layout::kHuggingFace},
    {"HuggingFace52", "5.2", testing::AsHuggingFace, Layout::kHuggingFace},
    {"HuggingFace6", "6", testing::AsHuggingFace, Layout::kHuggingFace},
    {"BareHuggingFace4", "4", AsBareHuggingFace, Layout::kHuggingFace},
    {"BareHuggingFace6", "6", AsBareHuggingFace, Layout::kHuggingFace},
    {"Fla6", "6", testing::AsFla6, kFla},
    {"Fla7", "7", testing::AsFla7, kFla},
    {"OldFla7", "7", testing::AsOldFla7, kFla},
    {"BareFla7", "7", AsBareFla7, kFla},
    {"Attention7", "7", AsAttention7, Layout::kHuggingFace},
    {"TimeMixer7", "7", AsTimeMixer7, kFla},
    {"Release7", "7", testing::AsRelease7, Layout::kHuggingFace},
    {"Model4", "4", testing::AsModel, Layout::kHuggingFace},
    {"Model6", "6", testing::AsModel, Layout::kHuggingFace},
    {"Model7", "7", testing::AsModel, Layout::kHuggingFace},
    {"Embeddings7", "7", testing::AsEmbeddings7, Layout::kHuggingFace},
    {"Linear7", "7", testing::AsLinear7, Layout::kHuggingFace},
    {"Compiled4", "4", testing::AsCompiled, Layout::kNative},
    {"Compiled7", "7", testing::AsCompiled, Layout::kNative},
    {"Wrapped52", "5.2", testing::AsWrapped, Layout::kHuggingFace},
    {"Wrapped7", "7", testing::AsWrapped, Layout::kHuggingFace},
    {"CompiledFla7", "7", AsCompiledFla7, kFla},
    {"CompiledWebRwkv6", "6", AsCompiledWebRwkv, Layout::kWebRwkv},
    {"CompiledWebRwkv7", "7", AsCompiledWebRwkv, Layout::kWebRwkv},
    // These two are the same as native checkpoints.
    {"WebRwkv4", "4", testing::AsWebRwkv, Layout::kNative},
    {"WebRwkv50", "5.0", testing::AsWebRwkv, Layout::kNative},
    {"WebRwkv52", "5.2", testing::AsWebRwkv, Layout::kWebRwkv},
    {"WebRwkv6", "6", testing::AsWebRwkv, Layout::kWebRwkv},
    {"WebRwkv7", "7", testing::AsWebRwkv, Layout::kWebRwkv},
};

class LayoutTest : public ::testing::TestWithParam<Case> {};

TEST_P(LayoutTest, TranslatesToNative) {
  const TestTensors expected = NativeSample(GetParam().version);
  const auto native = Convert(GetParam().store(expected));
  ASSERT_TRUE(native.ok()) << native.status();
  EXPECT_EQ(native->layout, GetParam().layout);
  EXPECT_TRUE(native->has_embedding_norm);
  ExpectTensors(native->tensors, expected);
}

// Tensors are views of the file, except for the one reordering that a view
// cannot express.
TEST_P(LayoutTest, CopiesOnlyReorderedTensors) {
  const TestTensors expected = NativeSample(GetParam().version);
  const auto native = Convert(GetParam().store(expected));
  ASSERT_TRUE(native.ok()) << native.status();
  int64_t bytes = 0;
  for (const auto& [name, tensor] : expected) {
    if (absl::StrContains(name, "time_maa_w") && tensor.shape[0] != 1) {
      bytes += 4 * tensor.values.size();
    }
  }
  EXPECT_EQ(native->copied_bytes,
            absl::string_view(GetParam().name) == "Fla6" ? bytes : 0);
  EXPECT_EQ(native->copies.empty(), native->copied_bytes == 0);
}

// The translation does not crash for any number of dimensions or any size of a
// tensor.
TEST_P(LayoutTest, TensorOfAnyShapeIsHandled) {
  const TestTensors stored = GetParam().store(NativeSample(GetParam().version));
  std::vector<Tensor> tensors = Stored(stored);
  for (Tensor& tensor : tensors) {
    const Tensor whole = tensor;
    const int64_t size = whole.num_elements();
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{},
                                           {0},
                                           {1},
                                           {size},
                                           {size, 1},
                                           {1, size},
                                           {0, int64_t{1} << 62},
                                           {0, int64_t{1} << 62, 1 << 30},
                                           {5, 0},
                                           {1, 1, 1, size},
                                           {2, 2, 1}}) {
      tensor.shape = shape;
      tensor.data = whole.data.first(
          shape.empty()
              ? 4
              : std::min<int64_t>(size * 4,
                                  shape[0] == 0 ? 0 : tensor.num_bytes()));
      const auto native = ToNativeLayout(tensors, "m.bin", {});
      if (!native.ok()) continue;
      for (const Tensor& view : native->tensors) {
        if (view.shape != shape) ToFloat(view);
      }
    }
    tensor = whole;
  }
}

INSTANTIATE_TEST_SUITE_P(All, LayoutTest, ::testing::ValuesIn(kCases),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(LayoutTest, LayoutsHaveNames) {
  EXPECT_EQ(NameOf(Layout::kNative), "native");
  EXPECT_EQ(NameOf(Layout::kHuggingFace), "Hugging Face");
  EXPECT_EQ(NameOf(Layout::kFlashLinearAttention), "flash-linear-attention");
  EXPECT_EQ(NameOf(Layout::kWebRwkv), "web-rwkv");
}

TEST(LayoutTest, ExpandedHeadsOfWebRwkv51AreVersion52) {
  const auto native = Convert(AsWebRwkv51(NativeSample("5.1")));
  ASSERT_TRUE(native.ok()) << native.status();
  EXPECT_EQ(native->layout, Layout::kWebRwkv);
  TestTensors expected = AsWebRwkv51(NativeSample("5.1"));
  for (int64_t i = 0; i < testing::kLayers; ++i) {
    const std::string time = absl::StrCat("blocks.", i, ".att.time_");
    auto bonus = expected.extract(time + "first");
    bonus.key() = time + "faaaa";
    expected.insert(std::move(bonus));
  }
  ExpectTensors(native->tensors, expected);
}

TEST(LayoutTest, SingleHeadIsRecognizedByTheGate) {
  TestTensors stored = NativeSample("5.2");
  const std::vector<float> values(testing::kChannels, 1.0f);
  for (int64_t i = 0; i < testing::kLayers; ++i) {
    const std::string time = absl::StrCat("blocks.", i, ".att.time_");
    stored.erase(time + "faaaa");
    stored[time + "first"] = {.shape = {1, testing::kChannels},
                              .values = values};
  }
  EXPECT_EQ(Convert(stored)->layout, Layout::kWebRwkv);

  TestTensors without_gate = NativeSample("5.0");
  without_gate["blocks.0.att.time_first"].shape = {1, testing::kHeads};
  EXPECT_EQ(Convert(without_gate)->layout, Layout::kNative);
  TestTensors version_4 = NativeSample("4");
  version_4["blocks.0.att.time_first"].shape = {1, testing::kChannels};
  EXPECT_EQ(Convert(version_4)->layout, Layout::kNative);
}

TEST(LayoutTest, FirstLayersUnusedValueWeightsAreDropped) {
  const TestTensors expected = NativeSample("7");
  TestTensors with_unused = expected;
  for (const char* part : {"att.v0", "att.v1", "att.v2"}) {
    with_unused[absl::StrCat("blocks.0.", part)] =
        expected.at(absl::StrCat("blocks.1.", part));
  }
  for (const auto store :
       {AsItIs, testing::AsFla7, testing::AsWebRwkv, testing::AsRelease7,
        testing::AsLinear7, testing::AsCompiled}) {
    const auto native = Convert(store(with_unused));
    ASSERT_TRUE(native.ok()) << native.status();
    ExpectTensors(native->tensors, expected);
  }
  // Their shapes do not matter either.
  with_unused["blocks.0.att.v1"] =
      testing::TransposedTensor(with_unused.at("blocks.0.att.v1"));
  EXPECT_EQ(Convert(with_unused)->layout, Layout::kNative);
}

TEST(LayoutTest, InitialStatesAreTransposedLikeTheLoraMatrices) {
  const auto with_state = [](const std::string& version) {
    TestTensors native = NativeSample(version);
    TestTensor state{.shape = {testing::kHeads, 4, 4}};
    for (int64_t i = 0; i < testing::kHeads * 16; ++i) {
      state.values.push_back(static_cast<float>(i));
    }
    native["blocks.0.att.time_state"] = state;
    return native;
  };
  for (const char* version : {"5.2", "6", "7"}) {
    const TestTensors expected = with_state(version);
    for (const auto store : {AsItIs, testing::AsWebRwkv}) {
      const auto native = Convert(store(expected));
      ASSERT_TRUE(native.ok()) << native.status();
      ExpectTensors(native->tensors, expected);
    }
  }
}

TEST(LayoutTest, FileOfInitialStatesAloneIsNative) {
  TestTensors states;
  for (int i = 0; i < 3; ++i) {
    states[absl::StrCat("blocks.", i, ".att.time_state")] = {
        .shape = {1, 2, 2}, .values = {1, 2, 3, 4}};
  }
  const auto native = Convert(states);
  ASSERT_TRUE(native.ok()) << native.status();
  EXPECT_EQ(native->layout, Layout::kNative);
  ExpectTensors(native->tensors, states);
}

// A LoRA matrix whose rank equals the number of channels, so that its shape
// does not determine its orientation.
TestTensors WithSquareLora(const TestTensors& native) {
  TestTensors result = native;
  TestTensor& square = result.at("blocks.0.att.g1");
  square.shape = {testing::kChannels, testing::kChannels};
  square.values.resize(testing::kChannels * testing::kChannels, 0.5f);
  return result;
}

TEST(LayoutTest, SquareLoraHasTheOrientationOfTheOthers) {
  const TestTensors expected = WithSquareLora(NativeSample("7"));
  for (const auto store : {AsItIs, testing::AsWebRwkv}) {
    const auto native = Convert(store(expected));
    ASSERT_TRUE(native.ok()) << native.status();
    ExpectTensors(native->tensors, expected);
  }
}

TEST(LayoutTest, SquareLoraAmongMixedOrientationsIsRejected) {
  TestTensors stored = testing::AsWebRwkv(WithSquareLora(NativeSample("7")));
  TestTensor& other = stored.at("blocks.1.att.w1");
  other = testing::TransposedTensor(other);
  EXPECT_THAT(
      LayoutError(stored),
      HasSubstr("m.bin: tensor \"blocks.0.att.g1\": cannot tell from the "
                "shape [12, 12] whether it is transposed"));
}

TEST(LayoutTest, LoraOrientationFollowsFromItsShape) {
  const TestTensors expected = NativeSample("7");
  TestTensors stored = testing::AsWebRwkv(expected);
  TestTensor& other = stored.at("blocks.1.att.w1");
  other = testing::TransposedTensor(other);
  const auto native = Convert(stored);
  ASSERT_TRUE(native.ok()) << native.status();
  ExpectTensors(native->tensors, expected);
}

TEST(LayoutTest, AllSquareLorasAreNativeInVersion7AndTransposedInVersion6) {
  TestTensors stored;
  const TestTensor square{.shape = {2, 2}, .values = {1, 2, 3, 4}};
  stored["emb.weight"] = stored["blocks.0.att.w1"] = square;
  EXPECT_EQ(Convert(stored)->layout, Layout::kNative);
  stored["blocks.0.att.time_mix_w1"] = square;
  const auto native = Convert(stored);
  ASSERT_TRUE(native.ok()) << native.status();
  EXPECT_EQ(native->layout, Layout::kWebRwkv);
  for (const Tensor& tensor : native->tensors) {
    if (tensor.name == "blocks.0.att.time_maa_w1") {
      EXPECT_EQ(ToFloat(tensor), std::vector<float>({1, 3, 2, 4}));
    }
  }
}

TEST(LayoutTest, TiedHeadIsAViewOfTheEmbedding) {
  HubConfig tied;
  tied.tie_word_embeddings = true;
  for (const auto store : {testing::AsHuggingFace, AsBareHuggingFace, AsItIs}) {
    TestTensors expected = NativeSample("4");
    TestTensors stored = store(expected);
    stored.erase("head.weight");
    expected["head.weight"] = expected.at("emb.weight");
    const auto native = Convert(stored, tied);
    ASSERT_TRUE(native.ok()) << native.status();
    ExpectTensors(native->tensors, expected);
    EXPECT_EQ(native->copied_bytes, 0);
    EXPECT_EQ(Convert(stored)->tensors.size(), expected.size() - 1);
  }
}

TEST(LayoutTest, StoredHeadIsKeptEvenIfTied) {
  HubConfig tied;
  tied.tie_word_embeddings = true;
  const TestTensors expected = NativeSample("4");
  const auto native = Convert(testing::AsHuggingFace(expected), tied);
  ASSERT_TRUE(native.ok()) << native.status();
  ExpectTensors(native->tensors, expected);
}

TEST(LayoutTest, EmbeddingNormCanBeDisabledInTheConfig) {
  HubConfig without;
  without.norm_first = false;
  TestTensors stored = testing::AsFla7(NativeSample("7"));
  EXPECT_THAT(LayoutError(stored, without), HasSubstr("norm_first"));
  stored.erase("model.layers.0.pre_norm.weight");
  stored.erase("model.layers.0.pre_norm.bias");
  const auto native = Convert(stored, without);
  ASSERT_TRUE(native.ok()) << native.status();
  EXPECT_FALSE(native->has_embedding_norm);
  EXPECT_TRUE(
      Convert(stored)->has_embedding_norm);  // so the checkpoint is incomplete
  EXPECT_TRUE(Convert(NativeSample("7"), without)->has_embedding_norm);
}

TEST(LayoutTest, QuantizedWeightsAreRejected) {
  HubConfig config;
  config.quant_method = "bitsandbytes";
  EXPECT_THAT(LayoutError(testing::AsRelease7(NativeSample("7")), config),
              HasSubstr("m.bin: config.json says that \"bitsandbytes\" "
                        "quantized the weights"));
}

// The tensors of `sample` with `prefix` before each name.
TestTensors SampleWithPrefix(const std::string& prefix,
                             const TestTensors& sample) {
  TestTensors stored;
  for (const auto& [name, tensor] : sample) stored[prefix + name] = tensor;
  return stored;
}

TEST(LayoutTest, NamesOfTheWholeModelAreDropped) {
  for (const char* prefix :
       {"net.", "transformer.", "backbone.", "state_dict.",
        "module.net._orig_mod.", "state_dict.model.module."}) {
    const auto native = Convert(SampleWithPrefix(prefix, NativeSample("7")));
    ASSERT_TRUE(native.ok()) << native.status();
    ExpectTensors(native->tensors, NativeSample("7"));
    const auto fla =
        Convert(SampleWithPrefix(prefix, testing::AsFla7(NativeSample("7"))));
    ASSERT_TRUE(fla.ok()) << fla.status();
    EXPECT_EQ(fla->layout, Layout::kFlashLinearAttention) << prefix;
    ExpectTensors(fla->tensors, NativeSample("7"));
  }
}

// Which of the two models is meant cannot be known.
TEST(LayoutTest, TwoModelsInOneFileAreRejected) {
  TestTensors stored = SampleWithPrefix("net.", NativeSample("7"));
  for (auto& [name, tensor] : SampleWithPrefix("model.", NativeSample("7"))) {
    stored[name] = tensor;
  }
  EXPECT_THAT(LayoutError(stored), HasSubstr("has the native name"));
  // The model refuses it as an unknown tensor.
  stored = SampleWithPrefix("model.", NativeSample("7"));
  stored["ema.head.weight"] = stored.at("model.head.weight");
  const auto native = Convert(stored);
  ASSERT_TRUE(native.ok()) << native.status();
  EXPECT_TRUE(std::any_of(
      native->tensors.begin(), native->tensors.end(),
      [](const Tensor& tensor) { return tensor.name == "ema.head.weight"; }));
}

TEST(LayoutTest, TwoTensorsWithOneNativeNameAreRejected) {
  TestTensors stored = testing::AsHuggingFace(NativeSample("4"));
  stored["blocks.1.ln1.bias"] = stored.at("rwkv.blocks.1.ln1.bias");
  EXPECT_THAT(
      LayoutError(stored),
      HasSubstr("tensor \"rwkv.blocks.1.ln1.bias\": has the native name "
                "\"blocks.1.ln1.bias\", as has tensor "
                "\"blocks.1.ln1.bias\""));
  TestTensors both = NativeSample("6");
  both["blocks.0.att.time_mix_w1"] = both.at("blocks.0.att.time_maa_w1");
  EXPECT_THAT(LayoutError(both), HasSubstr("has the native name"));
}

TEST(LayoutTest, LoraAdaptersAreRejected) {
  TestTensors stored = testing::AsWebRwkv(NativeSample("6"));
  stored["blocks.0.att.key.lora.0"] = stored.at("blocks.0.att.key.weight");
  EXPECT_THAT(LayoutError(stored),
              HasSubstr("m.bin: tensor \"blocks.0.att.key.lora.0\": is a LoRA "
                        "adapter"));
  stored = NativeSample("4");
  stored["blocks.0.att.key.lora_A"] = stored.at("blocks.0.att.key.weight");
  EXPECT_THAT(LayoutError(stored),
              HasSubstr("key.lora_A\": is a LoRA adapter"));
}

// The model refuses them by these names.
TEST(LayoutTest, UnknownTensorsKeepTheirNames) {
  const char* const kNames[][2] = {
      {"model.layers.0.attn.g_lora.lora.2.bias",
       "blocks.0.att.g_lora.lora.2.bias"},
      {"model.layers.0.mlp.weight", "blocks.0.mlp.weight"},
      {"model.layers.0.attn.q_proj.weight", "blocks.0.att.q_proj.weight"},
      {"model.other.weight", "other.weight"},
      {"model.layers.x.attn.x_r", "layers.x.attn.x_r"},
      {"model.layers.99", "layers.99"}};
  for (const auto& [stored_name, native_name] : kNames) {
    TestTensors stored = testing::AsFla7(NativeSample("7"));
    TestTensors expected = NativeSample("7");
    stored[stored_name] = {.shape = {1}, .values = {1}};
    expected[native_name] = stored[stored_name];
    const auto native = Convert(stored);
    ASSERT_TRUE(native.ok()) << native.status();
    ExpectTensors(native->tensors, expected);
  }
}

TEST(LayoutTest, WrongShapesInFlashLinearAttentionAreRejected) {
  const TestTensor tensor{.shape = {4, 3}, .values = std::vector<float>(12)};
  const TestTensor vector{.shape = {12}, .values = std::vector<float>(12)};
  const auto message = [](const char* name, const TestTensor& value) {
    TestTensors stored;
    stored[absl::StrCat("model.layers.0.attn.", name)] = value;
    return LayoutError(stored);
  };
  EXPECT_THAT(message("x_x", tensor),
              HasSubstr("expected shape [6, C], got [4, 3]"));
  EXPECT_THAT(message("x_bias", vector),
              HasSubstr("expected shape [5, C], got [12]"));
  EXPECT_THAT(
      message("w_lora.lora.0.weight", vector),
      HasSubstr("expected a matrix, stored transposed, got shape [12]"));
  EXPECT_THAT(message("x_proj.0.linear.weight", tensor),
              HasSubstr("expected shape [5r, C], got [4, 3]"));
  EXPECT_THAT(message("x_proj.2.weight", tensor),
              HasSubstr("expected shape [C, 5r], got [4, 3]"));
}

// A matrix [rows, cols] over 64 numbers, with the given strides. Matrices may
// share bytes, as in a .pth file; their copies do not.
Tensor Strided(const std::vector<float>& numbers, int64_t rows, int64_t cols,
               std::vector<int64_t> strides) {
  const size_t span = (rows - 1) * strides[0] + (cols - 1) * strides[1] + 1;
  return {.name = "head.weight",
          .dtype = DType::kF32,
          .shape = {rows, cols},
          .data = absl::MakeConstSpan(
              reinterpret_cast<const std::byte*>(numbers.data()), 4 * span),
          .strides = std::move(strides)};
}

TEST(LayoutTest, OnlyMatricesWithoutContiguousRowsOrColumnsAreCopied) {
  std::vector<float> numbers(64);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = i;
  for (const auto& [strides, bytes] :
       std::vector<std::pair<std::vector<int64_t>, int64_t>>{
           {{8, 1}, 0}, {{1, 8}, 0}, {{8, 2}, 48}, {{2, 8}, 48}}) {
    Tensor stored = Strided(numbers, 3, 4, strides);
    const std::vector<float> values = ToFloat(stored);
    const auto native = ToNativeLayout({stored}, "m.pth", {});
    ASSERT_TRUE(native.ok()) << native.status();
    EXPECT_EQ(native->copied_bytes, bytes);
    EXPECT_EQ(ToFloat(native->tensors[0]), values);
    const std::vector<int64_t> steps = native->tensors[0].Strides();
    EXPECT_TRUE(steps[0] == 1 || steps[1] == 1);
  }
}

TEST(LayoutTest, StridedVectorsAreNotCopied) {
  const std::vector<float> numbers(64);
  Tensor stored = Strided(numbers, 20, 1, {3, 7});
  const auto native = ToNativeLayout({stored}, "m.pth", {});
  ASSERT_TRUE(native.ok()) << native.status();
  EXPECT_EQ(native->copied_bytes, 0);
}

TEST(LayoutTest, CopiesLargerThanTheFileAreRejected) {
  const std::vector<std::byte> bytes(5 * 4 * sizeof(float));
  std::vector<Tensor> stored;
  for (int i = 0; i < 2; ++i) {
    stored.push_back(
        {.name = absl::StrCat("model.layers.", i, ".attn.x_proj.2.weight"),
         .shape = {4, 5},
         .data = bytes});
  }
  const auto native = ToNativeLayout(stored, "m.bin", {});
  ASSERT_FALSE(native.ok());
  EXPECT_THAT(
      std::string(native.status().message()),
      HasSubstr("layers.1.attn.x_proj.2.weight\": needs a copy of 80 bytes "
                "in addition to 80; all copies may take at most 80 "
                "bytes"));
}

}  // namespace
}  // namespace rwkvd
