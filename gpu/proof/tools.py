"""The stages that other programs help with, where they are installed."""

import csv
import io
import json
import os
import re

from . import ranges, stages
from .session import FAIL, PASS, SKIP, Skipped

CUDA = "/usr/local/cuda/bin"


def nvcc(proof):
    """NVIDIA's compiler takes the kernels for this GPU without a warning."""
    major, minor = proof.need_gpu().capability
    compiler = proof.find(os.environ.get("NVCC") or "nvcc", CUDA)
    offered = proof.command([compiler, "--list-gpu-code"], limit=10)
    if not proof.done("nvcc --list-gpu-code", offered):
        return
    if "sm_%d%d" % (major, minor) not in offered.text.split():
        raise Skipped("this nvcc does not serve sm_%d%d" % (major, minor))
    sources = sorted((proof.root / "kernels").glob("*.cu"))
    if not sources:
        raise Skipped("no kernels/*.cu was carried along")
    for source in sources:
        target = proof.scratch / (source.stem + ".cubin")
        options = ["-cubin", "-arch=sm_%d%d" % (major, minor), "-Werror", "all-warnings", "-o", target]
        proof.done(source.name, proof.command([compiler, *options, source]))


# PyTorch's settings, the layouts to try, and the run of layertime's that computes the same, with its further words.
SETTINGS = (
    ("f32", ("nchw",), ("f32",), ()),
    ("default", ("nchw", "channels_last"), ("tf32", "--fc-precision", "f32"), ("--fc-precision", "f32")),
    ("bf16", ("channels_last",), ("bf16",), ()),
)


def pytorch(proof):
    """PyTorch's step of the same network on the same GPU: the whole step, and the convolutions' share of it."""
    here, python = proof.need_gpu().precisions(), proof.args.python
    script = proof.root / "benches" / "peer" / "pytorch_step.py"
    tried = proof.command([python, "-c", "import torch; assert torch.cuda.is_available(), 'PyTorch sees no GPU'"], limit=60)
    if not tried.ok or not script.exists():
        reason = tried.why() if not tried.ok else "%s was not carried along" % script.name
        raise Skipped("no PyTorch with CUDA: %s" % reason)
    batch = stages.large(proof.args.batches)
    for name, layouts, key, words in SETTINGS:
        if key[0] not in here:
            proof.skip(name, "not below compute capability 8.0")
            continue
        ours = proof.runs.get(key)
        if ours is None or not ours.plain_us(batch):
            ours = stages.measure(proof, key, key[0], [batch], *words)
        theirs = []
        for layout in layouts:
            options = ["--device", "cuda", "--precision", name, "--layout", layout, "--seconds", "1"]
            result = proof.command([python, script, "--model", proof.args.model, "--batch", batch, *options], limit=30)
            if proof.done("%s, %s: PyTorch's step" % (name, layout), result):
                theirs.append(dict(json.loads(result.text.strip().splitlines()[-1]), layout=layout))
        if theirs:
            against(proof, name, batch, ours, min(theirs, key=lambda figures: figures.get("graph_us") or figures["step_us"]))


def against(proof, name, batch, ours, theirs):
    """Compares a run of layertime's with PyTorch's figures."""
    text = "%.0f us, %s" % (theirs["step_us"], theirs["layout"])
    proof.add("%s, batch %d: PyTorch's step, not replayed" % (name, batch), PASS, text)
    proof.checks[-1]["figures"] = theirs
    if ours is None or not ours.plain_us(batch):
        return proof.skip("%s, batch %d: step over PyTorch's" % (name, batch), "layertime has no figure")
    if theirs.get("graph_us"):
        ratio = ours.plain_us(batch) / theirs["graph_us"]
        proof.within("%s, batch %d: step over PyTorch's, graph-replayed" % (name, batch), ratio, ranges.STEP_OVER_PYTORCH)
    else:
        proof.skip("%s, batch %d: step over PyTorch's" % (name, batch), theirs.get("graph_fault") or "no graph")
    points = ours.shares(batch).get("conv", 0) - theirs["shares_pct"].get("conv", 0)
    proof.within("%s, batch %d: conv share, less PyTorch's" % (name, batch), points, ranges.CONV_POINTS)


METRICS = ("dram__bytes.sum", "gpu__time_duration.sum")


def ncu(proof):
    """Nsight Compute's bytes per second of the own kernels, as a part of what a copy reaches."""
    proof.need_gpu()
    profiler = proof.find("ncu", CUDA, "/opt/nvidia/nsight-compute")
    batch = stages.large(proof.args.batches)
    command = [profiler, "--clock-control", "none", "--csv", "--page", "raw", "--print-units", "base"]
    command += ["--metrics", ",".join(METRICS), "--kernel-name", "regex:^(%s)$" % "|".join(kernels(proof))]
    command += ["--launch-count", "80"]
    words = stages.words(proof, "run", proof.args.model, "f32", "--batch", batch, "--max-time", "1ms", "--min-samples", "1")
    command += [proof.args.binary, *words, "--no-samples", "--out", proof.scratch / "ncu"]
    result = proof.command(command)
    if "ERR_NVGPUCTRPERM" in result.text:
        raise Skipped("the driver gives performance counters to root alone")
    if not proof.done("ncu", result):
        return
    roof = copy_roof(proof)
    measured = profile(result.text)
    large = {name: figures for name, figures in measured.items() if figures[0] >= ranges.LARGE_KERNEL}
    if not measured:
        return proof.add("bytes per second", FAIL, "", None, "ncu saw none of the own kernels")
    if not large:
        return proof.skip("bytes per second", "no own kernel moves %.0f MB at batch %d" % (ranges.LARGE_KERNEL / 1e6, batch))
    if roof is None:
        return proof.skip("bytes per second", "the copy roof was not measured")
    for name, (count, seconds) in sorted(large.items()):
        proof.within("%s over the copy roof" % name, count / seconds / roof, ranges.OWN_KERNELS)


def kernels(proof):
    """The names of the own kernels, by the PTX that was carried along."""
    texts = [path.read_text() for path in sorted((proof.root / "kernels" / "ptx").glob("*.ptx"))]
    names = [name for text in texts for name in re.findall(r"\.entry (\w+)\(", text)]
    if not names:
        raise Skipped("no kernels/ptx was carried along")
    return [name for name in names if name not in ("hold", "clock_stamp")]


def copy_roof(proof):
    roofs = [run.ceilings.get("copy_bytes_per_s") for run in proof.runs.values()]
    return next((roof for roof in roofs if roof), None)


def profile(text):
    """Bytes and seconds of each kernel's largest launch, from ncu's raw page; its second row has the units."""
    lines = text.splitlines()
    header = next((index for index, line in enumerate(lines) if line.startswith('"ID"')), None)
    measured = {}
    for row in csv.DictReader(io.StringIO("\n".join(lines[header:]))) if header is not None else ():
        try:
            count, ns = (float(row[metric].replace(",", "")) for metric in METRICS)
        except (KeyError, ValueError, AttributeError):
            continue  # the units, or a line of the program's
        name = (row.get("Kernel Name") or "").split("(")[0]
        if ns > 0 and count > measured.get(name, (0, 0))[0]:
            measured[name] = (count, ns / 1e9)
    return measured


def sanitizer(proof):
    """compute-sanitizer finds nothing in a step of tiny."""
    proof.need_gpu()
    program = proof.find("compute-sanitizer", CUDA)
    for tool in ("memcheck", "racecheck", "synccheck"):
        words = stages.words(proof, "verify", "tiny", "f32", "--batch", 1)
        command = [program, "--tool", tool, "--error-exitcode", "86", proof.args.binary, *words]
        result = proof.command(command, limit=30)
        summary = [line for line in result.text.splitlines() if "SUMMARY" in line]
        if result.code == 86:
            proof.add(tool, FAIL, "", None, summary[-1].strip("= ") if summary else "it found something")
        elif proof.done(tool, result):
            if summary:
                proof.checks[-1]["value"] = summary[-1].strip("= ")
            else:
                proof.checks[-1].update(verdict=SKIP, value="", reason="it ended without a summary")
