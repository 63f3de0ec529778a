"""The GPU: what `layertime devices` tells of it, and its datasheet."""

import re

# Lines of `layertime devices` that are settings: nobody but somebody changes them. The others are the GPU's state.
SETTINGS = (
    "application sm clock",
    "application memory clock",
    "power limit",
    "power limit default",
    "ecc",
    "persistence mode",
    "mig",
    "compute mode",
    "auto boost",
)
# The same by nvidia-smi -q, whose keys may stand in several sections.
SMI_SETTINGS = ("Persistence Mode", "Compute Mode", "Current Power Limit", "Requested Power Limit", "Auto Boost")

# What a driver calls a GPU, and its datasheet in gpus.toml; the first that fits counts.
NAMES = (
    (r"GH200", "gh200"),
    (r"H200", "h200-sxm"),
    (r"H100 PCIe", "h100-pcie"),
    (r"H100", "h100-sxm"),
    (r"B300", "b300"),
    (r"B200", "b200"),
    (r"A100.SXM.*80", "a100-sxm-80gb"),
    (r"A100.SXM", "a100-sxm"),
    (r"A100.*80", "a100-pcie-80gb"),
    (r"A100", "a100-pcie"),
    (r"V100.SXM2.*32|V100.SXM3", "v100-sxm2-32gb"),
    (r"V100.SXM2", "v100-sxm2"),
    (r"V100", "v100-pcie"),
    (r"P100.SXM", "p100-sxm2"),
    (r"P100", "p100-pcie"),
    (r"TITAN V\b", "titan-v"),
    (r"TITAN RTX", "titan-rtx"),
    (r"RTX 5090$", "rtx-5090"),
    (r"RTX 5080$", "rtx-5080"),
    (r"RTX 4090$", "rtx-4090"),
    (r"RTX 4080$", "rtx-4080"),
    (r"RTX 3090$", "rtx-3090"),
    (r"RTX 3080$", "rtx-3080"),
    (r"RTX 3070$", "rtx-3070"),
    (r"RTX 2080 Ti$", "rtx-2080-ti"),
    (r"Quadro RTX 6000$", "quadro-rtx-6000"),
    (r"Quadro RTX 8000$", "quadro-rtx-8000"),
    (r"RTX 6000 Ada", "rtx-6000-ada"),
    (r"RTX 4000 .*Ada|RTX 4000 Ada", "rtx-4000-ada"),
    (r"RTX A6000$", "rtx-a6000"),
    (r"\bL40S$", "l40s"),
    (r"\bL4$", "l4"),
    (r"\bA10$", "a10"),
    (r"\bA40$", "a40"),
    (r"\bT4$", "t4"),
    (r"\bP4$", "p4"),
    (r"Orin", "jetson-orin"),
)


class Card:
    """A GPU by the lines of its section in `layertime devices --wide`."""

    def __init__(self, name, facts):
        self.name, self.facts = name, dict(facts, name=name)
        major, _, minor = facts.get("compute capability", "0.0").partition(".")
        self.capability = (int(major), int(minor))
        self.memory_gib = float(facts.get("memory", "0 GiB").split()[0])

    def precisions(self):
        """What it computes in."""
        return ["f32", "tf32", "f16", "bf16"] if self.capability >= (8, 0) else ["f32", "f16"]

    def settings(self):
        return {name: value for name, value in self.facts.items() if name in SETTINGS}


def cards(text):
    """The GPUs that `layertime devices --wide` lists, by number, and what is missing for them."""
    found, facts, missing, section = {}, {}, [], ""
    for line in text.splitlines():
        title = re.match(r"cuda:(\d+) +(.*)", line)
        if title:
            section, facts = "gpu", {}
            found[int(title.group(1))] = (title.group(2).strip(), facts)
        elif line and not line.startswith(" "):
            section = "missing" if line.startswith("missing for") else ""
        elif section == "gpu" and ": " in line:
            name, _, value = line.strip().partition(": ")
            facts[name] = value
        elif section == "missing" and line.strip():
            missing.append(line.strip())
    return {number: Card(name, facts) for number, (name, facts) in found.items()}, missing


def smi_settings(text):
    """The settings in what `nvidia-smi -q` prints, each with all its values in order."""
    told = {}
    for line in text.splitlines():
        name, colon, value = line.partition(" : ")
        if colon and name.strip() in SMI_SETTINGS:
            told.setdefault("nvidia-smi: " + name.strip(), []).append(value.strip())
    return told


def datasheet(gpus, card, named=None):
    """The figures of a GPU in gpus.toml, or None; `named` is its name there."""
    name = named or next((name for pattern, name in NAMES if re.search(pattern, card.name)), None)
    entries = re.split(r"^\[\[gpu\]\]$", gpus, flags=re.M)[1:]
    for entry in entries:
        pairs = re.findall(r"^(\w+) = (.*)$", entry, flags=re.M)
        figures = {key: value.strip('"') for key, value in pairs}
        if figures.get("name") == name:
            return figures
    return None
