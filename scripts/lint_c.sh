#!/bin/sh
# Compile every C source, and every header by itself, with gcc and clang, all warnings as errors; nothing is kept.
#   scripts/lint_c.sh
set -eu
cd "$(dirname "$0")/.."
flags="-std=c11 -O2 -Wall -Wextra -Wconversion -Wpedantic -Werror -ffp-contract=off -Iruntime/include -Icsrc"
sources=$(find csrc runtime -name '*.c' ! -path '*/android/*') # JNI needs the headers of an Android SDK
headers=$(find csrc runtime -name '*.h' ! -path '*/android/*' ! -path '*/bindings/*')
failed=0
for compiler in gcc clang; do
  if ! command -v "$compiler" >/dev/null 2>&1; then
    echo "lint: $compiler is not installed, C not checked with it"
    continue
  fi
  for file in $sources; do
    # shellcheck disable=SC2086 # flags are words
    "$compiler" $flags -c "$file" -o /dev/null || failed=1
  done
  for file in $headers; do # -include: a header as the main file would be warned about
    # shellcheck disable=SC2086
    "$compiler" $flags -Wno-unused -fsyntax-only -include "$file" -x c /dev/null || failed=1
  done
done
exit $failed
