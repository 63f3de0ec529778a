#!/usr/bin/env python3
"""Random small networks, computed by PyTorch in double precision and checked by `layertime verify --reference`.

    .venv/bin/python tests/reference/fuzz.py target/release/layertime --count 100 --device cpu

Stops at the first network that does not pass and leaves its files in the folder that it names.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import export


def size(extent, kernel, stride, pad, ceil):
    """A window's output size as the design has it."""
    room = extent + 2 * pad - kernel
    out = (room + (stride - 1 if ceil else 0)) // stride + 1
    return out - 1 if ceil and (out - 1) * stride >= extent + pad else out


class Network:
    """A description that grows layer by layer and knows each layer's shape."""

    def __init__(self, draw):
        self.draw = draw
        self.shape = [draw.choice([1, 2, 3, 4, 6]), draw.randint(5, 20), draw.randint(5, 20)]
        self.text = f'name = "random"\ninput = {self.shape}\n'
        self.last, self.count = None, 0

    def layer(self, kind, shape=None, **options):
        self.count += 1
        self.last = f"{kind}{self.count}"
        self.text += f'[[layer]]\nname = "{self.last}"\nkind = "{kind}"\n'
        for key, value in options.items():
            value = str(value).lower() if isinstance(value, bool) else value
            self.text += f"{key} = {value}\n".replace("'", '"')
        self.shape = shape or self.shape

    def window(self):
        kernel = [self.draw.randint(1, min(5, extent)) for extent in self.shape[1:]]
        stride = [self.draw.randint(1, 3) for _ in range(2)]
        pad = [self.draw.randint(0, k // 2) for k in kernel]
        return kernel, stride, pad

    def sizes(self, kernel, stride, pad, ceil=False):
        return [size(*numbers, ceil) for numbers in zip(self.shape[1:], kernel, stride, pad)]

    def conv(self):
        kernel, stride, pad = self.window()
        groups = self.draw.choice([g for g in (1, 1, 2, 3) if self.shape[0] % g == 0])
        channels = groups * self.draw.randint(1, 9)
        shape = [channels, *self.sizes(kernel, stride, pad)]
        options = {"kernel": kernel, "stride": stride, "pad": pad, "groups": groups}
        self.layer("conv", shape, channels=channels, bias=self.draw.random() < 0.7, **options)

    def pool(self):
        kind, ceil = self.draw.choice(["maxpool", "avgpool"]), self.draw.random() < 0.5
        if kind == "avgpool" and self.draw.random() < 0.4:
            output = [self.draw.randint(1, extent) for extent in self.shape[1:]]
            return self.layer(kind, [self.shape[0], *output], output=output)
        kernel, stride, pad = self.window()
        dilation = [1, 1]
        if kind == "maxpool" and self.draw.random() < 0.4:
            # No window may step over the image, so it is not padded.
            pad = [0, 0]
            dilation = [self.draw.randint(1, max(1, (e - 1) // max(1, k - 1))) for e, k in zip(self.shape[1:], kernel)]
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
        shape = [self.shape[0], *self.sizes(reach, stride, pad, ceil)]
        options = {"dilation": dilation} if dilation != [1, 1] else {}
        self.layer(kind, shape, kernel=kernel, stride=stride, pad=pad, ceil=ceil, **options)

    def pad_channels(self):
        before = self.draw.randint(0, 5)
        after = self.draw.randint(0 if before else 1, 9)
        self.layer("pad_channels", [before + self.shape[0] + after, *self.shape[1:]], before=before, after=after)

    def conv_transpose(self):
        if max(self.shape[1:]) > 24:
            return  # images grow
        kernel, stride, _ = self.window()
        dilation = [self.draw.randint(1, 2) for _ in range(2)]
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
        pad = [self.draw.randint(0, min(1, (r - 1) // 2)) for r in reach]
        more = [self.draw.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation)]
        groups = self.draw.choice([g for g in (1, 1, 2, 3) if self.shape[0] % g == 0])
        channels = groups * self.draw.randint(1, 5)
        numbers = zip(self.shape[1:], stride, reach, more, pad)
        shape = [channels, *((extent - 1) * s + r + m - 2 * p for extent, s, r, m, p in numbers)]
        options = {"kernel": kernel, "stride": stride, "pad": pad, "dilation": dilation, "groups": groups}
        bias = self.draw.random() < 0.7
        self.layer("conv_transpose", shape, channels=channels, output_padding=more, bias=bias, **options)

    def lrn(self):
        self.layer("lrn", size=self.draw.choice([1, 3, 5]), alpha=0.1, beta=0.75, k=self.draw.choice([1.0, 2.0]))

    def branch(self):
        """Two layers of the same size on one output, joined."""
        fork, channels = self.last, self.shape[0]
        ends = []
        for _ in range(self.draw.randint(2, 3)):
            self.shape = [channels, *self.shape[1:]]
            options = {"inputs": [fork]} if fork else {"inputs": ["input"]}
            self.layer("conv", self.shape, channels=channels, kernel=3, pad=1, **options)
            ends.append(self.last)
        if fork and self.draw.random() < 0.5:
            ends.append(fork)
        kind = self.draw.choice(["add", "concat"])
        self.layer(kind, [channels * (len(ends) if kind == "concat" else 1), *self.shape[1:]], inputs=ends)

    def finish(self):
        if self.draw.random() < 0.5:
            self.layer("flatten")
        if self.draw.random() < 0.5:
            self.layer("fc", outputs=self.draw.randint(1, 40), bias=self.draw.random() < 0.7)
            self.layer("relu")
            self.layer("dropout", p=0.5)
        self.layer("fc", outputs=self.draw.randint(2, 20))
        self.layer("softmax_loss")
        return self.text


def describe(draw):
    network = Network(draw)
    parts = [network.conv, network.pool, network.lrn, network.branch, network.pad_channels, network.conv_transpose]
    parts += [lambda kind=kind: network.layer(kind) for kind in ("relu", "batchnorm")]
    network.conv()
    for _ in range(draw.randint(1, 7)):
        draw.choice(parts)()
    return network.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="layertime-fuzz-"))
    for seed in range(args.seed, args.seed + args.count):
        draw = random.Random(seed)
        model, reference = folder / "random.toml", folder / "random.safetensors"
        model.write_text(describe(draw))
        batch = str(draw.choice([1, 2, 3, 5, 8]) + 1)
        options = ["--batch", batch, "--seed", str(seed), "--input-gradient", "--output", str(reference)]
        if export.export(export.arguments([str(model), *options])).endswith("nan"):
            continue  # all ReLUs dead: no deviation to scale the next layer's weights by
        verify = [args.program, "verify", "--model", model, "--reference", reference, "--input-gradient"]
        verdict = subprocess.run([*verify, "--device", args.device], capture_output=True, text=True)
        if verdict.returncode != 0:
            sys.exit(f"seed {seed}, {model}, batch {batch}:\n{verdict.stdout}{verdict.stderr}")
    print(f"{args.count} random networks pass")


if __name__ == "__main__":
    main()
