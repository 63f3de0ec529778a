"""The comparison's report: Markdown, the worst ratios first. Ratios are layertime / PyTorch; below 1 layertime is faster or smaller."""

import os
from pathlib import Path
from statistics import mean, median

# What layertime / PyTorch should not exceed, for batches below 32 and from 32 on.
AIMS = {"as installed": (0.8, 1.0), "heap kept": (1.0, 1.1)}
SMALL = 0.005  # of the step: a layer's phase below this in every program gets no row of its own


def markdown(conditions: dict, cases: list) -> str:
    parts = [heading(conditions, cases)]
    parts += [whole_steps(heap, cases) for heap in AIMS]
    parts += [shares(cases), layers_and_phases(cases)]
    return "\n".join(parts)


def heading(conditions: dict, cases: list) -> str:
    torch = cases[0].pytorch["as installed"][0]["torch"]
    return f"""# layertime / PyTorch: training step of {conditions["model"]} on the CPU

{cpu()}, {os.cpu_count()} cores; PyTorch {torch}; {conditions["date"]}; load average {conditions["load"]}.
{conditions["rounds"]} rounds, each program {conditions["seconds"]:g} s per round, in turn. A ratio is the median of the rounds' ratios, with their
extremes; times and memory are medians over the rounds. The worst ratios come first.
"""


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def table(title: str, header: list[str], rows: list[list[str]]) -> str:
    lines = [f"## {title}", "", "| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def ratios(case, heap: str, key: str) -> list[float]:
    """One ratio per round: layertime's and PyTorch's figure of the same round."""
    return [ours[key] / theirs[key] for ours, theirs in zip(case.layertime, case.pytorch[heap])]


def whole_steps(heap: str, cases: list) -> str:
    def middle(runs: list[dict], key: str, unit: float) -> str:
        return f"{median(run[key] for run in runs) / unit:.1f}"

    rows = []
    for case in sorted(cases, key=lambda case: -median(ratios(case, heap, "step_us"))):
        ratio, memory, theirs = ratios(case, heap, "step_us"), median(ratios(case, heap, "peak_bytes")), case.pytorch[heap]
        aim = AIMS[heap][case.batch >= 32]
        row = [str(case.batch), str(case.threads), f"**{median(ratio):.3f}** ({min(ratio):.3f} to {max(ratio):.3f})"]
        row += [f"{aim} {'met' if median(ratio) <= aim else 'missed'}"]
        row += [middle(case.layertime, "step_us", 1e3), middle(theirs, "step_us", 1e3), ", ".join(case.settings[heap])]
        row += [f"{memory:.2f}", middle(case.layertime, "peak_bytes", 2**20), middle(theirs, "peak_bytes", 2**20)]
        rows.append(row)
    header = ["batch", "threads", "ratio", "aim", "layertime ms", "PyTorch ms", "PyTorch's settings"]
    header += ["memory ratio", "layertime MiB", "PyTorch MiB"]
    return table(f"Whole step, PyTorch {heap}", header, rows)


def shares(cases: list) -> str:
    """Both programs' conv/fc/other shares, and what their parts add up to."""
    rows = []
    for case in cases:
        programs = {"layertime": case.layertime} | {f"PyTorch {heap}": runs for heap, runs in case.pytorch.items()}
        for program, runs in programs.items():
            row = [str(case.batch), str(case.threads), program]
            row += [f"{mean(run['shares_pct'].get(group, 0) for run in runs):.1f}" for group in ("conv", "fc", "other")]
            rows.append(row + [f"{median(run['parts_over_whole'] for run in runs):.3f}"])
    header = ["batch", "threads", "program", "conv %", "fc %", "other %", "Σ phases / plain step"]
    return table("Shares of the step", header, rows)


def layers_and_phases(cases: list) -> str:
    """One row per layer and phase of every case; those that matter to neither program are taken together."""
    rows = []
    for case in cases:
        ours = pieces(case.layertime)
        theirs = {heap: pieces(runs) for heap, runs in case.pytorch.items()}
        small = [piece for piece in ours if all(share_of_step(p, piece) < SMALL for p in (ours, *theirs.values()))]
        for by_piece in (ours, *theirs.values()):
            together = [by_piece.pop(piece) for piece in small if piece in by_piece]
            by_piece["the rest", f"each below {SMALL:.1%}"] = [sum(of_round) for of_round in zip(*together)]
        rows += [layer_row(case, piece, ours, theirs) for piece in ours]
    rows.sort(key=lambda row: -float(row[5]))
    header = ["batch", "threads", "layer", "phase", "ratio, as installed", "ratio, heap kept"]
    header += ["layertime ms", "PyTorch ms, as installed", "PyTorch ms, heap kept", "ms more than heap kept"]
    return table("Layers and phases", header, rows)


def share_of_step(by_piece: dict, piece: tuple) -> float:
    return median(by_piece.get(piece, [0])) / sum(median(times) for times in by_piece.values())


def layer_row(case, piece: tuple, ours: dict, theirs: dict) -> list[str]:
    def paired(heap: str) -> str:
        return f"{median(a / b for a, b in zip(ours[piece], theirs[heap][piece])):.2f}"

    times = [median(by_piece[piece]) / 1e3 for by_piece in (ours, *theirs.values())]
    row = [str(case.batch), str(case.threads), *piece, *(paired(heap) for heap in AIMS)]
    return row + [f"{ms:.3f}" for ms in times] + [f"{times[0] - times[-1]:+.3f}"]


def pieces(runs: list[dict]) -> dict[tuple, list[float]]:
    """Microseconds by (layer, phase), one per round."""
    by_piece = {}
    for run in runs:
        for layer, phase, us in run["pieces_us"]:
            by_piece.setdefault((layer, phase), []).append(us)
    return by_piece
