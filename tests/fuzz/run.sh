#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the fuzz targets and runs them to find inputs that make them fail.
#
#   tests/fuzz/run.sh [--jobs N] [--work DIR] [SECONDS_PER_TARGET] [TARGET...]
#
# By default, SECONDS_PER_TARGET is 60, all targets run, and N, the number of
# targets that run in parallel, is the number of processors. DIR, by default a
# new directory in /tmp, receives the new inputs (corpus/), the inputs that fail
# (findings/) and the logs; with an existing DIR, the search continues from its
# inputs. Prints a table at the end, and exits with 1 if an input failed. $BAZEL
# is the bazel command with its options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

die() {
  echo "run.sh: $*" >&2
  exit 2
}

jobs=$(nproc) work="" seconds=60
while [[ ${1-} == --* ]]; do
  case $1 in
    --jobs) jobs=${2?} ;;
    --work) work=${2?} ;;
    *) die "unknown option $1" ;;
  esac
  shift 2
done
if [[ ${1-} =~ ^[0-9]+$ ]]; then
  seconds=$1
  shift
fi
if [[ $# == 0 ]]; then
  for source in tests/fuzz/*_fuzz.cc; do
    source=${source##*/}
    set -- "$@" "${source%_fuzz.cc}"
  done
fi
for target in "$@"; do
  [[ -e tests/fuzz/${target}_fuzz.cc ]] || die "there is no target $target"
done
work=${work:-$(mktemp -d /tmp/rwkvd_fuzz.XXXXXX)}
mkdir -p "$work"
work=$(realpath "$work")

read -ra bazel <<<"${BAZEL:-bazel}"
labels=("${@/#///tests/fuzz:}")
"${bazel[@]}" build --config=fuzz --noshow_progress "${labels[@]/%/_fuzzer}"
binaries=$("${bazel[@]}" info --config=fuzz bazel-bin 2>/dev/null)/tests/fuzz

# Debian builds abseil without sanitizers. Its changes of a container are not
# recorded, so the container annotations are unreliable. Stack traces through
# abseil are unreliable too: traces of the same allocation would all differ, and
# storing them would fill the memory.
export ASAN_OPTIONS=detect_container_overflow=0:quarantine_size_mb=32
ASAN_OPTIONS+=:malloc_context_size=1
export UBSAN_OPTIONS=print_stacktrace=1

# Runs the target $1; its log ends with the CPU time that it took.
fuzz() {
  local target=$1 options=() TIMEFORMAT='cpu seconds: %0U'
  mkdir -p "$work/corpus/$target" "$work/findings/$target"
  if [[ -e tests/fuzz/dict/$target.dict ]]; then
    options+=("-dict=tests/fuzz/dict/$target.dict")
  fi
  time "$work/bin/${target}_fuzzer" "${options[@]}" \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=4096 \
    -print_final_stats=1 -artifact_prefix="$work/findings/$target/" \
    "$work/corpus/$target" "tests/fuzz/corpus/$target"
}

# The number after the last $2 in the log of target $1.
figure() {
  grep -aoP "\Q$2\E *\K[0-9]+" "$work/$1.log" | tail -n 1 || echo "-"
}

count_files() { find "$1" -type f | wc -l; }

# Run copies, so that a later build does not change a running program.
mkdir -p "$work/bin"
for target in "$@"; do
  cp -f "$binaries/${target}_fuzzer" "$work/bin/"
done
echo "Fuzzing for $seconds s each, $jobs at a time; logs in $work"
for target in "$@"; do
  while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
  fuzz "$target" >"$work/$target.log" 2>&1 &
done
while [[ -n $(jobs -rp) ]]; do wait -n || true; done

found=0
printf '%-18s %12s %8s %7s %7s %7s %9s\n' \
  target executions "cpu s" cov ft corpus findings
for target in "$@"; do
  findings=$(count_files "$work/findings/$target")
  found=$((found + findings))
  printf '%-18s %12s %8s %7s %7s %7s %9s\n' "$target" \
    "$(figure "$target" stat::number_of_executed_units:)" \
    "$(figure "$target" 'cpu seconds:')" "$(figure "$target" ' cov:')" \
    "$(figure "$target" ' ft:')" "$(count_files "$work/corpus/$target")" \
    "$findings"
done
if ((found > 0)); then
  find "$work/findings" -type f
  exit 1
fi
