#!/usr/bin/env python3
"""layertime against PyTorch on the CPU: whole training steps, peak memory, and every layer and phase. Writes a Markdown report.

    cargo build --release
    python3 -m venv .venv && .venv/bin/pip install torch numpy safetensors
    .venv/bin/python benches/peer_pytorch.py alexnet:1,8,32,128 resnet50:1,8 --output report.md
    .venv/bin/python benches/peer_pytorch.py alexnet:8:direct network.toml:8

A network is a built-in one or a TOML file; behind it stand its batch sizes, and `direct` takes layertime's Winograd convolutions out.

For every network, number of threads and batch size the two programs run in turn, each in a process of its own, in an order drawn
anew in each round; a ratio is formed inside a round and the median over rounds is reported with its extremes. PyTorch gets the best
of its own settings (NCHW or channels_last, SGD foreach or fused), found by a short trial before the rounds, and its heap is kept
(glibc returns no memory between steps); `--heaps` measures it as installed too. Dropout is on in both programs, both keep the batch
where it is, and both run with the same learning rate, momentum and weight decay. PyTorch's half is `peer/pytorch_step.py`.

Wants a quiet machine: the load average is noted in the report. A network takes one to two minutes for each batch size and number of
threads. One thread is pinned to the last processor.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from peer import report

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = [(layout, optimizer) for layout in ("nchw", "channels_last") for optimizer in ("foreach", "fused")]
HEAPS = {
    "as installed": {},
    "heap kept": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "100000000000",
        "MALLOC_TOP_PAD_": "536870912",
    },
}
# What would steer either program's threads, BLAS or allocator from outside.
STEERING = ("OPENBLAS_", "MKL_", "DNNL_", "ONEDNN_", "OMP_", "KMP_", "GOMP_", "GOTO_", "MALLOC_", "RAYON_", "LD_PRELOAD")


@dataclass
class Case:
    """What was measured of one network, number of threads and batch size; lists have one entry per round."""

    network: str
    algorithms: str
    batch: int
    threads: int
    layertime: list[dict] = field(default_factory=list)
    setting: dict[str, tuple] = field(default_factory=dict)  # by heap
    pytorch: dict[str, list[dict]] = field(default_factory=dict)  # by heap

    def __str__(self) -> str:
        return " ".join(filter(None, [Path(self.network).stem, self.algorithms]))


def arguments() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(n) for n in text.split(",")]

    def network(text: str) -> tuple[str, list[int], str]:
        name, batches, algorithms = (text.split(":") + ["", ""])[:3]
        return name, numbers(batches or "1,8"), algorithms

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", type=network, metavar="NETWORK[:BATCHES[:direct]]")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of measuring per process")
    parser.add_argument("--heaps", action="store_true", help="measure PyTorch as installed too")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "layertime")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has torch")
    parser.add_argument("--output", type=Path, help="the report (default: stdout)")
    args = parser.parse_args()
    if not args.binary.exists():
        parser.error(f"{args.binary} does not exist: run `cargo build --release`, or name it with --binary")
    return args


def measured_process(command: list, extra: dict[str, str]) -> tuple[str, int]:
    """stdout and the peak of resident memory in bytes, both of a process in a clean environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)} | extra
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([str(word) for word in command], env=environment, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{err.read().decode()}")
        return out.read().decode(), usage.ru_maxrss * 1024


def described(args, network: str) -> str:
    """The network as TOML, from which both programs read it."""
    return measured_process([args.binary, "inspect", network, "--toml"], {})[0]


def pinned(case: Case) -> list:
    return ["taskset", "-c", max(os.sched_getaffinity(0))] if case.threads == 1 else []


def run_layertime(args, case: Case) -> dict:
    options = ["--algorithms", case.algorithms] if case.algorithms else []
    with tempfile.TemporaryDirectory() as folder:
        command = [*pinned(case), args.binary, "run", *options, "--model", args.file, "--device", "cpu", "--batch", case.batch]
        command += ["--threads", case.threads, "--target", "0.1%", "--max-time", f"{args.seconds}s", "--out", folder]
        _, peak = measured_process(command, {})
        (run,) = Path(folder).iterdir()
        groups = list(csv.DictReader((run / "summary.csv").open()))
        phases = list(csv.DictReader((run / "phases.csv").open()))
    (step,) = [row for row in groups if row["group"] == row["phase"] == "all"]
    return {
        "step_us": float(step["plain_step_us"]),
        "peak_bytes": peak,
        "pieces_us": [[*piece, us] for piece, us in pieces(phases).items()],
        "roofs": [[row["kind"], row["phase"], float(row["median_us"]), float(row["roof_pct"] or 0)] for row in phases],
        "shares_pct": {
            row["group"]: float(row["share_pct"]) for row in groups if row["phase"] == "all" and row["group"] != "all"
        },
        "parts_over_whole": float(step["closure"]),
    }


def pieces(phases: list[dict]) -> dict[tuple, float]:
    """Microseconds by layer and phase. PyTorch computes all gradients of a batch norm in one call, so ours are one figure too."""
    found = {}
    for row in phases:
        together = row["kind"] == "batchnorm" and row["phase"] == "backward_weights"
        piece = row["layer"], "backward_data" if together else row["phase"]
        found[piece] = found.get(piece, 0) + float(row["median_us"])
    return found


def run_pytorch(args, case: Case, heap: str, setting: tuple, seconds: float, *options: str) -> dict:
    layout, optimizer = setting
    command = [*pinned(case), args.python, ROOT / "benches" / "peer" / "pytorch_step.py", "--model", args.file, "--batch", case.batch]
    command += ["--threads", case.threads, "--layout", layout, "--optimizer", optimizer, "--seconds", seconds, *options]
    printed, _ = measured_process(command, HEAPS[heap] | {"OMP_NUM_THREADS": str(case.threads)})
    return json.loads(printed)


def best_setting(args, case: Case, heap: str) -> tuple:
    trials = {s: run_pytorch(args, case, heap, s, args.seconds / 4, "--no-pieces")["fastest_us"] for s in SETTINGS}
    return min(trials, key=trials.get)


def measure(args, case: Case, settings: dict) -> None:
    """`settings` has those found for other numbers of threads."""
    for heap in HEAPS if args.heaps else ["heap kept"]:
        known = heap, str(case), case.batch
        if known not in settings:
            settings[known] = best_setting(args, case, heap)
        case.setting[heap], case.pytorch[heap] = settings[known], []
    for _ in range(args.rounds):
        for program in random.sample(["layertime", *case.pytorch], k=1 + len(case.pytorch)):
            if program == "layertime":
                case.layertime.append(run_layertime(args, case))
            else:
                case.pytorch[program].append(run_pytorch(args, case, program, case.setting[program], args.seconds))
        latest = [case.layertime[-1], *(runs[-1] for runs in case.pytorch.values())]
        times = " / ".join(f"{measured['step_us'] / 1000:.1f}" for measured in latest)
        print(f"{case}, batch {case.batch}, threads {case.threads}: {times} ms", file=sys.stderr)


def main() -> None:
    args = arguments()
    started, load = datetime.now(UTC), os.getloadavg()[0]
    cases, settings = [], {}

    def markdown() -> str:
        loads = f"{load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"
        conditions = {"rounds": args.rounds, "seconds": args.seconds, "date": f"{started:%Y-%m-%d %H:%M} UTC", "load": loads}
        return report.markdown(conditions, cases)

    with tempfile.TemporaryDirectory() as folder:
        args.file = Path(folder) / "network.toml"
        for network, batches, algorithms in args.networks:
            args.file.write_text(described(args, network))
            for batch, threads in ((batch, threads) for batch in batches for threads in args.threads):
                cases.append(Case(network, algorithms, batch, threads))
                measure(args, cases[-1], settings)
                if args.output:  # what was measured so far is kept, whatever happens
                    args.output.write_text(markdown())
    if not args.output:
        print(markdown(), end="")


if __name__ == "__main__":
    main()
