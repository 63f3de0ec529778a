#!/bin/sh
# Compiles and assembles the kernels with NVIDIA's tools, for CI: no warning, no spill, on every architecture served.
#
#   pip install nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt nvidia-cuda-runtime nvidia-cuda-cccl
#   pip install --target OLD nvidia-cuda-nvcc-cu11
#   NVCC=…/nvidia/cu13/bin/nvcc PTXAS=…/nvidia/cu13/bin/ptxas PTXAS_11=OLD/nvidia/cuda_nvcc/bin/ptxas kernels/check.sh
set -eu
here=$(dirname "$0")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# Assembles one file for one architecture; registers that spill to memory are an error.
assemble() {
    "$1" -v -arch="$2" "$3" -o "$out/cubin" 2>"$out/log" || { cat "$out/log"; exit 1; }
    if grep 'spill' "$out/log" | grep -qv ' 0 bytes spill stores, 0 bytes spill loads'; then
        echo "$3 spills on $2" && exit 1
    fi
}

for source in "$here"/*.cu; do
    "$NVCC" -ptx -arch=compute_75 -Werror all-warnings "$source" -o "$out/ptx"
done
for ptx in "$here"/ptx/*.ptx; do
    for arch in sm_75 sm_80 sm_86 sm_89 sm_90 sm_100 sm_120; do assemble "$PTXAS" $arch "$ptx"; done
    for arch in sm_60 sm_70 sm_75 sm_80 sm_90; do assemble "$PTXAS_11" $arch "$ptx"; done
done
echo "kernels: compiled without warnings, assembled for 9 architectures without spills"
