#!/usr/bin/env python3
"""Checks that every cuDNN and cuBLAS function that the program can call exists in the libraries given.

    tests/symbols.py FOLDER libcudnn.so.9 libcublas.so.13

FOLDER is src/device/cuda/driver. Its symbols.rs lists the functions, and a unit test there holds the list against the calls. The
functions of cuDNN's graph API are looked up by name where they are called.
"""

import ctypes
import pathlib
import re
import sys

folder, *paths = sys.argv[1:]
files = {path.name: path.read_text() for path in pathlib.Path(folder).rglob("*.rs")}
text = "\n".join(files.values())
for path in paths:
    library = ctypes.CDLL(path)
    stem = re.search(r"lib(\w+)\.so", path).group(1)
    listed = re.findall(rf'^ +"({stem}\w+)",$', files["symbols.rs"], re.MULTILINE)
    graph = re.findall(rf"\b({stem}Backend(?:Create|Destroy|Execute|Finalize|Get|Set)\w*)", text)
    names = sorted(set(listed) | set(graph))
    missing = [name for name in names if not hasattr(library, name)]
    if missing:
        sys.exit(f"{path} lacks {', '.join(missing)}")
    if len(names) < 3:
        sys.exit(f"{folder} names {len(names)} functions of {stem}: has the list moved?")
    print(f"{path}: has all {len(names)} functions of {stem} that the program can call")
