#!/usr/bin/env python3
"""Runs every snippet of plotting.md on a run's folder, in a folder that is thrown away. Fails where a tool is missing.

    python3 docs/snippets.py results/alexnet-cpu

Needs pandas, matplotlib and duckdb in this Python, and gnuplot and R with ggplot2 on the PATH.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# By language: the program, its arguments before the file, the file's ending.
PROGRAMS = {
    "python": (sys.executable, [], "py"),
    "gnuplot": ("gnuplot", [], "gp"),
    "r": ("Rscript", ["--vanilla"], "R"),
}


def main() -> int:
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "phases.csv").exists():
        print(f"usage: {sys.argv[0]} FOLDER-OF-A-RUN", file=sys.stderr)
        return 2
    run = Path(sys.argv[1]).resolve()
    page = Path(__file__).with_name("plotting.md").read_text(encoding="utf-8")
    # The program's own command lines are checked with those of all documents.
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    snippets = [(language, text) for language, text in blocks if language != "console"]
    missing = {language for language, _ in PROGRAMS.items()} - {language for language, _ in snippets}
    if missing:
        print(f"plotting.md has no snippet in {', '.join(sorted(missing))}", file=sys.stderr)
        return 1
    failures = sum(not succeeds(index, language, text, run) for index, (language, text) in enumerate(snippets, 1))
    return 1 if failures else 0


def succeeds(index: int, language: str, text: str, run: Path) -> bool:
    """Runs one snippet; the pictures that it names must be there afterwards and not be empty."""
    program, arguments, ending = PROGRAMS[language]
    if shutil.which(program) is None:
        print(f"snippet {index} ({language}): FAILED, there is no {program}", file=sys.stderr)
        return False
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"snippet.{ending}"
        file.write_text(text, encoding="utf-8")
        environment = {**os.environ, "RUN": str(run)}
        done = subprocess.run([program, *arguments, file.name], cwd=folder, env=environment, capture_output=True, text=True)
        pictures = re.findall(r'"([\w-]+\.png)"', text)
        drawn = all((Path(folder) / name).is_file() and (Path(folder) / name).stat().st_size > 1000 for name in pictures)
        fine = done.returncode == 0 and drawn and (pictures or done.stdout.strip())
        print(f"snippet {index} ({language}): {'ok' if fine else 'FAILED'} {' '.join(pictures)}")
        if not fine:
            print(done.stdout + done.stderr, file=sys.stderr)
        keep = os.environ.get("KEEP")
        for name in pictures if keep and drawn else []:
            shutil.copy(Path(folder) / name, keep)
        return bool(fine)


if __name__ == "__main__":
    sys.exit(main())
