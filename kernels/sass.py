#!/usr/bin/env python3
"""What NVIDIA's assembler makes of kernels/ptx: widths of loads and stores, instructions per 16 bytes, registers, occupancy.

    pip install nvidia-cuda-nvcc nvidia-cuda-nvdisasm
    python3 kernels/sass.py                # write the table in kernels/README.md
    python3 kernels/sass.py --check        # exit 1 where the table is stale, or a kernel is not at the memory limit
    python3 kernels/sass.py --csv PTX…     # print the figures of other PTX

A kernel's figures are those of its hottest loop: of the loops without a loop inside, the one that moves most bytes at once. All its
instructions are counted, those of both ways of a branch too, against all bytes that it loads or stores. sass_before.csv has the
figures of the kernels that moved one element at a time.
"""

import csv
import glob
import io
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.environ.get("NVIDIA_BIN") or os.path.join(sysconfig.get_paths()["purelib"], "nvidia", "cu13", "bin")
BEGIN, END = "<!-- sass.py: begin -->\n", "<!-- sass.py: end -->\n"
BLOCK = 256  # threads of every kernel that is looked at

# Per multiprocessor: threads, blocks, bytes of shared memory (CUDA C++ Programming Guide, technical specifications by compute
# capability). All have 65,536 registers, given out by 256 to a warp.
ARCHITECTURES = {"sm_80": (2048, 32, 164 << 10), "sm_90": (2048, 32, 228 << 10), "sm_120": (1536, 24, 100 << 10)}

# A scheduler issues 32 lanes per clock, and there are four of them. An H100 SXM moves 3350 GB/s with 132 multiprocessors at
# 1.755 GHz (src/predict/gpus.toml; NVIDIA's H100 whitepaper), 14.5 bytes per clock and multiprocessor: in the time of 16 bytes it
# issues 141 instructions. An A100 issues 153.
MOST_INSTRUCTIONS = 141

# What cannot or need not move 16 bytes at once, and why.
EXCEPTIONS = {
    "layernorm_forward": "a warp reads a pixel's channels, or its lanes neighbouring pixels",
    "layernorm_backward_data": "a warp reads a pixel's channels, or its lanes neighbouring pixels",
    "gate_gradient": "still adds up one element at a time",
    "gate_gradient_total": "adds up a few numbers per gate",
    "hold": "waits",
    "clock_stamp": "waits",
    "loss_scale_decide": "one thread",
    "transpose": "planes of an odd number of elements begin anywhere",
    "softmax_loss_forward": "reads one row per block, which the cache holds",
    "softmax_loss_backward": "reads one row per block, which the cache holds",
    "bias_gradient_total": "adds up a few numbers per channel",
    "batchnorm_backward_weights_total": "adds up a few numbers per channel",
}
# What computes more than memory waits for on the fastest GPUs: CUDA's own erfc and expm1.
HEAVY = ("elu_forward", "gelu_forward", "gelu_backward")


class Kernel:
    """The figures of one kernel on one architecture."""

    def __init__(self, name, arch, registers, shared, loop, division):
        self.name, self.arch, self.registers, self.division = name, arch, registers, division
        loads, stores, self.instructions, self.local = loop
        self.load, self.store = max(loads, default=0), max(stores, default=0)
        moved = sum(loads) + sum(stores)
        self.per_16 = 16 * self.instructions / moved if moved else None
        threads, blocks, bytes_ = ARCHITECTURES[arch]
        warps = -(-registers * 32 // 256) * 256 * BLOCK // 32
        fitting = [65536 // warps, blocks, threads // BLOCK] + ([bytes_ // (shared + 1024)] if shared else [])
        self.occupancy = 100 * min(fitting) * BLOCK // threads

    @property
    def stem(self):
        return re.sub(r"_(f32|f16|bf16)$", "", self.name)

    @property
    def type(self):
        return self.name[len(self.stem) + 1 :]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True)


def assembled(ptx, arch, folder):
    """The kernels of one file on one architecture."""
    cubin = os.path.join(folder, "%s.%s" % (os.path.basename(ptx), arch))
    said = run(os.path.join(TOOLS, "ptxas"), "-v", "-arch=" + arch, ptx, "-o", cubin).stderr
    listing = run(os.path.join(TOOLS, "nvdisasm"), "-c", cubin).stdout
    with open(ptx) as file:
        bodies = dict(re.findall(r"\.entry (\w+)\(.*?\n\{\n(.*?)\n\}", file.read(), flags=re.S))
    sizes = {}
    for name, text in re.findall(r"entry function '(\w+)'(.*?)(?=ptxas info\s+: Compiling|\Z)", said, flags=re.S):
        shared = re.search(r"(\d+) bytes smem", text)
        sizes[name] = (int(re.search(r"Used (\d+) registers", text).group(1)), int(shared.group(1)) if shared else 0)
    sections = re.split(r"^\.text\.(\w+):$", listing, flags=re.M)[1:]
    code = dict(zip(sections[::2], sections[1::2]))
    return [Kernel(name, arch, *sizes[name], hottest(code[name]), divides(bodies[name])) for name in sorted(sizes)]


def loops(lines, label, branch):
    """The loops without a loop inside, as lists of lines: from a label to a branch back to it."""
    places, found = {}, []
    for index, line in enumerate(lines):
        at = re.match(label, line)
        back = re.search(branch, line)
        if at:
            places[at.group(1)] = index
        elif back and back.group(1) in places:
            found.append((places[back.group(1)], index + 1))
    inner = [(a, b) for a, b in found if not any((a, b) != (c, d) and a <= c and d <= b for c, d in found)]
    return [lines[a:b] for a, b in inner]


def divides(body):
    """Whether a loop of the PTX divides integers."""
    found = loops(body.splitlines(), r"(\$\w+):", r"bra(?:\.uni)?\s+(\$\w+);")
    return any(re.search(r"\b(div|rem)\.[us](32|64)\b", line) for loop in found for line in loop)


def hottest(code):
    """Widths of loads and stores in bytes, instructions, and whether local memory is used, of the loop that moves most at once."""
    lines = [line.strip() for line in code.splitlines()]
    best = ([], [], 0, False)
    for loop in loops(lines, r"(\.L_x_\d+):", r"BRA(?:\.\w+)* `\((\.L_x_\d+)\)"):
        text = [line for line in loop if line.startswith("/*")]
        loads = [width(line) for line in text if re.search(r"\bLDG\.", line)]
        stores = [width(line) for line in text if re.search(r"\bSTG\.", line)]
        local = any(re.search(r"\b(LDL|STL)\b", line) for line in text)
        key = lambda found: (max(found[0] + found[1], default=0), sum(found[0]) + sum(found[1]))
        best = max(best, (loads, stores, len(text), local), key=key)
    return best


def width(line):
    """Bytes of a load or a store."""
    opcode = re.search(r"\b(LDG|STG)[\w.]*", line).group()  # an address may be written [R2.64] too
    found = re.search(r"\.(128|64|U16|S16|U8|S8)\b", opcode)
    return {"128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}[found.group(1)] if found else 4


def figures(files):
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda case: assembled(*case, folder), [(ptx, arch) for ptx in files for arch in ARCHITECTURES])
        return [kernel for kernels in made for kernel in kernels]


COLUMNS = ("name", "arch", "load", "store", "per_16", "registers", "occupancy", "division")


def as_csv(kernels):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for k in kernels:
        per = "" if k.per_16 is None else "%.1f" % k.per_16
        writer.writerow([k.name, k.arch, k.load, k.store, per, k.registers, k.occupancy, int(k.division)])
    return out.getvalue()


def table(kernels):
    """One row per kernel: before and after, the worst of the architectures; f32, f16 and bf16 stand in this order."""
    with open(os.path.join(HERE, "sass_before.csv")) as file:
        before = list(csv.DictReader(line for line in file if not line.startswith("#")))
    rows = ["| kernel | bytes at once | before | instructions per 16 bytes | before | registers | occupancy % |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- |")
    for stem in sorted({k.stem for k in kernels} - set(EXCEPTIONS)):
        of_type = {}
        for k in kernels:
            if k.stem == stem:
                of_type.setdefault(k.type, []).append(k)
        types = sorted(of_type, key=["", "f32", "f16", "bf16"].index)
        old = [[row for row in before if row["name"] == (stem + "_" + t).rstrip("_")] for t in types]
        cells = [stem, joined(moved(min(k.load for k in of_type[t]), min(k.store for k in of_type[t])) for t in types)]
        cells.append(joined(moved(*(min(int(r[c]) for r in rows_) for c in ("load", "store"))) if rows_ else "-" for rows_ in old))
        cells.append(joined("%.0f" % max(k.per_16 or 0 for k in of_type[t]) for t in types))
        cells.append(joined("%.0f" % max(float(r["per_16"] or 0) for r in rows_) if rows_ else "-" for rows_ in old))
        cells.append(joined(str(max(k.registers for k in of_type[t])) for t in types))
        cells.append(joined(str(min(k.occupancy for k in of_type[t])) for t in types))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def moved(load, store):
    return "%d, %d" % (load, store) if load and store else str(load or store)


def joined(cells):
    """The cells of the types; once where they are all the same."""
    cells = list(cells)
    return cells[0] if len(set(cells)) == 1 else " / ".join(cells)


def faults(kernels):
    """What is not at the memory limit, in sentences."""
    for k in kernels:
        where = "%s on %s" % (k.name, k.arch)
        if k.division:
            yield "%s divides integers in a loop" % where
        if k.local:
            yield "%s has local memory in its loop" % where
        if k.stem in EXCEPTIONS:
            continue
        if max(k.load, k.store) < 16:
            yield "%s moves %d bytes at once" % (where, max(k.load, k.store))
        elif k.per_16 > MOST_INSTRUCTIONS and k.stem not in HEAVY:
            yield "%s takes %.0f instructions per 16 bytes" % (where, k.per_16)


def main():
    if sys.argv[1:2] == ["--csv"]:
        return print(as_csv(figures(sys.argv[2:])), end="")
    kernels = figures(sorted(glob.glob(HERE + "/ptx/*.ptx")))
    readme = os.path.join(HERE, "README.md")
    with open(readme) as file:
        text = file.read()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = head + BEGIN + table(kernels) + END + tail
    found = list(faults(kernels))
    if sys.argv[1:] != ["--check"]:
        with open(readme, "w") as file:
            file.write(made)
    elif made != text:
        found.append("the table in kernels/README.md is stale: run kernels/sass.py")
    if found:
        sys.exit("\n".join(found))
    print("kernels: %d on %d architectures, 16 bytes at once" % (len({k.name for k in kernels}), len(ARCHITECTURES)))


main()
