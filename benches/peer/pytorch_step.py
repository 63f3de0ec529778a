#!/usr/bin/env python3
"""PyTorch's half of the comparison: trains a model file step by step in one process and prints what it measured as JSON.

First plain steps, as a user's training loop runs them: forward, loss, backward, one SGD step; ReLU in place and gradients set
to None, as is usual; the batch stays where it is. The peak of resident memory is read after these.

Then the same step in pieces, each timed by itself, in the order of training, with nothing else between the clock's readings:

    forward            the layer's function
    backward_data      conv: aten::convolution_backward for the input alone; fc: grad x W; relu: aten::threshold_backward;
                       any other kind: torch.autograd.grad through this one layer
    backward_weights   conv: aten::convolution_backward for weights and bias; fc: grad^T x input, and the sum for the bias
    weight_update      a torch.optim.SGD of this layer's parameters

These are the calls that autograd makes itself; what autograd and the loop cost on top shows in parts_over_whole (Σ pieces / plain
step). Networks with branches are not handled.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))

import network
import torch
import torch.nn.functional as F

WARM_UP = 2  # steps
MINIMUM = 2  # measured steps, however long they take


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layout", choices=["nchw", "channels_last"], default="nchw")
    parser.add_argument("--optimizer", choices=["foreach", "fused"], default="fused")
    parser.add_argument("--seconds", type=float, default=3, help="of plain steps, and again of steps in pieces")
    parser.add_argument("--no-pieces", action="store_true", help="plain steps only")
    return parser.parse_args()


class Training:
    """A network without branches, its parameters and one batch, in the layout and with the optimizer asked for."""

    def __init__(self, args: argparse.Namespace):
        self.model = network.read(args.model)
        generator = torch.Generator().manual_seed(1)
        layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format
        image, self.labels = network.draw_batch(self.model, args.batch, generator)
        drawn = network.draw_parameters(self.model, image[:1], self.labels[:1], generator)
        self.image = image.contiguous(memory_format=layout)
        self.parameters = {}
        for layer, pair in drawn.items():
            pair = [p.contiguous(memory_format=layout) if p is not None and p.dim() == 4 else p for p in pair]
            self.parameters[layer] = [p if p is None else p.requires_grad_() for p in pair]
        self.constants = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, args.optimizer: True}

    def optimizer(self, *layers: str) -> torch.optim.SGD:
        parameters = [p for layer in layers for p in self.parameters[layer] if p is not None]
        return torch.optim.SGD(parameters, **self.constants)

    def forward(self, layer: network.Layer, x: torch.Tensor) -> torch.Tensor:
        if layer.kind == "relu":
            return F.relu_(x)
        return network.apply(layer, [x], *self.parameters.get(layer.name, (None, None)), self.labels, training=True)


def plain_steps(training: Training, seconds: float) -> list[float]:
    """Microseconds of whole training steps."""
    optimizer = training.optimizer(*training.parameters)
    times = []
    while len(times) < WARM_UP + MINIMUM or sum(times[WARM_UP:]) < seconds * 1e6:
        start = time.perf_counter()
        x = training.image
        for layer in training.model.layers:
            x = training.forward(layer, x)
        x.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append((time.perf_counter() - start) * 1e6)
    return times[WARM_UP:]


class Clock:
    """Time since the last reading, added to a (layer, phase); as marks are shared, no time between pieces is lost."""

    def __init__(self):
        self.pieces = {}
        self.last = time.perf_counter()

    def mark(self, layer: str, phase: str) -> None:
        now = time.perf_counter()
        self.pieces[layer, phase] = (now - self.last) * 1e6
        self.last = now


def step_in_pieces(training: Training, optimizers: dict) -> dict:
    """Microseconds of one training step by (layer, phase)."""
    layers, taken, given = training.model.layers, {}, {}
    clock = Clock()
    x = training.image
    for layer in layers:
        own = layer.kind in ("conv", "fc", "relu")  # whose backward is called below; the rest record a graph of one layer
        x = x.detach().requires_grad_(not own)
        with torch.set_grad_enabled(not own):
            y = training.forward(layer, x)
        taken[layer.name], given[layer.name], x = x, y, y
        clock.mark(layer.name, "forward")
    grad = torch.ones_like(x)
    for layer in reversed(layers):
        grad = backward(training, clock, layer, taken.pop(layer.name), given.pop(layer.name), grad, layer is layers[0])
    for layer, optimizer in optimizers.items():
        optimizer.step()
        optimizer.zero_grad()
        clock.mark(layer, "weight_update")
    return clock.pieces


def backward(training, clock, layer, x, y, grad, first: bool) -> torch.Tensor | None:
    """The gradient of the layer's input, None for the first layer; the weights' gradients go to their `.grad`."""
    weight, bias = training.parameters.get(layer.name, (None, None))
    if layer.kind == "conv":
        o, sizes = layer.options, None if bias is None else [len(bias)]
        pair = {key: o[key] if isinstance(o[key], list) else [o[key]] * 2 for key in ("stride", "pad")}

        def gradients(*mask: bool):
            return torch.ops.aten.convolution_backward(
                grad, x, weight, sizes, pair["stride"], pair["pad"], [1, 1], False, [0, 0], o["groups"], mask
            )

        _, weight.grad, bias_grad = gradients(False, True, bias is not None)
    elif layer.kind == "fc":
        weight.grad = grad.t().mm(x.flatten(1))
        bias_grad = None if bias is None else grad.sum(0)
    if layer.kind in ("conv", "fc"):
        if bias is not None:
            bias.grad = bias_grad
        clock.mark(layer.name, "backward_weights")
    if first:
        return None
    match layer.kind:
        case "conv":
            grad = gradients(True, False, False)[0]
        case "fc":
            grad = grad.mm(weight).view(x.shape)
        case "relu":
            grad = torch.ops.aten.threshold_backward(grad, y, 0)
        case _:
            grad = torch.autograd.grad(y, x, grad)[0]
    clock.mark(layer.name, "backward_data")
    return grad


def steps_in_pieces(training: Training, seconds: float) -> list[dict]:
    optimizers = {layer: training.optimizer(layer) for layer in training.parameters}
    steps, end = [], None
    with torch.no_grad():
        while len(steps) < WARM_UP + MINIMUM or time.perf_counter() < end:
            steps.append(step_in_pieces(training, optimizers))
            if len(steps) == WARM_UP:
                end = time.perf_counter() + seconds
    return steps[WARM_UP:]


def shares(training: Training, steps: list[dict]) -> dict:
    """Percent of Σ pieces by group, computed inside each step and averaged over the steps."""
    group = {layer.name: layer.group for layer in training.model.layers}
    total = defaultdict(float)
    for step in steps:
        for (layer, _), us in step.items():
            total[group[layer]] += 100 * us / sum(step.values()) / len(steps)
    return dict(total)


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    training = Training(args)
    times = plain_steps(training, args.seconds)
    measured = {
        "torch": torch.__version__,
        "step_us": statistics.median(times),
        "fastest_us": min(times),
        "steps": len(times),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    if not args.no_pieces:
        steps = steps_in_pieces(training, args.seconds)
        pieces = {key: statistics.median(step[key] for step in steps) for key in steps[0]}
        measured["pieces_us"] = [[*key, us] for key, us in pieces.items()]
        measured["shares_pct"] = shares(training, steps)
        measured["parts_over_whole"] = statistics.median(sum(step.values()) for step in steps) / measured["step_us"]
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
