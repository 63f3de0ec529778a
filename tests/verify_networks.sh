#!/usr/bin/env bash
# Verifies a training step of built-in networks on the CPU at batch 2 and their own image size, and prints a line for each. All of
# them with one seed take half an hour on two idle cores.
#
#     tests/verify_networks.sh                      # every network, seeds 1, 2 and 3
#     SEEDS=1 tests/verify_networks.sh nin resnet18
#
# Wants a release build. Exit code 1 if any fails; its table is then printed too.
set -uo pipefail
cd "$(dirname "$0")/.."
layertime=${LAYERTIME:-target/release/layertime}
known=$("$layertime" inspect --help | tr '\n' ' ' | sed 's/.*built-in model (\([^)]*\)).*/\1/' | tr -d ',')
failed=0
for seed in ${SEEDS:-1 2 3}; do
  for model in ${*:-$known}; do
    if verified=$("$layertime" verify --model "$model" --device cpu --batch 2 --seed "$seed" 2>&1); then
      printf 'seed %s, %s: %s\n' "$seed" "$model" "$(tail -n 1 <<< "$verified")"
    else
      printf 'seed %s, %s:\n%s\n' "$seed" "$model" "$verified"
      failed=1
    fi
  done
done
exit "$failed"
