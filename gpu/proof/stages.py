"""The stages that need layertime alone."""

import itertools
import shutil

from . import card, figures, ranges
from .session import FAIL, PASS, SKIP, Skipped


def devices(proof):
    """The GPU can be used; its state and settings are known from before anything else ran."""
    result = proof.layertime("devices", "--wide")
    if not proof.done("layertime devices", result):
        return
    found, missing = card.cards(result.text)
    wanted = found.get(proof.args.device)
    if missing or wanted is None:
        reason = "; ".join(missing) or "there is no cuda:%d" % proof.args.device
        proof.add("a usable GPU", FAIL, "", None, reason)
        return
    proof.card = wanted
    proof.settings = wanted.settings()
    proof.add("a usable GPU", PASS, wanted.name)
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return proof.skip("nvidia-smi -q", "no nvidia-smi here")
    result = proof.command([smi, "-q"])
    if proof.done("nvidia-smi -q", result):
        proof.settings.update(card.smi_settings(result.text))


def start(proof):
    """How long the program takes to start: with an empty cache of the driver's compiler, and again."""
    proof.need_gpu()
    cache = {"CUDA_CACHE_PATH": str(proof.scratch / "cache"), "CUDA_CACHE_DISABLE": "0"}
    seconds = []
    for name in ("cold start", "warm start"):
        result = proof.layertime(
            *words(proof, "run", "tiny", "f32", "--batch", 1, "--max-time", "1ms", "--min-samples", 1),
            *("--no-samples", "--out", proof.scratch / "start"),
            environment=cache
        )
        if not proof.done(name + " ends", result):
            return
        seconds.append(result.seconds)
    proof.within("cold start", seconds[0], ranges.COLD_START)
    proof.within("warm start", seconds[1], ranges.WARM_START)
    proof.within("warm over cold", seconds[1] / seconds[0], ranges.WARM_OVER_COLD)


def verify(proof):
    """Every layer and phase of tiny in every precision and layout, and of the network to measure, against f64."""
    here = proof.need_gpu().precisions()
    cases = [("tiny", precision, layout) for precision, layout in itertools.product(here, ("nchw", "nhwc"))]
    cases += [(proof.args.model, precision, None) for precision in here]
    for model, precision, layout in cases:
        options = ("--layout", layout) if layout else ()
        result = proof.layertime(*words(proof, "verify", model, precision, "--batch", 2, *options))
        name = " ".join(filter(None, (model, precision, layout)))
        if proof.done(name, result):
            said = [line for line in result.text.splitlines() if line.startswith("PASS")]
            proof.checks[-1]["value"] = said[-1].split(";")[0][6:] if said else "no verdict"
    left_out(proof, here)


def run(proof):
    """The network at every batch in every precision: roofs, closure, shares."""
    here = proof.need_gpu().precisions()
    for precision in here:
        measured = measure(proof, (precision,), precision, proof.args.batches)
        if measured is None:
            continue
        judge(proof, precision, measured, proof.args.batches)
        if precision == "f32":
            sheet_roofs(proof, measured.ceilings)
        else:
            tensor_roof(proof, precision, measured.ceilings)
    left_out(proof, here)


def graph(proof):
    """Convolutions by cuDNN's graph API against the functions before it."""
    batch = large(proof.args.batches)
    for precision in [p for p in ("f32", "f16") if p in proof.need_gpu().precisions()]:
        keys = [(precision, "--cudnn", api) for api in ("graph", "legacy")]
        both = [measure(proof, key, precision, [batch], *key[1:]) for key in keys]
        compare(proof, "%s, batch %d: graph over legacy" % (precision, batch), both, batch, ranges.GRAPH_OVER_LEGACY)


def launch(proof):
    """Steps that are launched live against those that are queued first, at the smallest and a large batch."""
    proof.need_gpu()
    batches = sorted({proof.args.batches[0], large(proof.args.batches)})
    keys = [("f32", "--launch", way) for way in ("live", "queued")]
    both = [measure(proof, key, "f32", batches, *key[1:]) for key in keys]
    for batch in batches:
        permitted = ranges.LIVE_OVER_QUEUED_LARGE if batch >= ranges.LARGE_BATCH else ranges.LIVE_OVER_QUEUED_SMALL
        compare(proof, "batch %d: live over queued" % batch, both, batch, permitted)


def second(proof):
    """Another network in bf16."""
    if "bf16" not in proof.need_gpu().precisions():
        raise Skipped("no bf16 below compute capability 8.0")
    batches = sorted({proof.args.batches[0], large(proof.args.batches)})
    key = (proof.args.second, "bf16")
    measured = measure(proof, key, "bf16", batches, model=proof.args.second)
    if measured:
        judge(proof, " ".join(key), measured, batches)


def settings(proof):
    """The GPU's settings are as they were."""
    if proof.settings is None:
        raise Skipped("unknown at the start")
    found, _ = card.cards(proof.layertime("devices", "--wide", limit=5).text)
    after = found[proof.args.device].settings() if proof.args.device in found else {}
    smi = shutil.which("nvidia-smi")
    if smi and any(name.startswith("nvidia-smi") for name in proof.settings):
        after.update(card.smi_settings(proof.command([smi, "-q"]).text))
    changed = ["%s: %s, was %s" % (name, after.get(name), was) for name, was in proof.settings.items() if after.get(name) != was]
    verdict = FAIL if changed else PASS
    proof.add("unchanged", verdict, "%d settings" % len(proof.settings), None, "; ".join(changed))


def large(batches):
    """The batch at which two ways are compared: large, and in reach of small GPUs."""
    return max([batch for batch in batches if batch <= ranges.LARGE_BATCH] or batches[:1])


def words(proof, command, model, precision, *others):
    """The words of a layertime command on the GPU."""
    return (command, "--model", model, "--device", "cuda:%d" % proof.args.device, "--precision", precision, *others)


def measure(proof, key, precision, batches, *options, model=None):
    """Measures batches into a folder of its own; what was measured before the time was up counts."""
    out = proof.scratch / "runs" / "-".join(str(part).lstrip("-") for part in key)
    clocks = ("--lock-clocks", proof.args.lock_clocks) if proof.args.lock_clocks else ()
    result = proof.layertime(
        *words(proof, "run", model or proof.args.model, precision, "--batch", ",".join(map(str, batches))),
        *("--max-time", "%dms" % (2000 * proof.scale()), "--no-samples", "--out", out, *options, *clocks)
    )
    proof.done("%s: run" % " ".join(map(str, key)), result)
    measured = figures.read(out)
    if measured:
        proof.runs[key] = measured
    return measured


def judge(proof, name, measured, batches):
    """Judges a run by itself."""
    for batch in batches:
        status = measured.status(batch)
        if status == "out_of_memory" and proof.card.memory_gib >= 8:
            proof.add("%s, batch %d" % (name, batch), FAIL, status, None, "this network fits into this GPU's memory")
        elif status == "throttled":
            proof.add("%s, batch %d" % (name, batch), SKIP, status, None, "a hot or slowed GPU proves nothing about time")
    done = measured.measured(batches)
    for batch in [batch for batch in done if batch >= ranges.LARGE_BATCH]:
        proof.within("%s, batch %d: closure" % (name, batch), measured.number(batch, "closure"), ranges.CLOSURE)
    if done:
        shares = measured.shares(done[-1])
        proof.within("%s, batch %d: shares" % (name, done[-1]), sum(shares.values()), ranges.SHARES)
    if len(done) > 1:
        speeds = [measured.number(batch, "images_per_s") for batch in (done[0], done[-1])]
        if all(speeds):
            text = "%s: images/s, batch %d over %d" % (name, done[-1], done[0])
            proof.within(text, speeds[1] / speeds[0], ranges.GROWTH)


def sheet_roofs(proof, ceilings):
    """The measured roofs against the datasheet."""
    file = proof.root / "src" / "predict" / "gpus.toml"
    sheet = card.datasheet(file.read_text(), proof.card, proof.args.gpu) if file.exists() else None
    if sheet is None:
        return proof.skip("roofs", "no datasheet for %s: name one with --gpu" % proof.card.name)
    copy, product = (ceilings.get(name) or 0 for name in ("copy_bytes_per_s", "gemm_flops_per_s"))
    proof.within("copy roof over the datasheet's", copy / 1e9 / float(sheet["bandwidth"]), ranges.COPY_ROOF)
    proof.within("f32 roof over the datasheet's", product / 1e12 / float(sheet["f32"]), ranges.F32_ROOF)


def tensor_roof(proof, precision, ceilings):
    """A narrower precision's roof against that of f32."""
    f32 = proof.runs.get(("f32",))
    if f32 and f32.ceilings.get("gemm_flops_per_s"):
        ratio = (ceilings.get("gemm_flops_per_s") or 0) / f32.ceilings["gemm_flops_per_s"]
        proof.within("%s roof over f32's" % precision, ratio, ranges.TENSOR_ROOF)


def compare(proof, name, both, batch, permitted):
    """One step over the other."""
    steps = [measured and measured.plain_us(batch) for measured in both]
    if all(steps):
        proof.within(name, steps[0] / steps[1], permitted)
    else:
        proof.skip(name, "one of them was not measured")


def left_out(proof, here):
    """Names the precisions that the GPU does not have."""
    for precision in ("tf32", "bf16"):
        if precision not in here:
            proof.skip(precision, "not below compute capability 8.0")
