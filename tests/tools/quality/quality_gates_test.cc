// SPDX-License-Identifier: Apache-2.0
// The bundled model with quantized weights, held to what docs/numerics.md
// promises, on texts that it was not trained on.

#include <memory>
#include <string>

#include "core/base/thread_pool.h"
#include "core/model/load_model.h"
#include "core/text/load_tokenizer.h"
#include "gtest/gtest.h"
#include "tools/quality/documents.h"
#include "tools/quality/measurement.h"

namespace rwkvd {
namespace {

constexpr char kDemo[] = "models/demo";

// Abraham Lincoln at Gettysburg, 1863; the beginnings of the Declaration of
// Independence, 1776, of "A Tale of Two Cities", 1859, and of "Walden", 1854.
constexpr char kTexts[] =
    "Four score and seven years ago our fathers brought forth upon this "
    "continent, a new nation, conceived in Liberty, and dedicated to the "
    "proposition that all men are created equal. Now we are engaged in a great "
    "civil war, testing whether that nation, or any nation so conceived and so "
    "dedicated, can long endure. We are met on a great battle-field of that "
    "war. We have come to dedicate a portion of that field, as a final resting "
    "place for those who here gave their lives that that nation might live. It "
    "is altogether fitting and proper that we should do this. But, in a larger "
    "sense, we can not dedicate, we can not consecrate, we can not hallow this "
    "ground. The brave men, living and dead, who struggled here, have "
    "consecrated it, far above our poor power to add or detract. The world "
    "will little note, nor long remember what we say here, but it can never "
    "forget what they did here.|"
    "When in the Course of human events, it becomes necessary for one people "
    "to dissolve the political bands which have connected them with another, "
    "and to assume among the powers of the earth, the separate and equal "
    "station to which the Laws of Nature and of Nature's God entitle them, a "
    "decent respect to the opinions of mankind requires that they should "
    "declare the causes which impel them to the separation. We hold these "
    "truths to be self-evident, that all men are created equal, that they are "
    "endowed by their Creator with certain unalienable Rights, that among "
    "these are Life, Liberty and the pursuit of Happiness.|"
    "It was the best of times, it was the worst of times, it was the age of "
    "wisdom, it was the age of foolishness, it was the epoch of belief, it was "
    "the epoch of incredulity, it was the season of Light, it was the season "
    "of Darkness, it was the spring of hope, it was the winter of despair, we "
    "had everything before us, we had nothing before us, we were all going "
    "direct to Heaven, we were all going direct the other way.|"
    "When I wrote the following pages, or rather the bulk of them, I lived "
    "alone, in the woods, a mile from any neighbor, in a house which I had "
    "built myself, on the shore of Walden Pond, in Concord, Massachusetts, and "
    "earned my living by the labor of my hands only. I lived there two years "
    "and two months. At present I am a sojourner in civilized life again.";

class QualityGates : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto tokenizer = FindTokenizer(kDemo, 2048);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    auto documents = EncodeDocuments(kTexts, "|", 1024, **tokenizer);
    ASSERT_TRUE(documents.ok()) << documents.status();
    documents_ = *std::move(documents);
  }

  std::unique_ptr<const Model> Load(WeightKind kind) {
    auto model =
        LoadModel(*TensorFile::Open(kDemo), {.weights = kind, .pool = &pool_});
    EXPECT_TRUE(model.ok()) << model.status();
    return *std::move(model);
  }

  Quality Measure(WeightKind kind) {
    const Quality quality =
        MeasureQuality(*Load(WeightKind::kAsStored), *Load(kind), documents_,
                       {.greedy_tokens = 0}, pool_);
    RecordProperty("mean_kl", std::to_string(quality.mean_kl * 1e6) + "e-6");
    RecordProperty("bits_per_byte", std::to_string(quality.bits_per_byte));
    EXPECT_GT(quality.num_tokens, 600);
    // That the model reads English, and so the comparison means something.
    EXPECT_LT(quality.reference_bits_per_byte, 2.5);
    return quality;
  }

  ThreadPool pool_{2};
  std::vector<Document> documents_;
};

double Change(const Quality& quality) {
  return quality.bits_per_byte / quality.reference_bits_per_byte - 1;
}

TEST_F(QualityGates, EightBitsAreHardlyTold) {
  const Quality quality = Measure(WeightKind::kInt8);
  EXPECT_LE(quality.mean_kl, 1e-4);
  EXPECT_LE(Change(quality), 0.001);
  // What is not there cannot be measured: the weights are quantized.
  EXPECT_GT(quality.mean_kl, 1e-6);
}

TEST_F(QualityGates, FourBitsCostTwoPercentAtMost) {
  const Quality all = Measure(WeightKind::kInt4);
  const Quality mixed = Measure(WeightKind::kInt4Mixed);
  EXPECT_LE(Change(all), 0.02);
  EXPECT_LE(Change(mixed), 0.02);
  EXPECT_LT(mixed.mean_kl, all.mean_kl);
}

}  // namespace
}  // namespace rwkvd
