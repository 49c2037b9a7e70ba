#!/usr/bin/env bash
# Configures and builds one preset, with as many jobs as processors and memory allow.
#
# Usage: scripts/build.sh PRESET [TARGET...]     presets: release, debug, test, asan, tsan
#
# The whole output goes to build/PRESET.log; its end is shown when something fails.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# What g++ 12 may take for one of our larger sources (coroutines on Asio), with room to spare.
readonly MIB_PER_JOB=1200

# available_mib: the smaller of what the machine and what this container has left.
available_mib() {
  local mib limit used group=/sys/fs/cgroup
  mib=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
  if [[ -r $group/memory.max ]]; then
    limit=$(cat "$group/memory.max") used=$(cat "$group/memory.current")
    if [[ $limit != max ]] && (((limit - used) / 1048576 < mib)); then
      mib=$(((limit - used) / 1048576))
    fi
  fi
  echo "$mib"
}

# parallel_jobs: at least 1, at most one per processor.
parallel_jobs() {
  local jobs by_memory
  jobs=$(nproc)
  by_memory=$(($(available_mib) / MIB_PER_JOB))
  ((by_memory >= jobs)) || jobs=$by_memory
  ((jobs >= 1)) || jobs=1
  echo "$jobs"
}

[[ $# -ge 1 && $1 =~ ^[a-z]+$ ]] || { print_usage "$0"; exit "$EXIT_USAGE"; }
preset=$1
shift
build=$ROWCREW_ROOT/build/$preset log=$ROWCREW_ROOT/build/$preset.log
targets=()
[[ $# -eq 0 ]] || targets=(--target "$@")

cd "$ROWCREW_ROOT"
mkdir -p build
: >"$log"

# Ninja configures again by itself when a CMakeLists.txt changes, but knows nothing of presets.
if [[ ! -e $build/build.ninja || CMakePresets.json -nt $build/build.ninja ]]; then
  say "configuring ($preset)"
  cmake --preset "$preset" >>"$log" 2>&1 || { show_tail "$log"; die "configure: preset $preset failed"; }
fi

started=$SECONDS jobs=$(parallel_jobs)
say "building ($preset, $jobs $([[ $jobs -eq 1 ]] && echo job || echo jobs))"
cmake --build "$build" --parallel "$jobs" "${targets[@]}" >>"$log" 2>&1 ||
  { show_tail "$log" 60; die "build: preset $preset failed, all of its output is in build/$preset.log"; }
note "built in $(elapsed "$started")"
