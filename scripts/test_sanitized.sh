#!/bin/sh
# Run tests with the C core under AddressSanitizer and UndefinedBehaviorSanitizer (gcc), from a copy of the package in build/sanitized.
#   scripts/test_sanitized.sh [PYTHON [PYTEST ARGUMENTS]]
set -eu
cd "$(dirname "$0")/.."
python=$(command -v "${1:-python3}")
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- tests/ops tests/runtime
build=build/sanitized
generator=$(command -v ninja >/dev/null 2>&1 && echo Ninja || echo "Unix Makefiles")
cmake -S . -B "$build" -G "$generator" -DKG_SANITIZE=address,undefined -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++ \
  -DCMAKE_C_FLAGS_RELEASE=-O1 -DCMAKE_CXX_FLAGS_RELEASE=-O0 -DPython_EXECUTABLE="$python" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >/dev/null
cmake --build "$build" --parallel 2 --target _core
rm -rf "$build/python"
cp -R python "$build/python"
cp "$build"/_core*.so "$build/python/kilograd/"
# The tests must import this copy and no other (pythonpath); -s, or the report of a sanitizer is lost in what pytest captures.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so.6)" ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
  PYTHONPATH="$build/python" "$python" -m pytest -o pythonpath="$build/python" -s "$@"
