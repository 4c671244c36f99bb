// SPDX-License-Identifier: Apache-2.0
// Checks that the bundled model and a smaller one of the fixtures, with
// quantized weights, stay within the limits of docs/numerics.md on texts that
// they were not trained on.

#include <cmath>
#include <memory>
#include <string>

#include "core/base/thread_pool.h"
#include "core/model/load_model.h"
#include "core/text/load_tokenizer.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tools/quality/documents.h"
#include "tools/quality/measurement.h"
#include "tools/rwkv_convert/convert_checkpoint.h"

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

// The text for calibration: the beginnings of Genesis, 1611, of "Moby Dick",
// 1851, of Lincoln's second inaugural address, 1865, and of the First Epistle
// to the Corinthians' thirteenth chapter, 1611.
constexpr char kCalibrationTexts[] =
    "In the beginning God created the heaven and the earth.\n"
    "And the earth was without form, and void; and darkness was upon the face "
    "of the deep. And the Spirit of God moved upon the face of the waters.\n"
    "And God said, Let there be light: and there was light.\n"
    "And God saw the light, that it was good: and God divided the light from "
    "the darkness.\n"
    "And God called the light Day, and the darkness he called Night. And the "
    "evening and the morning were the first day.\n"
    "Call me Ishmael. Some years ago, never mind how long precisely, having "
    "little or no money in my purse, and nothing particular to interest me on "
    "shore, I thought I would sail about a little and see the watery part of "
    "the world. It is a way I have of driving off the spleen and regulating "
    "the circulation. Whenever I find myself growing grim about the mouth; "
    "whenever it is a damp, drizzly November in my soul; whenever I find "
    "myself involuntarily pausing before coffin warehouses, and bringing up "
    "the rear of every funeral I meet; then, I account it high time to get to "
    "sea as soon as I can.\n"
    "At this second appearing to take the oath of the Presidential office "
    "there is less occasion for an extended address than there was at the "
    "first. Then a statement somewhat in detail of a course to be pursued "
    "seemed fitting and proper. Now, at the expiration of four years, during "
    "which public declarations have been constantly called forth on every "
    "point and phase of the great contest which still absorbs the attention "
    "and engrosses the energies of the nation, little that is new could be "
    "presented. Both parties deprecated war, but one of them would make war "
    "rather than let the nation survive, and the other would accept war "
    "rather than let it perish, and the war came.\n"
    "Though I speak with the tongues of men and of angels, and have not "
    "charity, I am become as sounding brass, or a tinkling cymbal.\n"
    "And though I have the gift of prophecy, and understand all mysteries, "
    "and all knowledge; and though I have all faith, so that I could remove "
    "mountains, and have not charity, I am nothing.\n";

class QualityGates : public ::testing::Test {
 protected:
  void SetUp() override { Use(kDemo, 2048); }

  // Measures the model at `path` from now on.
  void Use(const std::string& path, int64_t vocab_size) {
    path_ = path;
    const auto file = TensorFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto chosen = ChooseTokenizer(
        {.directory = (*file)->directory(), .model_vocab_size = vocab_size});
    ASSERT_TRUE(chosen.ok()) << chosen.status();
    auto documents = EncodeDocuments(kTexts, "|", 1024, *chosen->tokenizer);
    ASSERT_TRUE(documents.ok()) << documents.status();
    documents_ = *std::move(documents);
  }

  std::unique_ptr<const Model> Load(const std::string& path, WeightKind kind) {
    auto model =
        LoadModel(*TensorFile::Open(path), {.weights = kind, .pool = &pool_});
    EXPECT_TRUE(model.ok()) << model.status();
    return *std::move(model);
  }

  Quality Measure(WeightKind kind) { return Compare(*Load(path_, kind)); }

  // Measures the result of rwkv-convert --calibration.
  Quality MeasureCalibrated(WeightKind kind) {
    const std::string directory = testing::MakeTempDirectory();
    const std::string text = directory + "/text", output = directory + "/out";
    testing::WriteFileOrDie(text, kCalibrationTexts);
    const auto converted = ConvertCheckpoint(
        {.input = path_,
         .directory = output,
         .target = {.weights = kind},
         .calibration = {text},
         .threads = 2},
        [](absl::string_view, int64_t, int64_t) { return absl::OkStatus(); });
    EXPECT_TRUE(converted.ok()) << converted.status();
    return Compare(*Load(output, WeightKind::kAsStored));
  }

  Quality Compare(const Model& model) {
    const Quality quality =
        MeasureQuality(*Load(path_, WeightKind::kAsStored), model, documents_,
                       {.greedy_tokens = 0}, pool_);
    RecordProperty("mean_kl", std::to_string(quality.mean_kl * 1e6) + "e-6");
    RecordProperty("bits_per_byte", std::to_string(quality.bits_per_byte));
    EXPECT_GT(quality.num_tokens, 600);
    // The model must predict English well, or the comparison means nothing.
    EXPECT_LT(quality.reference_bits_per_byte, 3.5);
    return quality;
  }

  ThreadPool pool_{2};
  std::string path_;
  std::vector<Document> documents_;
};

double Change(const Quality& quality) {
  return quality.bits_per_byte / quality.reference_bits_per_byte - 1;
}

TEST_F(QualityGates, Int8IsAlmostLossless) {
  const Quality quality = Measure(WeightKind::kInt8);
  EXPECT_LE(quality.mean_kl, 1e-4);
  EXPECT_LE(Change(quality), 0.001);
  // A difference shows that the weights are quantized at all.
  EXPECT_GT(quality.mean_kl, 1e-6);

  const Quality mixed = Measure(WeightKind::kInt8Mixed);
  EXPECT_LE(mixed.mean_kl, 5e-5);
  EXPECT_GT(mixed.mean_kl, 1e-7);
}

TEST_F(QualityGates, Int4CostsAtMostTwoPercent) {
  const Quality all = Measure(WeightKind::kInt4);
  const Quality mixed = Measure(WeightKind::kInt4Mixed);
  EXPECT_LE(Change(all), 0.02);
  EXPECT_LE(Change(mixed), 0.02);
  EXPECT_LT(mixed.mean_kl, all.mean_kl);
}

TEST_F(QualityGates, CalibrationReducesTheErrorOfAllKinds) {
  for (const WeightKind kind :
       {WeightKind::kInt8, WeightKind::kInt4, WeightKind::kInt4Mixed}) {
    const Quality calibrated = MeasureCalibrated(kind);
    EXPECT_LT(calibrated.mean_kl, Measure(kind).mean_kl) << NameOf(kind);
    EXPECT_LE(Change(calibrated), 0.01) << NameOf(kind);
  }
}

// Rounding hurts small models most.
TEST_F(QualityGates, CalibratedSmallModelMeetsTheLimits) {
  RWKVD_NEED_FIXTURES();
  Use(testing::FixturesDirectory() +
          "/models/tiny-5v1-730k/model-f32.safetensors",
      256);
  const Quality int8 = MeasureCalibrated(WeightKind::kInt8);
  EXPECT_LE(int8.mean_kl, 1e-4);
  EXPECT_LE(std::abs(Change(int8)), 0.001);
  EXPECT_LE(Change(MeasureCalibrated(WeightKind::kInt4)), 0.02);
}

}  // namespace
}  // namespace rwkvd
