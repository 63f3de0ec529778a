"""The comparison's report: Markdown, the worst ratios first. Ratios are layertime / PyTorch; below 1 layertime is faster or smaller."""

import os
from pathlib import Path
from statistics import mean, median

SMALL = 0.005  # of the step: what takes less in both programs is not among the worst of a network
LARGE, SLOW = 0.02, 1.15  # what takes so much of the step, and so many times PyTorch's time, is listed first
WORST = 10  # phases listed of every network


def markdown(conditions: dict, cases: list) -> str:
    parts = [heading(conditions, cases)]
    parts += [whole_steps(heap, cases) for heap in cases[0].pytorch]
    parts += [slow_phases(cases), worst_phases(cases), shares(cases), roofs(cases)]
    return "\n".join(parts)


def heading(conditions: dict, cases: list) -> str:
    torch = cases[0].pytorch["heap kept"][0]["torch"]
    return f"""{cpu()}, {os.cpu_count()} cores; PyTorch {torch}; {conditions["date"]}; load average {conditions["load"]}.
{conditions["rounds"]} rounds, each program {conditions["seconds"]:g} s per round, in turn. A ratio is the median of the rounds' ratios, with their
extremes; times and memory are medians over the rounds. The worst ratios come first.
"""


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def table(title: str, header: list[str], rows: list[list[str]]) -> str:
    lines = [f"## {title}", "", "| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def names(case) -> list[str]:
    return [str(case), str(case.batch), str(case.threads)]


def ratios(case, heap: str, key: str) -> list[float]:
    """One ratio per round: layertime's and PyTorch's figure of the same round."""
    return [ours[key] / theirs[key] for ours, theirs in zip(case.layertime, case.pytorch[heap])]


def whole_steps(heap: str, cases: list) -> str:
    def middle(runs: list[dict], key: str, unit: float) -> str:
        return f"{median(run[key] for run in runs) / unit:.1f}"

    rows = []
    for case in sorted(cases, key=lambda case: -median(ratios(case, heap, "step_us"))):
        ratio, memory, theirs = ratios(case, heap, "step_us"), median(ratios(case, heap, "peak_bytes")), case.pytorch[heap]
        row = [*names(case), f"**{median(ratio):.3f}** ({min(ratio):.3f} to {max(ratio):.3f})"]
        row += [middle(case.layertime, "step_us", 1e3), middle(theirs, "step_us", 1e3), ", ".join(case.setting[heap])]
        row += [f"{memory:.2f}", middle(case.layertime, "peak_bytes", 2**20), middle(theirs, "peak_bytes", 2**20)]
        rows.append(row)
    header = ["network", "batch", "threads", "ratio", "layertime ms", "PyTorch ms", "PyTorch's settings"]
    header += ["memory ratio", "layertime MiB", "PyTorch MiB"]
    return table(f"Whole step, PyTorch {heap}", header, rows)


def pieces(runs: list[dict]) -> dict[tuple, list[float]]:
    """Microseconds by (layer, phase), one per round."""
    by_piece = {}
    for run in runs:
        for layer, phase, us in run["pieces_us"]:
            by_piece.setdefault((layer, phase), []).append(us)
    return by_piece


def phase_ratios(case) -> list[tuple]:
    """(ratio, share of layertime's step, larger share of both, row) of each layer and phase, the worst first."""
    ours, theirs = pieces(case.layertime), pieces(case.pytorch["heap kept"])
    total, peers = (sum(median(times) for times in by_piece.values()) for by_piece in (ours, theirs))
    found = []
    for piece in ours.keys() & theirs.keys():
        ratio = median(a / b for a, b in zip(ours[piece], theirs[piece]))
        mine, other = median(ours[piece]), median(theirs[piece])
        row = [*names(case), *piece, f"{100 * mine / total:.1f}", f"**{ratio:.2f}**", f"{mine / 1e3:.3f}", f"{other / 1e3:.3f}"]
        found.append((ratio, mine / total, max(mine / total, other / peers), row))
    return sorted(found, key=lambda phase: -phase[0])


PHASES = ["network", "batch", "threads", "layer", "phase", "% of the step", "ratio", "layertime ms", "PyTorch ms"]


def slow_phases(cases: list) -> str:
    slow = [phase for case in cases for phase in phase_ratios(case) if phase[0] > SLOW and phase[1] > LARGE]
    rows = [row for *_, row in sorted(slow, key=lambda phase: -phase[0])]
    return table(f"Phases of more than {LARGE:.0%} of the step that take more than {SLOW} times PyTorch's time", PHASES, rows)


def worst_phases(cases: list) -> str:
    rows = []
    for network in dict.fromkeys(map(str, cases)):
        of_network = [phase for case in cases if str(case) == network for phase in phase_ratios(case) if phase[2] > SMALL]
        rows += [row for *_, row in sorted(of_network, key=lambda phase: -phase[0])[:WORST]]
    return table(f"The {WORST} worst phases of each network, of those above {SMALL:.1%} of a step", PHASES, rows)


def shares(cases: list) -> str:
    """Both programs' conv/fc/other shares, and what their parts add up to."""
    rows = []
    for case in cases:
        programs = {"layertime": case.layertime} | {f"PyTorch {heap}": runs for heap, runs in case.pytorch.items()}
        for program, runs in programs.items():
            row = [*names(case), program]
            row += [f"{mean(run['shares_pct'].get(group, 0) for run in runs):.1f}" for group in ("conv", "fc", "other")]
            rows.append(row + [f"{median(run['parts_over_whole'] for run in runs):.3f}"])
    header = ["network", "batch", "threads", "program", "conv %", "fc %", "other %", "Σ phases / plain step"]
    return table("Shares of the step", header, rows)


def roofs(cases: list) -> str:
    """Least time over measured time of each kind's phases, in the case with the most threads and the largest batch up to 8."""
    rows = []
    for network in dict.fromkeys(map(str, cases)):
        case = max((case for case in cases if str(case) == network), key=lambda case: (case.batch <= 8, case.threads, case.batch))
        sums = {}
        for kind, phase, us, roof in (row for run in case.layertime for row in run["roofs"]):
            time, least = sums.get((kind, phase), (0, 0))
            sums[kind, phase] = time + us, least + us * roof / 100
        total = sum(time for time, _ in sums.values())
        large = {key: (time, least) for key, (time, least) in sums.items() if time > LARGE * total}
        for (kind, phase), (time, least) in sorted(large.items(), key=lambda item: item[1][1] / item[1][0]):
            rows.append([*names(case), kind, phase, f"{100 * time / total:.1f}", f"{100 * least / time:.0f}"])
    title = f"How near to the processor's limits: kinds and phases of more than {LARGE:.0%} of the step"
    return table(title, ["network", "batch", "threads", "kind", "phase", "% of the step", "% of the limit"], rows)
