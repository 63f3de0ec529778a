"""Makes stand-ins for the CUDA libraries that PyTorch's wheel from PyPI is linked to, and which a step on a CPU never calls. They
would be another 4 GB.

    pip install --no-deps --requirement tests/pytorch/requirements.txt
    python tests/pytorch/stand_ins.py SITE-PACKAGES/torch/lib FOLDER
    LD_LIBRARY_PATH=FOLDER python …

Every library that PyTorch's own ask for by name gets a function for each symbol that they take from it, under the symbol's version.
The functions return 0. Wants nm, readelf and a C compiler.
"""

import glob
import re
import subprocess
import sys
from pathlib import Path

CUDA = re.compile(r"lib(cu|nv|nccl)")
SYMBOL = re.compile(r"_*(cu|nv|nccl)")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wanted(libraries):
    """The libraries that are missing, the version that each library's symbols have, and the symbols by version."""
    missing, versions, symbols = set(), {}, {}
    for library in libraries:
        missing |= {name for name in re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", library)) if CUDA.match(name)}
        for line in output("readelf", "-V", library).splitlines():
            if file := re.search(r"File: (\S+)", line):
                of = file[1]
            elif version := re.search(r"Name: (\S+)  Flags", line):
                versions[of] = version[1]
        for line in output("nm", "-D", "--undefined-only", library).splitlines():
            name, _, version = line.split()[-1].partition("@")
            if SYMBOL.match(name):
                symbols.setdefault(version.lstrip("@"), set()).add(name)
    return missing - {Path(library).name for library in libraries}, versions, symbols


def main():
    folder, out = sys.argv[1], Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    missing, versions, symbols = wanted(glob.glob(f"{folder}/*.so*"))
    for library in sorted(missing):
        # A library whose symbols have no version may be any of those without.
        version = versions.get(library, "")
        source, script = out / f"{library}.c", out / f"{library}.map"
        source.write_text("".join(f"long {name}(void) {{ return 0; }}\n" for name in sorted(symbols.get(version, ()))))
        script.write_text(f"{version} {{ global: *; }};\n")
        options = [f"-Wl,--version-script={script}"] if version else []
        command = ["cc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{library}", *options]
        subprocess.run([*command, "-o", out / library, source], check=True)
    print(f"stand-ins for {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
