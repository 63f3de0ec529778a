#!/usr/bin/env bash
# Measures what stands in results/ anew, on a quiet machine, and draws its charts. Wants a release build; takes a quarter of an hour on
# two threads. results/architectures has a script of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

measure() { # FOLDER OPTION…
  local folder=results/$1
  shift
  rm -rf results/tmp
  target/release/layertime run --device cpu --target 2% --no-samples --out results/tmp "$@"
  rm -rf "$folder"
  mv results/tmp/* "$folder"
  rm -r results/tmp
}

batches=1,2,4,8,16,32,64,128
measure alexnet-cpu --batch $batches --max-time 75s --algorithms direct
measure alexnet-winograd-cpu --batch $batches --max-time 75s
measure alexnet-2012-cpu --model alexnet-2012 --batch $batches --max-time 75s --algorithms direct
measure vgg16-cpu --model vgg16 --batch 1,2,4,8 --max-time 100s --algorithms direct
measure alexnet-image-cpu --batch 1,2,4,8,32 --image 112,160,224,320,448 --max-time 20s --algorithms direct
measure alexnet-cpu-again --batch $batches --max-time 75s --algorithms direct

for folder in alexnet-cpu alexnet-winograd-cpu alexnet-2012-cpu vgg16-cpu alexnet-image-cpu; do
  target/release/layertime plot "results/$folder"
done
target/release/layertime plot results/alexnet-cpu --html
