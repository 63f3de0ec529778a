#!/usr/bin/env python3
"""Tests of gpu/prove: with stand-ins for every program that it calls, sound, failing, hanging and missing.

    python3 tests/gpu/prove.py
    SOFTCUDA=target/debug/softcuda LAYERTIME=target/release/layertime python3 tests/gpu/prove.py    # and on softcuda
"""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROVE = ROOT / "gpu" / "prove"
STAND_IN = Path(__file__).resolve().parent / "stand_in.py"
TOOLS = ("nvidia-smi", "nvcc", "ncu", "compute-sanitizer")


def load():
    loader = importlib.machinery.SourceFileLoader("prove", str(PROVE))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("prove", loader))
    loader.exec_module(module)
    return module


prove = load()
from proof import card, processes, ranges, session  # noqa: E402  (prove brings the path)


class Proved:
    """What one run of prove left."""

    def __init__(self, code, out, printed):
        self.code, self.printed = code, printed
        self.files = sorted(path.name for path in out.iterdir())
        self.json = json.loads((out / "proof.json").read_text())
        self.table = (out / "table.txt").read_text()
        self.stages = {stage["stage"]: stage["checks"] for stage in self.json["stages"]}

    def verdicts(self, stage):
        return [check["verdict"] for check in self.stages[stage]]

    def failed(self):
        return {stage: [c for c in checks if c["verdict"] == "FAIL"] for stage, checks in self.stages.items()}

    def failing_stages(self):
        return sorted(stage for stage, failed in self.failed().items() if failed)

    def reasons(self, stage):
        return " | ".join(check["reason"] for check in self.stages[stage])


class Case(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.programs = self.folder / "programs"
        self.programs.mkdir()
        self.have("layertime", "torch", *TOOLS)
        self.grace = processes.GRACE
        self.addCleanup(setattr, processes, "GRACE", self.grace)
        processes.GRACE = 0.2  # nothing here ends by being asked
        for permitted in (ranges.COLD_START, ranges.WARM_START, ranges.WARM_OVER_COLD):
            self.addCleanup(setattr, permitted, "high", permitted.high)
            permitted.high = float("inf")  # of stand-ins they would tell how busy this machine is
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def have(self, *names):
        for name in names:
            os.symlink(str(STAND_IN), str(self.programs / name))

    def lack(self, *names):
        for name in names:
            (self.programs / name).unlink()

    def environment(self, setting):
        (self.folder / "stand-in.json").write_text(json.dumps(setting))
        path = "%s:/usr/bin:/bin" % self.programs if setting.get("path") is None else setting["path"]
        return {"PATH": "%s:%s" % (path, os.path.dirname(sys.executable)), "STAND_IN": str(self.folder / "stand-in.json"), "NVCC": ""}

    def words(self, *words):
        known = ["--binary", self.programs / "layertime", "--python", self.programs / "torch", "--out", self.folder / "out"]
        return [str(word) for word in [*known, *words]]

    def prove(self, *words, limits=None, **setting):
        """Runs prove in this process; `limits` replaces stages' seconds. All others have all the time they may want."""
        out = self.folder / "out"
        args = prove.arguments(self.words("--minutes", "60", *words))
        stages = [session.Stage(s.name, (limits or {}).get(s.name, 600), s.function) for s in prove.STAGES if s.name in args.only]
        last = session.Stage(prove.LAST.name, 600, prove.LAST.function)
        before, printed = dict(os.environ), io.StringIO()
        os.environ.update(self.environment(setting))
        try:
            with contextlib.redirect_stdout(printed):
                code = session.Session(args, ROOT).prove(stages, last)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Proved(code, out, printed.getvalue())


class Sound(Case):
    def test_a_sound_gpu_passes_everything(self):
        proved = self.prove()
        self.assertEqual((proved.code, proved.failing_stages()), (0, []), proved.table)
        self.assertEqual(list(proved.stages), [stage.name for stage in prove.STAGES] + ["settings"])
        self.assertNotIn("SKIP", proved.table.replace("0 SKIP", ""))
        self.assertEqual(proved.files, ["log.txt", "proof.json", "runs.tar.gz", "table.txt"])
        self.assertLessEqual(len(proved.files), 5)
        self.assertIn("0 FAIL, 0 SKIP", proved.printed)
        self.assertEqual(len(proved.stages["verify"]), 4 * 2 + 4)
        closures = [c for c in proved.stages["run"] if "closure" in c["check"]]
        self.assertEqual(len(closures), 4 * 2)  # batches 128 and 512
        self.assertTrue(all(c["range"] == "0.98 to 1.03" and c["why"] for c in closures))

    def test_what_a_turing_gpu_lacks_is_skipped(self):
        proved = self.prove(figures={"name": "Tesla T4", "capability": "7.5", "copy": 0.8 * 320e9, "f32": 0.6 * 8.1e12})
        self.assertEqual(proved.failing_stages(), [], proved.table)
        self.assertEqual(proved.verdicts("second"), ["SKIP"])
        self.assertIn("not below compute capability 8.0", proved.reasons("run"))
        self.assertIn("does not serve sm_75", proved.reasons("nvcc"))

    def test_some_stages_alone(self):
        proved = self.prove("--only", "devices,verify")
        self.assertEqual(list(proved.stages), ["devices", "verify", "settings"])


class OutOfRange(Case):
    def only_failing(self, stage, words, *arguments, **setting):
        proved = self.prove(*arguments, **setting)
        self.assertEqual((proved.code, proved.failing_stages()), (1, [stage] if isinstance(stage, str) else stage), proved.table)
        names = " | ".join(check["check"] for checks in proved.failed().values() for check in checks)
        for word in words:
            self.assertIn(word, names)

    def test_closure(self):
        for closure in (0.97, 1.04):
            with self.subTest(closure=closure):
                self.setUp()
                self.only_failing("run", ["batch 128: closure", "batch 512: closure"], "--only", "devices,run", figures={"closure": closure})

    def test_roofs(self):
        sheet = {"copy_low": {"copy": 0.7 * 3350e9}, "copy_high": {"copy": 3300e9}, "f32": {"f32": 68e12}, "tf32": {"tf32": 40e12}}
        names = {"copy_low": "copy roof", "copy_high": "copy roof", "f32": "f32 roof over the datasheet's", "tf32": "tf32 roof over f32's"}
        for case, figures in sheet.items():
            with self.subTest(case):
                self.setUp()
                self.only_failing("run", [names[case]], "--only", "devices,run", figures=figures)

    def test_shares_that_do_not_add_up(self):
        self.only_failing("run", ["shares"], "--only", "devices,run", figures={"conv": float("nan")})

    def test_memory_that_ran_out_on_a_large_gpu(self):
        self.only_failing("run", ["batch 512"], "--only", "devices,run", figures={"status": "out_of_memory"})

    def test_graph_that_is_slower(self):
        self.only_failing("graph", ["f32, batch 128: graph over legacy"], "--only", "devices,graph", figures={"graph": 1.2})

    def test_live_that_is_slower(self):
        self.only_failing("launch", ["batch 128: live over queued"], "--only", "devices,launch", figures={"live": 1.2})

    def test_pytorch(self):
        for figures in ({"pytorch": 700.0}, {"pytorch": 1500.0}, {"pytorch_conv": 65.0}):
            with self.subTest(figures=figures):
                self.setUp()
                self.only_failing("pytorch", ["batch 128"], "--only", "devices,pytorch", figures=figures)

    def test_own_kernels_that_are_slow(self):
        self.only_failing("ncu", ["bias_add_f32"], "--only", "devices,run,ncu", figures={"ncu": 0.4})

    def test_settings_that_changed(self):
        self.only_failing("settings", ["unchanged"], "--only", "devices", figures={"power_after": "500 W"})


class Failing(Case):
    # A program or a word of a command that fails, and the stages that must say so.
    WORDS = {
        "nvidia-smi": ["devices"],
        "nvcc": ["nvcc"],
        "tiny": ["sanitizer", "start", "verify"],
        "nhwc": ["verify"],
        "legacy": ["graph"],
        "live": ["launch"],
        "vgg16": ["second"],
        "ncu": ["ncu"],
        "racecheck": ["sanitizer"],
    }

    def test_each_stage(self):
        for word, stages in self.WORDS.items():
            with self.subTest(word):
                self.setUp()
                proved = self.prove(fail=[word])
                self.assertEqual(proved.failing_stages(), stages, proved.table)
                self.assertEqual(proved.code, int(bool(stages)))
                self.assertEqual(len(proved.stages), len(prove.STAGES) + 1)

    def test_a_broken_pytorch_is_named(self):
        self.assertIn("it does not work", self.prove("--only", "devices,pytorch", fail=["torch"]).reasons("pytorch"))

    def test_a_sanitizers_finding(self):
        proved = self.prove("--only", "devices,sanitizer", fail=["memcheck"], code=86)
        self.assertEqual(proved.verdicts("sanitizer"), ["FAIL", "PASS", "PASS"])

    def test_figures_that_cannot_be_read(self):
        proved = self.prove("--only", "devices,run,verify", garble=["f16"])
        self.assertEqual(proved.failing_stages(), ["run"], proved.table)
        self.assertIn("ValueError", proved.reasons("run"))
        self.assertEqual(set(proved.verdicts("verify")), {"PASS"})


class Hanging(Case):
    def test_each_stage(self):
        words = {"nvcc": "nvcc", "start": "1ms", "verify": "nhwc", "run": "bf16", "graph": "legacy", "launch": "live"}
        words.update(second="vgg16", pytorch="default", ncu="ncu", sanitizer="racecheck")
        for stage, word in words.items():
            with self.subTest(stage):
                self.setUp()
                proved = self.prove("--only", "devices," + stage, limits={stage: 1}, hang=[word])
                self.assertEqual(proved.failing_stages(), [stage], proved.table)
                self.assertIn("not done within", proved.reasons(stage))

    def test_nothing_is_left_behind(self):
        began = time.monotonic()
        result = processes.run(["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait"], 1)
        self.assertTrue(result.timed_out)
        self.assertLess(time.monotonic() - began, 60)
        with self.assertRaises(ProcessLookupError):
            for _ in range(100):  # until the system has taken it away
                os.kill(int(result.text), 0)
                time.sleep(0.1)

    def test_what_was_measured_before_counts(self):
        proved = self.prove("--only", "devices,run", "--batches", "128,512", limits={"run": 10}, hang=["f32"])
        closures = [check for check in proved.stages["run"] if check["check"] == "f32, batch 128: closure"]
        self.assertEqual([check["verdict"] for check in closures], ["PASS"], proved.table)

    def test_no_time_is_left(self):
        args = prove.arguments(self.words("--minutes", "0.05"))
        stages = [session.Stage("long", 540, lambda proof: proof.done("sleep", proof.command(["sleep", "600"])))]
        stages += [session.Stage("never", 540, lambda proof: proof.add("never", "PASS"))]
        last = session.Stage("settings", 10, lambda proof: proof.add("always", "PASS"))
        with contextlib.redirect_stdout(io.StringIO()):
            code = session.Session(args, ROOT).prove(stages, last)
        proved = Proved(code, self.folder / "out", "")
        self.assertEqual([proved.verdicts(s) for s in ("long", "never", "settings")], [["SKIP"], ["SKIP"], ["PASS"]])
        self.assertIn("were left", proved.reasons("long"))
        self.assertIn("no time left", proved.reasons("never"))


class Missing(Case):
    def test_tools(self):
        self.lack(*TOOLS)
        proved = self.prove(fail=["torch"])
        self.assertEqual((proved.code, proved.failing_stages()), (0, []), proved.table)
        for stage, tool in (("devices", "nvidia-smi"), ("nvcc", "nvcc"), ("ncu", "ncu"), ("sanitizer", "compute-sanitizer")):
            self.assertIn("no %s here" % tool, proved.reasons(stage))
        self.assertIn("no PyTorch", proved.reasons("pytorch"))

    def test_a_gpu(self):
        proved = self.prove(figures={"name": ""})
        self.assertEqual((proved.code, proved.failing_stages()), (1, ["devices"]), proved.table)
        self.assertIn("no NVIDIA driver", proved.reasons("devices"))
        others = [check["reason"] for stage, checks in proved.stages.items() if stage not in ("devices", "settings") for check in checks]
        self.assertEqual(set(others), {"no usable GPU"})

    def test_a_datasheet(self):
        proved = self.prove("--only", "devices,run", figures={"name": "NVIDIA Something"})
        self.assertIn("no datasheet for NVIDIA Something: name one with --gpu", proved.reasons("run"))

    def test_the_binary(self):
        done = subprocess.run([str(PROVE), "--binary", "/nowhere"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("gpu/README.md", done.stderr)

    def test_an_unknown_stage(self):
        done = subprocess.run([str(PROVE), "--only", "no-such"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no stage no-such", done.stderr)


class Interrupted(Case):
    def test_ctrl_c_leaves_a_table_of_what_was_done(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                self.setUp()
                environment = dict(os.environ, **self.environment({"hang": ["nhwc"]}))
                process = subprocess.Popen([sys.executable, str(PROVE), *self.words()], env=environment, stdout=subprocess.PIPE, text=True)
                log = self.folder / "out" / "log.txt"
                while "--layout nchw" not in (log.read_text() if log.exists() else ""):  # the next one hangs
                    self.assertIsNone(process.poll())
                    time.sleep(0.05)
                process.send_signal(number)
                printed, _ = process.communicate(timeout=300)
                proved = Proved(process.returncode, self.folder / "out", printed)
                self.assertEqual(proved.code, 130)
                self.assertEqual(proved.reasons("verify").split(" | ")[-1], "interrupted", proved.table)
                self.assertEqual({proved.reasons(s) for s in ("run", "pytorch", "sanitizer")}, {"interrupted"})
                self.assertEqual(proved.verdicts("settings"), ["PASS"])
                self.assertIn("settings", printed.splitlines()[-3])


class Tables(unittest.TestCase):
    def test_every_range_says_why(self):
        found = [value for value in vars(ranges).values() if isinstance(value, ranges.Range)]
        self.assertGreaterEqual(len(found), 14)
        for permitted in found:
            self.assertGreater(len(permitted.why), 30)
            self.assertFalse(permitted.holds(None) or permitted.holds(float("nan")))

    def test_every_datasheet_is_there(self):
        gpus = (ROOT / "src" / "predict" / "gpus.toml").read_text()
        for _, name in card.NAMES:
            self.assertEqual(card.datasheet(gpus, None, name)["name"], name)

    def test_names_as_drivers_have_them(self):
        gpus = (ROOT / "src" / "predict" / "gpus.toml").read_text()
        names = {
            "NVIDIA H100 80GB HBM3": "h100-sxm",
            "NVIDIA H100 PCIe": "h100-pcie",
            "NVIDIA H200": "h200-sxm",
            "NVIDIA A100-SXM4-80GB": "a100-sxm-80gb",
            "NVIDIA A100-PCIE-40GB": "a100-pcie",
            "NVIDIA A100 80GB PCIe": "a100-pcie-80gb",
            "Tesla V100-SXM2-16GB": "v100-sxm2",
            "NVIDIA GeForce RTX 4090": "rtx-4090",
            "NVIDIA L4": "l4",
            "NVIDIA L40S": "l40s",
            "Tesla T4": "t4",
        }
        for told, name in names.items():
            self.assertEqual(card.datasheet(gpus, card.Card(told, {}))["name"], name)
        self.assertIsNone(card.datasheet(gpus, card.Card("softcuda (software CUDA device)", {})))


@unittest.skipUnless(os.environ.get("SOFTCUDA"), "SOFTCUDA names no runner")
class OnSoftcuda(unittest.TestCase):
    def test_the_program_itself_ends_with_a_table(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            words = ["--binary", os.environ["LAYERTIME"], "--model", "tiny", "--second", "tiny", "--batches", "1,2", "--minutes", "4"]
            command = [os.environ["SOFTCUDA"], str(PROVE), *words, "--out", str(out)]
            environment = dict(os.environ, LAYERTIME_KERNELS="committed")
            done = subprocess.run(command, capture_output=True, text=True, timeout=240 + 30, env=environment)
            proved = Proved(done.returncode, out, done.stdout)
            print(proved.table)
        # Times mean nothing there: only what does not depend on them is looked at.
        self.assertIn(proved.code, (0, 1))
        self.assertEqual(list(proved.stages), [stage.name for stage in prove.STAGES] + ["settings"])
        self.assertEqual(set(proved.verdicts("verify")), {"PASS"}, proved.table)
        self.assertEqual(proved.verdicts("settings"), ["PASS"])
        runs = [check["verdict"] for stage in ("run", "graph", "launch", "second") for check in proved.stages[stage] if ": run" in check["check"]]
        self.assertEqual(set(runs), {"PASS"}, proved.table)


if __name__ == "__main__":
    unittest.main()
