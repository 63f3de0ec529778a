#!/usr/bin/env python3
"""PyTorch's half of the comparison: trains a model file step by step in one process and prints what it measured as JSON.

First plain steps, as a user's training loop runs them: forward, loss, backward, one SGD step; ReLU in place and gradients set
to None, as is usual; the batch stays where it is. The peak of resident memory is read after these.

Then the same step in pieces, each timed by itself, in the order of training, with nothing else between the clock's readings:

    forward            the layer's function
    backward_data      conv: aten::convolution_backward for the input alone; fc: grad x W; relu: aten::threshold_backward;
                       any other kind: torch.autograd.grad through this one layer, with a batch norm's weights and biases;
                       and the sum, where a layer's output has several readers
    backward_weights   conv: aten::convolution_backward for weights and bias; fc: grad^T x input, and the sum for the bias
    weight_update      a torch.optim.SGD of this layer's parameters

These are the calls that autograd makes itself; what autograd and the loop cost on top shows in parts_over_whole (Σ pieces / plain
step). A ReLU works in place where torchvision's networks do: behind a layer that needs its output no more.

With --device cuda all times are those of CUDA events, cudnn.benchmark is on, and the whole step is also captured into a CUDA graph and
replayed, as graph_us. --precision says what computes: f32 alone; PyTorch's default, which permits TF32 in convolutions; or bf16 by
autocast.
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
import on_cuda
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
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["f32", "default", "bf16"], default="f32")
    return parser.parse_args()


# Kinds whose backward does not read their output.
FREED = ("conv", "fc", "batchnorm", "add", "concat")


class Training:
    """A network, its parameters and one batch, in the layout and with the optimizer asked for."""

    def __init__(self, args: argparse.Namespace):
        self.model = network.read(args.model)
        generator = torch.Generator().manual_seed(1)
        layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format
        image, labels = network.draw_batch(self.model, args.batch, generator)
        drawn = network.draw_parameters(self.model, image[:1], labels[:1], generator)
        self.device, self.narrow = args.device, torch.bfloat16 if args.precision == "bf16" else torch.float32
        self.image, self.labels = image.to(args.device).contiguous(memory_format=layout), labels.to(args.device)
        self.parameters = {}
        for layer, pair in drawn.items():
            pair = [p if p is None else p.to(args.device) for p in pair]
            pair = [p.contiguous(memory_format=layout) if p is not None and p.dim() == 4 else p for p in pair]
            self.parameters[layer] = [p if p is None else p.requires_grad_() for p in pair]
        layers = self.model.layers
        readers = [name for layer in layers for name in layer.inputs]
        overwritten = {layer.name for layer in layers if layer.kind in FREED and readers.count(layer.name) == 1}
        self.in_place = {layer.name for layer in layers if layer.kind == "relu" and layer.inputs[0] in overwritten}
        self.losses = [layer for layer in layers if layer.kind == "softmax_loss"]
        self.learned = set()  # layers whose output depends on parameters
        for layer in layers:
            if layer.name in self.parameters or self.learned & set(layer.inputs):
                self.learned.add(layer.name)
        self.constants = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, args.optimizer: True}

    def optimizer(self, *layers: str) -> torch.optim.SGD:
        parameters = [p for layer in layers for p in self.parameters[layer] if p is not None]
        return torch.optim.SGD(parameters, **self.constants)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.narrow == torch.bfloat16)

    def narrowed(self, layer: network.Layer, x: torch.Tensor) -> tuple:
        """Input, weight and bias of a conv or fc as it computes with them: autocast's copies under bf16."""
        tensors = (x, *self.parameters[layer.name])
        return tuple(tensor if tensor is None else tensor.to(self.narrow) for tensor in tensors)

    def forward(self, layer: network.Layer, xs: list[torch.Tensor], *parameters) -> torch.Tensor:
        if layer.name in self.in_place:
            return F.relu_(xs[0])
        pair = parameters or self.parameters.get(layer.name, (None, None))
        return network.apply(layer, xs, *pair, self.labels, training=True)

    def step(self, optimizer: torch.optim.SGD) -> None:
        """One training step, as a user's loop has it; gradients stay where they are."""
        with self.autocast():
            outputs = {network.IMAGE: self.image}
            for layer in self.model.layers:
                outputs[layer.name] = self.forward(layer, [outputs[name] for name in layer.inputs])
            loss = sum(outputs[layer.name] for layer in self.losses)
        del outputs
        loss.backward()
        optimizer.step()


def plain_steps(training: Training, seconds: float) -> list[float]:
    """Microseconds of whole training steps."""
    optimizer = training.optimizer(*training.parameters)
    times = []
    while len(times) < WARM_UP + MINIMUM or sum(times[WARM_UP:]) < seconds * 1e6:
        start = time.perf_counter()
        training.step(optimizer)
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

    def read(self) -> dict:
        return self.pieces


def step_in_pieces(training: Training, optimizers: dict) -> dict:
    """Microseconds of one training step by (layer, phase)."""
    layers, taken, outputs = training.model.layers, {}, {network.IMAGE: training.image}
    clock = on_cuda.Clock() if training.device == "cuda" else Clock()
    for layer in layers:
        own = layer.kind in OWN
        xs = [outputs[name].detach().requires_grad_(not own) for name in layer.inputs]
        operands = training.narrowed(layer, xs[0]) if layer.kind in ("conv", "fc") else xs
        with torch.set_grad_enabled(not own), training.autocast():
            y = training.forward(layer, xs, *(operands[1:] if operands is not xs else ()))
        taken[layer.name], outputs[layer.name] = operands, y
        clock.mark(layer.name, "forward")
    gradients = {layer.name: torch.ones_like(outputs[layer.name]) for layer in training.losses}
    for layer in reversed(layers):
        backward(training, clock, layer, taken.pop(layer.name), outputs.pop(layer.name), gradients)
    for layer, optimizer in optimizers.items():
        optimizer.step()
        optimizer.zero_grad()
        clock.mark(layer, "weight_update")
    return clock.read()


# The kinds whose backward is called by its name; the others record a graph of one layer.
OWN = ("conv", "fc", "relu")


def backward(training, clock, layer, operands, y, gradients: dict) -> None:
    """Adds the gradients of the layer's inputs to those by name; its weights' gradients go to their `.grad`."""
    grad = gradients.pop(layer.name)
    wanted = [index for index, name in enumerate(layer.inputs) if name in training.learned]
    if layer.kind in ("conv", "fc"):
        own_weights(training, layer, operands, grad)
        clock.mark(layer.name, "backward_weights")
    if not wanted and layer.name not in training.parameters:
        return
    match layer.kind:
        case "conv":
            shares = [convolution_backward(layer, operands, grad, True, False, False)[0]] if wanted else []
        case "fc":
            shares = [grad.mm(operands[1]).view(operands[0].shape)] if wanted else []
        case "relu":
            shares = [torch.ops.aten.threshold_backward(grad, y, 0)]
        case _:
            parameters = [p for p in training.parameters.get(layer.name, ()) if p is not None]
            found = torch.autograd.grad(y, [operands[index] for index in wanted] + parameters, grad)
            shares = found[: len(wanted)]
            for parameter, share in zip(parameters, found[len(wanted) :]):
                parameter.grad = share
    for index, share in zip(wanted, shares):
        name = layer.inputs[index]
        gradients[name] = gradients[name] + share if name in gradients else share
    if shares:
        clock.mark(layer.name, "backward_data")


def own_weights(training, layer, operands, grad) -> None:
    x, weight, bias = operands
    if layer.kind == "conv":
        _, weight_grad, bias_grad = convolution_backward(layer, operands, grad, False, True, bias is not None)
    else:
        weight_grad = grad.t().mm(x.flatten(1))
        bias_grad = None if bias is None else grad.sum(0)
    for parameter, gradient in zip(training.parameters[layer.name], (weight_grad, bias_grad)):
        if parameter is not None:
            parameter.grad = gradient.to(parameter.dtype)


def convolution_backward(layer, operands, grad, *mask: bool):
    x, weight, bias = operands
    o, sizes = layer.options, None if bias is None else [len(bias)]
    pads = network.pads(x.shape[2:], o)
    if pads[:2] != pads[2:]:
        raise SystemExit(f"layer {layer.name}: padding that differs on opposite sides is not compared")
    sides = [network.pair(o["stride"]), pads[:2], network.pair(o["dilation"])]
    return torch.ops.aten.convolution_backward(grad, x, weight, sizes, *sides, False, [0, 0], o["groups"], mask)


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
    if args.device == "cuda":
        on_cuda.prepare(args.precision)
    training = Training(args)
    whole = on_cuda.whole_steps(training, args.seconds) if args.device == "cuda" else {}
    times = whole.pop("times", None) or plain_steps(training, args.seconds)
    measured = whole | {
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
