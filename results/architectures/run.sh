#!/usr/bin/env bash
# Measures a step of every built-in network at batch 1 and 16 on this machine's CPU, predicts it for an A100, draws both, and writes
# the tables of README.md. Takes about 20 minutes on two cores, which should be quiet. MAX_TIME=1s MODELS="nin resnet18" tries it;
# LAYERTIME=PROGRAM takes a program that is built.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=results/architectures
[ -n "${LAYERTIME:-}" ] || cargo build --release --bin layertime
layertime=${LAYERTIME:-$PWD/target/release/layertime}

# tiny is for tests.
known=$("$layertime" inspect --help | tr '\n' ' ' | sed 's/.*built-in model (\([^)]*\)).*/\1/' | tr -d ',')
models=()
for model in ${MODELS:-$known}; do
  [ "$model" = tiny ] || models+=("$model")
done

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for model in "${models[@]}"; do
  # At least six pairs of steps are measured, however short the time.
  "$layertime" run --model "$model" --device cpu --batch 1,16 --max-time "${MAX_TIME:-4s}" --target 2% --no-samples --out "$out/cpu/$model" > /dev/null
  "$layertime" predict --model "$model" --gpu a100-sxm --batch 1,16 --out "$out/a100/$model" > /dev/null
done

# A folder for each network, with the run's files.
rm -rf "$here/cpu"
mkdir "$here/cpu"
for model in "${models[@]}"; do
  mv "$out/cpu/$model"/* "$here/cpu/$model"
  # The command line as anybody would type it.
  sed -i "s|\"$layertime\"|\"layertime\"|; s|\"$out/|\"|" "$here/cpu/$model/run.json"
done
"$layertime" plot "$here"/cpu/* --out "$out/cpu-charts"
"$layertime" plot "$out"/a100/*/* --out "$out/a100-charts"
for device in cpu a100; do
  for batch in 1 16; do
    for end in svg png; do
      cp "$out/$device-charts/architectures-batch-$batch.$end" "$here/$device-batch-$batch.$end"
    done
  done
done
WRITE_DOCS=1 cargo test --test program cli::architectures
