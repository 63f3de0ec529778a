"""Reads the folder of a run of layertime's."""

import csv
import json


class Run:
    """The figures of one run."""

    def __init__(self, folder):
        self.folder = folder
        self.json = json.loads((folder / "run.json").read_text())
        with (folder / "summary.csv").open(newline="") as file:
            self.rows = list(csv.DictReader(file))
        self.ceilings = self.json.get("ceilings") or {}

    def row(self, batch, group="all", phase="all"):
        rows = [r for r in self.rows if (r["batch"], r["group"], r["phase"]) == (str(batch), group, phase)]
        return rows[0] if rows else {}

    def number(self, batch, column, group="all"):
        text = self.row(batch, group).get(column, "")
        return float(text) if text else None

    def plain_us(self, batch):
        """The step as a whole, in microseconds."""
        return self.number(batch, "plain_step_us")

    def status(self, batch):
        return self.row(batch).get("status", "not measured")

    def measured(self, batches):
        return [batch for batch in batches if self.plain_us(batch)]

    def shares(self, batch):
        """Percent of the step by group."""
        groups = {group: self.number(batch, "share_pct", group) for group in ("conv", "fc", "other")}
        return {group: share for group, share in groups.items() if share is not None}

    def figures(self):
        """What proof.json keeps."""
        steps = [row for row in self.rows if row["group"] == row["phase"] == "all"]
        columns = ("status", "samples", "median_us", "closure", "mark_us", "plain_step_us", "images_per_s")
        batches = {row["batch"]: dict({c: row.get(c, "") for c in columns}, shares=self.shares(row["batch"])) for row in steps}
        return {"run_id": self.json.get("run_id"), "ceilings": self.ceilings, "batches": batches}


def read(folder):
    """The only run below a folder, or None."""
    runs = sorted(path.parent for path in folder.glob("*/run.json"))
    return Run(runs[0]) if len(runs) == 1 and (runs[0] / "summary.csv").exists() else None
