#!/usr/bin/env bash
# Does softcuda see what a CUDA program can do wrong? Each patch in tests/program/cuda/mutants makes one mistake in the device's code; the
# program with it is built from a copy of the tree and must be caught: a finding of softcuda's, or a call that fails.
# The copies are built in target/mutants; MUTANTS_TARGET names another folder.
set -euo pipefail
cd "$(dirname "$0")/../../.."

cargo build --quiet --package softcuda
softcuda=$PWD/target/debug/softcuda
target=${MUTANTS_TARGET:-$PWD/target/mutants}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
run="run --model tiny --device cuda --batch 2 --max-time 1ms --min-samples 1"

# Builds the copy as it is, runs it, and leaves what was said in $copy/said; fails where nothing was wrong.
caught() {
  (cd "$copy/tree" && cargo build --quiet --bin layertime --target-dir "$target")
  cp "$target/debug/layertime" "$copy/layertime"
  ! (cd "$copy" && LAYERTIME_KERNELS=committed SOFTCUDA_STRICT=1 SOFTCUDA_HANG_SECONDS=5 timeout 120 "$softcuda" ./layertime $run > said 2>&1)
}

mkdir "$copy/tree"
git ls-files -z | xargs -0 cp --parents --target-directory="$copy/tree"
if caught; then
  cat "$copy/said"
  echo "the program without a mistake is caught: nothing can be said of the others"
  exit 1
fi
failed=0
for patch in tests/program/cuda/mutants/*.patch; do
  patch --quiet --strip=1 --directory="$copy/tree" < "$patch"
  if caught; then
    echo "caught  $(basename "$patch" .patch): $(grep -m 1 -E '^(softcuda|error):' "$copy/said")"
  else
    echo "MISSED  $(basename "$patch" .patch)"
    failed=1
  fi
  patch --quiet --strip=1 --reverse --directory="$copy/tree" < "$patch"
done
exit $failed
