"""Commands under a time limit: nothing that they start outlives them, and nothing that they do can hang this program."""

import os
import signal
import subprocess
import tempfile
import time

# Seconds that a command has to end by itself once it is told to: layertime saves what it measured, and puts clocks back.
GRACE = 5
# The most of an output that is kept, in bytes: its beginning and its end.
KEPT = 200_000


class Result:
    """What became of a command: its output, exit code (None where it was stopped), seconds, and whether its time was up."""

    def __init__(self, command, text, code, seconds, timed_out, missing=False):
        self.command, self.text, self.code = command, text, code
        self.seconds, self.timed_out, self.missing = seconds, timed_out, missing

    @property
    def ok(self):
        return self.code == 0 and not self.timed_out

    def why(self):
        """The failure in a few words: the last line that says something."""
        if self.missing:
            return self.text
        if self.timed_out:
            return "not done within %.0f s" % self.seconds
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("error:")), lines[-1] if lines else "it said nothing")
        return "exit code %s: %s" % (self.code, said[:200])


def run(command, limit, environment=None, folder=None):
    """Runs a command for `limit` seconds at most. stdout and stderr go to one file, so that no pipe can be held open."""
    command = [str(word) for word in command]
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, **(environment or {})),
                cwd=folder and str(folder),
                start_new_session=True,
            )
        except OSError as error:
            return Result(command, "cannot start %s: %s" % (command[0], error.strerror), None, 0.0, False, missing=True)
        timed_out = False
        try:
            process.wait(max(limit, 0.1))
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            stop(process)
        seconds = time.monotonic() - started
        return Result(command, text(output), process.returncode, seconds, timed_out)


def stop(process):
    """Ends a process and all that it started: first asked to, then made to."""
    group = process.pid
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, 2)):
        if process.poll() is not None:
            number = signal.SIGKILL  # only what it left behind
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            pass  # the driver may hold it: then it stays behind, and this program goes on


def text(output):
    """The output's beginning and end."""
    size = output.seek(0, os.SEEK_END)
    output.seek(0)
    if size <= KEPT:
        return output.read().decode(errors="replace")
    head = output.read(KEPT // 2)
    output.seek(size - KEPT // 2)
    return "%s\n… %d bytes left out …\n%s" % (
        head.decode(errors="replace"),
        size - KEPT,
        output.read().decode(errors="replace"),
    )
