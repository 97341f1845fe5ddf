#!/bin/sh
# Build kilograd._core in place (python/kilograd/_core*.so) for the given interpreter: seconds, and only what changed.
#   scripts/dev_build.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
build=build/dev
mkdir -p "$build"
exec 9>"$build/lock"
if command -v flock >/dev/null 2>&1; then flock 9; fi # one build at a time
generator=$(command -v ninja >/dev/null 2>&1 && echo Ninja || echo "Unix Makefiles")
cmake -S . -B "$build" -G "$generator" -DPython_EXECUTABLE="$(command -v "$python")" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >"$build/configure.log" || { cat "$build/configure.log"; exit 1; }
cmake --build "$build" --parallel 2 --target _core
cp "$build/_core$suffix" "python/kilograd/_core$suffix.new.so"
mv -f "python/kilograd/_core$suffix.new.so" "python/kilograd/_core$suffix" # atomic: a running test keeps its old module
