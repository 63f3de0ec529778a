#!/usr/bin/env python3
"""Every cuDNN and cuBLAS function that a program can call exists in the libraries given.

    tests/symbols.py PROGRAM libcudnn.so.9 libcublas.so.13

cudarc keeps one static per function that it can look up, and the linker drops those that nothing reaches: the program's symbol
table lists what it can call.
"""

import ctypes
import re
import subprocess
import sys

program, *paths = sys.argv[1:]
table = subprocess.run(["nm", "--demangle", program], check=True, capture_output=True, text=True).stdout
for path in paths:
    library = ctypes.CDLL(path)
    stem = re.search(r"lib(\w+)\.so", path).group(1)
    names = sorted(set(re.findall(rf"cudarc::{stem}::sys::({stem}\w+)::_S", table)))
    missing = [name for name in names if not hasattr(library, name)]
    if missing:
        sys.exit(f"{path} lacks {', '.join(missing)}")
    if len(names) < 3:
        sys.exit(f"{program} calls {len(names)} functions of {stem}: has its symbol table been stripped?")
    print(f"{path}: has all {len(names)} functions of {stem} that {program} can call")
