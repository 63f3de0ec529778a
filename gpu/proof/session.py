"""Runs the stages one after the other, each under its time limit, and records what they find."""

import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import traceback
from datetime import datetime, timezone
from pathlib import Path

from . import processes
from .ranges import Range

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"
# The limits of the stages are meant for so many minutes.
USUAL_MINUTES = 9
# What a stage must have left to be worth starting, of its limit.
WORTH = 0.2


class Stage:
    """A stage: its name, the seconds it may take, and the function that does it, given the session."""

    def __init__(self, name, limit, function):
        self.name, self.limit, self.function = name, limit, function


class Skipped(Exception):
    """A stage that cannot be done here, with the reason."""


class Interrupted(BaseException):
    """Somebody wants this program to end."""


class Session:
    """Arguments, time, findings, and what earlier stages leave for later ones."""

    def __init__(self, args, root):
        self.args, self.root, self.out = args, root, args.out
        self.begun = time.monotonic()
        self.ends = self.begun + 60 * args.minutes
        self.stage_ends = self.ends
        self.cut = False  # this stage got less time than it was meant to have
        self.stages = []
        self.checks = []
        self.card = None
        self.runs = {}  # figures of runs by what was asked of them
        self.settings = None
        self.scratch = None
        self.interrupted = False
        self.in_stage = False

    # The order of events.

    def prove(self, stages, last):
        """All stages, then the last one whatever happened; returns the exit code."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "log.txt").write_text("")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.interrupt)
        with tempfile.TemporaryDirectory(prefix="layertime-proof-") as scratch:
            self.scratch = Path(scratch)
            for stage in stages:
                self.run_stage(stage, reserve=min(last.limit, 6 * self.args.minutes))
            self.run_last(last)
            self.keep_runs()
        table = self.table()
        (self.out / "table.txt").write_text(table)
        print("\n" + table, end="", flush=True)
        failed = any(check["verdict"] == FAIL for stage in self.stages for check in stage["checks"])
        return 130 if self.interrupted else int(failed)

    def interrupt(self, *_):
        """Ends the stage that is under way; those after it are left out. What is left then takes seconds."""
        self.interrupted = True
        if self.in_stage:
            self.in_stage = False
            raise Interrupted

    def scale(self):
        return min(self.args.minutes / USUAL_MINUTES, 1)

    def run_stage(self, stage, reserve):
        """Does a stage in its time, or leaves it out and says why."""
        limit, left = stage.limit * self.scale(), self.ends - reserve - time.monotonic()
        begun = self.begin(stage, min(limit, left))
        self.cut = left < limit
        if self.interrupted:
            self.skip("", "interrupted")
        elif left < WORTH * limit:
            self.skip("", "no time left")
        else:
            self.work(stage)
        self.end(stage, begun)

    def run_last(self, stage):
        """Does the stage that always runs, and has a time of its own."""
        self.cut = False
        begun = self.begin(stage, stage.limit)
        self.work(stage)
        self.end(stage, begun)

    def begin(self, stage, seconds):
        begun = time.monotonic()
        self.checks, self.stage_ends = [], begun + seconds
        print("%-10s …" % stage.name, end="", flush=True)
        return begun

    def work(self, stage):
        """Does a stage. A fault in it is its own: the others still tell something."""
        try:
            self.in_stage = not self.interrupted
            stage.function(self)
        except Skipped as reason:
            self.skip("", str(reason))
        except Interrupted:
            self.skip("", "interrupted")
        except Exception as fault:
            self.log(traceback.format_exc())
            self.add("", FAIL, "", None, "%s: %s" % (type(fault).__name__, fault))
        self.in_stage = False
        if not self.checks:
            self.skip("", "it found nothing to check")

    def end(self, stage, begun):
        seconds = time.monotonic() - begun
        self.stages.append({"stage": stage.name, "seconds": round(seconds, 1), "checks": self.checks})
        verdicts = [check["verdict"] for check in self.checks]
        counts = ["%d %s" % (verdicts.count(verdict), verdict) for verdict in (PASS, FAIL, SKIP) if verdict in verdicts]
        print(" %s, %.0f s" % (", ".join(counts), seconds), flush=True)
        self.save()

    # What a stage may use.

    def left(self):
        """Seconds that this stage has left."""
        return self.stage_ends - time.monotonic()

    def command(self, command, limit=None, environment=None, folder=None):
        """Runs a command for `limit` seconds, or what the stage has left, and logs it."""
        limit = min(limit or self.left(), self.left())
        result = processes.run(command, limit, environment, folder)
        self.log("$ %s\n%s[%s, %.1f s]\n" % (" ".join(result.command), result.text, self.ended(result), result.seconds))
        return result

    @staticmethod
    def ended(result):
        return "stopped" if result.timed_out else "exit code %s" % result.code

    def layertime(self, *words, **keywords):
        """Runs layertime."""
        return self.command([self.args.binary, *words], **keywords)

    def find(self, program, *places):
        """A program on the PATH or in one of these places; the stage is skipped where there is none."""
        found = shutil.which(program)
        for place in places:
            found = found or shutil.which(str(Path(place) / program))
        if not found:
            raise Skipped("no %s here" % program)
        return found

    def need_gpu(self):
        """Skips the stage where the devices stage found no GPU that can be used."""
        if self.card is None:
            raise Skipped("no usable GPU")
        return self.card

    def done(self, name, result):
        """Records a command that had to end well; tells if it did. One that the whole time limit cut short is skipped."""
        if result.ok:
            self.add(name, PASS, "%.1f s" % result.seconds)
        elif result.timed_out and self.cut:
            self.skip(name, "only %.0f s were left" % result.seconds)
        else:
            self.add(name, FAIL, "", None, result.why())
        return result.ok

    def within(self, name, value, permitted):
        """Records a figure against the range outside which it is a fault."""
        assert isinstance(permitted, Range)
        verdict = PASS if permitted.holds(value) else FAIL
        self.add(name, verdict, permitted.text(value), permitted, "" if verdict == PASS else permitted.why)

    def skip(self, name, reason):
        self.add(name, SKIP, "", None, reason)

    def add(self, name, verdict, value="", permitted=None, reason=""):
        self.checks.append(self.finding(name, verdict, value, permitted, reason))

    @staticmethod
    def finding(name, verdict, value, permitted, reason):
        finding = {"check": name, "verdict": verdict, "value": value, "reason": reason}
        if permitted:
            finding.update(range=permitted.bounds(), why=permitted.why)
        return finding

    def log(self, text):
        with (self.out / "log.txt").open("a") as file:
            file.write(text + "\n")

    # What is kept.

    def save(self):
        """Writes proof.json anew: whole at every moment, whenever this program ends."""
        whole = {
            "started": datetime.fromtimestamp(time.time() - (time.monotonic() - self.begun), timezone.utc).isoformat(),
            "seconds": round(time.monotonic() - self.begun, 1),
            "arguments": sys.argv[1:],
            "card": self.card and self.card.facts,
            "stages": self.stages,
            "runs": {" ".join(map(str, key)): run.figures() for key, run in self.runs.items()},
        }
        partial = self.out / "proof.json.part"
        partial.write_text(json.dumps(whole, indent=1, ensure_ascii=False))
        os.replace(str(partial), str(self.out / "proof.json"))

    def keep_runs(self):
        """Packs the runs' folders: a file in place of dozens."""
        folders = sorted(path for path in (self.scratch / "runs").glob("*/*") if path.is_dir())
        if folders:
            with tarfile.open(str(self.out / "runs.tar.gz"), "w:gz") as archive:
                for folder in folders:
                    archive.add(str(folder), "%s/%s" % (folder.parent.name, folder.name))

    def table(self):
        rows = [("stage", "check", "", "value", "permitted", "reason")]
        for stage in self.stages:
            for check in stage["checks"]:
                name = check["check"] or "-"
                value, permitted = check["value"] or "-", check.get("range", "-")
                rows.append((stage["stage"], name, check["verdict"], value, permitted, check["reason"]))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths + [0])).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines[:1] + lines[1:2])))
        verdicts = [check["verdict"] for stage in self.stages for check in stage["checks"]]
        counts = ", ".join("%d %s" % (verdicts.count(verdict), verdict) for verdict in (PASS, FAIL, SKIP))
        card = self.card.name if self.card else "no GPU"
        seconds = time.monotonic() - self.begun
        return "%s\n\n%s\n\n%s in %.0f s; everything is in %s\n" % (card, "\n".join(lines), counts, seconds, self.out)
