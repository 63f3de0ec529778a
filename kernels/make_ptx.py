#!/usr/bin/env python3
"""Compiles kernels/*.cu to kernels/ptx/, the PTX that is embedded where no nvcc is at hand.

    pip install nvidia-cuda-nvrtc-cu12==12.9.86
    python3 kernels/make_ptx.py            # write kernels/ptx
    python3 kernels/make_ptx.py --check    # exit 1 where kernels/ptx is stale

NVRTC 12.9 is the newest compiler that still targets sm_60 (P100). Its PTX needs nothing newer than PTX ISA 6.0, so
the header says that (ptx_versions.txt, which build.rs follows too): drivers since CUDA 9 accept it, and they translate it
for every later architecture.
"""

import ctypes
import glob
import os
import re
import site
import sys

CAPABILITY = "60"
HERE = os.path.dirname(os.path.abspath(__file__))


def ptx_version():
    """What the header is to say."""
    with open(os.path.join(HERE, "ptx_versions.txt")) as file:
        return dict(line.split() for line in file if not line.startswith("#"))[CAPABILITY]


def find_nvrtc():
    """The NVRTC library named by $NVRTC, or the one of the pip package."""
    roots = site.getsitepackages() + [site.getusersitepackages()]
    found = [path for root in roots for path in glob.glob(root + "/nvidia/cuda_nvrtc/lib/libnvrtc.so.12")]
    path = os.environ.get("NVRTC") or (found and found[0])
    if not path:
        sys.exit("no NVRTC: pip install nvidia-cuda-nvrtc-cu12==12.9.86, or set NVRTC=/path/to/libnvrtc.so.12")
    for builtins in glob.glob(os.path.join(os.path.dirname(path), "libnvrtc-builtins.so.*")):
        ctypes.CDLL(builtins, mode=ctypes.RTLD_GLOBAL)  # NVRTC itself looks only in the loader's path
    return ctypes.CDLL(path)


def compile_ptx(nvrtc, source):
    """The PTX of one file, its header lowered."""

    def text(size_call, text_call):
        size = ctypes.c_size_t()
        size_call(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        text_call(program, buffer)
        return buffer.value.decode()

    program = ctypes.c_void_p()
    name = os.path.basename(source)
    with open(source, "rb") as file:
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), file.read(), name.encode(), 0, None, None)
    options = [f"--gpu-architecture=compute_{CAPABILITY}", f"--include-path={HERE}"]
    arguments = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    if nvrtc.nvrtcCompileProgram(program, len(options), arguments) != 0:
        sys.exit(f"{source}: {text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)}")
    ptx = text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
    ptx = re.sub(r"^\.version .*$", f".version {ptx_version()}", ptx, flags=re.M)
    return "\n".join(line.rstrip() for line in ptx.strip().splitlines()) + "\n"


def main():
    check = sys.argv[1:] == ["--check"]
    nvrtc = find_nvrtc()
    stale = []
    for source in sorted(glob.glob(HERE + "/*.cu")):
        target = os.path.join(HERE, "ptx", os.path.basename(source)[:-3] + ".ptx")
        ptx = compile_ptx(nvrtc, source)
        if check:
            current = open(target).read() if os.path.exists(target) else ""
            stale += [target] if current != ptx else []
        else:
            with open(target, "w") as file:
                file.write(ptx)
    if stale:
        sys.exit("stale, run kernels/make_ptx.py: " + " ".join(stale))


main()
