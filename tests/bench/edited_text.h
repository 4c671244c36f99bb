// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_BENCH_EDITED_TEXT_H_
#define RWKVD_TESTS_BENCH_EDITED_TEXT_H_

#include "absl/strings/string_view.h"

namespace rwkvd::bench {

// A sentence of a report, and what it became when the report was edited; kSame
// if it was kept. The kept sentences have six tenths of the words.
struct EditedSentence {
  absl::string_view before;
  absl::string_view after;
};

inline constexpr absl::string_view kSame = "";

inline constexpr EditedSentence kEditedReport[] = {
    {"The station on the northern shore was opened in the spring, after two "
     "years of work by a small crew and many visitors from the town.",
     kSame},
    {"It has a tower of stone, a house for the keeper, and a shed in which the "
     "boats are kept during the winter.",
     kSame},
    {"In the first year the lamp failed eleven times, mostly because the oil "
     "was cold and would not rise in the wick.",
     "Eleven failures of the lamp were reported by spring; cold oil that did "
     "not reach its wick explains nearly all of these."},
    {"The keeper therefore asked for a stove, which was brought by boat in "
     "October and has worked without a fault since then.",
     kSame},
    {"Ships that pass the cape at night report that they see the light from a "
     "distance of nineteen miles in clear weather, and of six miles in rain.",
     kSame},
    {"Nobody was hurt when the storm of January tore the roof from the shed, "
     "but three boats were lost and had to be replaced.",
     "A January storm took the roof off; we bought new boats for those three "
     "that went down, and every member of staff is well."},
    {"The cost of repairs was paid by the harbor office, as the contract says, "
     "within forty days of the letter that the keeper wrote.",
     kSame},
    {"Water is taken from a well behind the house; in August it was nearly "
     "dry, and for nine days water had to be carried from the village.",
     "Drought emptied our well late last summer, so villagers kindly brought "
     "barrels up every second morning until rain came back."},
    {"A new pump should be installed before the next summer, and the well "
     "should be made deeper by at least two yards.",
     kSame},
    {"The garden gives potatoes, beans and cabbage for three people, and what "
     "is left over is sold on the market in the town.",
     "Our vegetable beds feed everyone on site; any surplus goes to buyers in "
     "nearby places each autumn."},
    {"Two of the windows of the tower do not close any more, because the "
     "frames have become wet and the hinges are covered with rust.",
     "Replace both tower casements soon: rot and corrosion keep them open, "
     "which lets salty spray onto machinery below."},
    {"Every evening the keeper writes the time of sunset, the wind, the height "
     "of the waves and the names of all ships into the book.",
     kSame},
    {"A copy of this book is sent to the capital at the end of each month, "
     "where a clerk compares it with the books of the other stations.",
     kSame},
    {"The post arrives on Mondays if the road is free of snow, and otherwise "
     "when somebody from the village walks over the hill.",
     "Letters come weekly; deep drifts may delay delivery until one of our "
     "neighbors makes that climb on foot."},
};

}  // namespace rwkvd::bench

#endif  // RWKVD_TESTS_BENCH_EDITED_TEXT_H_
