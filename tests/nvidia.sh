#!/usr/bin/env bash
# What can be known without a GPU, from NVIDIA's own compilers and libraries: installs them from PyPI into target/nvidia and runs
# the checks that need them. Wants a release build of layertime.
set -euo pipefail
cd "$(dirname "$0")/.."

python3 -m venv target/nvidia
target/nvidia/bin/pip install --quiet --requirement tests/nvidia.txt
nvidia=$(echo target/nvidia/lib/python3*/site-packages/nvidia)
cudnn=$PWD/$nvidia/cudnn/lib/libcudnn.so.9

echo "kernels: nvcc, ptxas 13 and 11.8, NVRTC"
NVCC=$nvidia/cu13/bin/nvcc PTXAS=$nvidia/cu13/bin/ptxas PTXAS_11=$nvidia/cuda_nvcc/bin/ptxas kernels/check.sh
target/nvidia/bin/python kernels/make_ptx.py --check
target/nvidia/bin/python kernels/sass.py --check

echo "build: with nvcc the build script compiles and embeds the kernels itself"
warning="the committed kernels are embedded instead of nvcc's"
NVCC=$PWD/$nvidia/cu13/bin/nvcc cargo check --package layertime 2>&1 | tee target/nvidia/build.log
! grep --quiet "$warning" target/nvidia/build.log

echo "build: an nvcc that cannot compile gives a warning and the committed kernels"
printf '#!/bin/sh\ncase $* in --version | --list-gpu-arch) exec "%s" "$@" ;; *) echo "unsupported GNU version" >&2; exit 1 ;; esac\n' \
  "$PWD/$nvidia/cu13/bin/nvcc" > target/nvidia/broken-nvcc
chmod +x target/nvidia/broken-nvcc
NVCC=$PWD/target/nvidia/broken-nvcc cargo check --package layertime 2>&1 | tee target/nvidia/build.log
grep --quiet "$warning.*unsupported GNU version" target/nvidia/build.log

echo "descriptors: the real libcudnn and softcuda answer alike"
SOFTCUDA_REAL_CUDNN=$cudnn cargo test --package softcuda --test descriptors
SOFTCUDA_REAL_CUDNN=$cudnn cargo test --package layertime --test device descriptors

echo "graphs: the real libcudnn plans every convolution for six GPUs, none of which is here"
stand_in=target/nvidia/stand-in
mkdir -p "$stand_in"
cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$stand_in/libcuda.so.1" tests/device/libcuda.c
LAYERTIME_DEVICELESS=1 LD_LIBRARY_PATH="$PWD/$stand_in:$PWD/$nvidia/cudnn/lib:$PWD/$nvidia/cu13/lib" \
  timeout 900 cargo test --package layertime --test device deviceless -- --nocapture # one minute on two idle cores

echo "symbols: what the program can call is in the real libraries"
target/nvidia/bin/python tests/symbols.py src/device/cuda/driver "$cudnn" "$PWD/$nvidia/cu13/lib/libcublas.so.13"

echo "ranges: the real NVTX hands them on to a profiler"
cc -shared -fPIC -o target/nvidia/injection.so tests/device/injection.c
ranges=$(LAYERTIME_KERNELS=committed NVTX_INJECTION64_PATH=$PWD/target/nvidia/injection.so \
  LD_LIBRARY_PATH=$PWD/$nvidia/cu13/lib cargo run --quiet --package softcuda -- target/release/layertime \
  run --nvtx --model tiny --device cuda --batch 2 --max-time 1ms --min-samples 1 --out target/nvidia/ranges)
[ "$(grep --count '^push' <<< "$ranges")" = "$(grep --count '^pop' <<< "$ranges")" ]
[ "$(grep --after-context 2 '^push batch 2' <<< "$ranges" | head -3 | paste -sd,)" = "push batch 2,push conv1,push forward" ]
