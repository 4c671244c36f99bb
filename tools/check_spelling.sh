#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if codespell finds a misspelled word, or a British spelling where
# American is used, in text or in a part of a name (CamelCase, snake_case).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# cancelled: the spelling of gRPC and Abseil (StatusCode::CANCELLED).
# hel, nd: beginnings and ends of words in tests that split text.
# modle, togle: misspelled flags and commands in tests of suggestions.
# te: part of a pickle in tests.
# countr: std::countr_zero.
readonly IGNORED_WORDS=cancelled,hel,nd,modle,togle,te,countr

# Data, frozen files, and text that is not ours.
readonly IGNORED_FILES=(
  ':!*package-lock.json' ':!*go.sum' ':!LICENSE' ':!models/*/*.json' ':!models/*/*.txt'
  ':!tests/contract/first' ':!tests/fuzz/corpus' ':!tests/fuzz/dict'
)

# Words in names are split at capitals; "\n" does not begin a word.
readonly WORD="(?<![\\\\])[A-Z]?[a-z']+|[A-Z]{2,}(?![a-z])"

git ls-files -z --cached --others --exclude-standard -- "${IGNORED_FILES[@]}" |
  xargs -0 codespell --builtin clear,rare,en-GB_to_en-US --regex "$WORD" \
    --ignore-words-list "$IGNORED_WORDS"
