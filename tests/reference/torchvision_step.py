#!/usr/bin/env python3
"""Writes what `layertime verify --reference` reads for a built-in network, computed by torchvision's own modules in double precision.

    .venv/bin/pip install torch torchvision numpy safetensors
    .venv/bin/python tests/reference/torchvision_step.py resnet18 target/release/layertime --image 64 --output resnet18.safetensors
    target/release/layertime verify --input-gradient --reference resnet18.safetensors

The file holds what export.py's files hold. Layers are found in torchvision's network by structure: `layertime inspect --toml`
says which layer reads which, and each must have its operator in torchvision's graph (torch.fx) with the same inputs; those
with parameters also have the module's name. Dropout and stochastic depth are off; batch norms take the batch's statistics.

--plant TENSOR makes the largest number of one expected tensor 1 % larger: then verify has to fail and name it.
"""

import argparse
import operator
import subprocess
import tempfile
from pathlib import Path

import export
import network
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.convnext import LayerNorm2d
from torchvision.models.feature_extraction import NodePathTracer
from torchvision.ops import stochastic_depth

OPTIONS = {"googlenet": {"aux_logits": True, "init_weights": False}}

# Modules and functions that a layer may be. Multiplications by a parameter are `scale`, by an activation `multiply`.
OPERATORS = {
    "conv": {nn.Conv2d, nn.Linear},
    "fc": {nn.Linear},
    "batchnorm": {nn.BatchNorm2d},
    "layernorm": {nn.LayerNorm, LayerNorm2d},
    "relu": {nn.ReLU, F.relu},
    "relu6": {nn.ReLU6, F.relu6},
    "silu": {nn.SiLU, F.silu},
    "gelu": {nn.GELU, F.gelu},
    "sigmoid": {nn.Sigmoid, torch.sigmoid},
    "hardswish": {nn.Hardswish, F.hardswish},
    "hardsigmoid": {nn.Hardsigmoid, F.hardsigmoid},
    "maxpool": {nn.MaxPool2d, F.max_pool2d},
    "avgpool": {nn.AdaptiveAvgPool2d, nn.AvgPool2d, F.adaptive_avg_pool2d},
    "dropout": {nn.Dropout},
    "stochastic_depth": {stochastic_depth},
    "add": {operator.add, operator.iadd},
    "multiply": {operator.mul},
    "scale": {operator.mul},
    "concat": {torch.cat},
}
# Operators that only change sizes or their order, and so are no layers.
VIEWS = {torch.flatten, torch.permute, nn.Flatten}


class Traced(torch.fx.Interpreter):
    """torchvision's network as a graph whose nodes keep their outputs. Nothing is computed in place, and nothing dropped."""

    def __init__(self, name: str):
        model = getattr(torchvision.models, name)(weights=None, **OPTIONS.get(name, {})).train()
        for module in model.modules():
            if hasattr(module, "inplace"):
                module.inplace = False
        tracer = NodePathTracer(leaf_modules=[LayerNorm2d])
        super().__init__(torch.fx.GraphModule(model, tracer.trace(model)))
        self.model = model
        self.outputs: dict[torch.fx.Node, torch.Tensor] = {}
        self.drawing: torch.Generator | None = None

    @torch.no_grad()
    def draw(self, image: torch.Tensor, generator: torch.Generator) -> None:
        """Draws parameters as network.py does: weights give each conv's and fc's output a deviation of 1; others are around 1 or 0."""
        for name, parameter in self.model.named_parameters():
            noise = 0.1 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise if name.endswith("bias") else 1 + noise)
        self.drawing = generator
        self.run(image)
        self.drawing = None

    def draw_weight(self, node: torch.fx.Node) -> None:
        weight = self.model.get_submodule(node.target).weight
        weight.copy_(torch.randn(weight.shape, generator=self.drawing))
        weight.div_(super().run_node(node).std())

    def operator(self, node: torch.fx.Node):
        return type(self.model.get_submodule(node.target)) if node.op == "call_module" else node.target

    def source(self, node: torch.fx.Node) -> torch.fx.Node:
        """The node that has computed a value, behind views of it."""
        while node.op in ("call_module", "call_function") and (self.operator(node) in VIEWS or self.keeps_all(node)):
            node = node.args[0]
        return node

    def keeps_all(self, node: torch.fx.Node) -> bool:
        """Stochastic depth that leaves nothing out is no layer."""
        return self.operator(node) is stochastic_depth and node.args[1] == 0.0

    def sources(self, node: torch.fx.Node) -> list[torch.fx.Node]:
        """The activations that a node reads."""
        return [self.source(read) for read in node.all_input_nodes if read.op != "get_attr"]

    def run_node(self, node: torch.fx.Node):
        if node.op in ("call_module", "call_function") and self.operator(node) in (nn.Dropout, stochastic_depth):
            x = self.fetch_args_kwargs_from_env(node)[0][0]
            output = x.view_as(x)
        elif node.target is operator.iadd:
            output = operator.add(*self.fetch_args_kwargs_from_env(node)[0])
        elif node.op == "call_function" and "inplace" in node.kwargs:
            args, kwargs = self.fetch_args_kwargs_from_env(node)
            output = node.target(*args, **kwargs | {"inplace": False})
        else:
            if self.drawing and self.operator(node) in (nn.Conv2d, nn.Linear):
                self.draw_weight(node)
            output = super().run_node(node)
        if isinstance(output, torch.Tensor):
            self.outputs[node] = output
        return output


def matched(traced: Traced, model: network.Model) -> dict[str, torch.fx.Node]:
    """The node of every layer but the losses."""
    nodes = [node for node in traced.module.graph.nodes if node.op in ("call_module", "call_function")]
    found = {network.IMAGE: next(node for node in traced.module.graph.nodes if node.op == "placeholder")}
    for layer in model.layers:
        if layer.kind in ("softmax_loss", "flatten"):
            if layer.kind == "flatten":
                found[layer.name] = found[layer.inputs[0]]
            continue
        inputs = {found[name] for name in layer.inputs}
        fits = [
            node
            for node in nodes
            if traced.operator(node) in OPERATORS[layer.kind]
            and node not in found.values()
            and set(traced.sources(node)) == inputs
            and (layer.kind not in ("scale", "multiply") or len(traced.sources(node)) == 1 + (layer.kind == "multiply"))
        ]
        named = [node for node in fits if node.target == layer.name]
        if len(named or fits) != 1:
            raise SystemExit(f"{layer.name} ({layer.kind}) has {len(fits)} operators in torchvision's network")
        found[layer.name] = (named or fits)[0]
    return found


def parameters(traced: Traced, model: network.Model) -> dict[str, nn.Parameter]:
    """torchvision's own, by the names of the file."""
    named = {}
    for layer in model.layers:
        if layer.kind == "scale":
            named[f"{layer.name}.weight"] = traced.model.get_parameter(layer.name)
        elif layer.kind in ("conv", "fc", "batchnorm", "layernorm"):
            own = traced.model.get_submodule(layer.name).named_parameters()
            named |= {f"{layer.name}.{what}": parameter for what, parameter in own}
    unmatched = len(list(traced.model.parameters())) - len(named)
    if unmatched:
        raise SystemExit(f"{unmatched} of torchvision's parameters are in no layer")
    return named


def in_order(x: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """A layer's values as [N, C, H, W]: parts of ConvNeXt lie as [N, H, W, C]."""
    return x.permute(0, 3, 1, 2) if x.dim() == 4 and list(x.shape) != shape else x.reshape(shape)


def training_step(args: argparse.Namespace, model: network.Model) -> dict[str, torch.Tensor]:
    """Every tensor of the file by its name, the expected ones still in f64."""
    generator = torch.Generator().manual_seed(args.seed)
    image, labels = network.draw_batch(model, args.batch, generator)
    shapes, _ = network.shapes(model, args.batch)
    traced = Traced(args.model.replace("-", "_"))
    traced.draw(image, generator)
    traced.model.double()
    image = image.double().requires_grad_()
    traced.run(image)
    nodes = matched(traced, model)
    named = parameters(traced, model)
    tensors = {"input": image, "labels": labels}
    tensors |= {f"param.{name}": parameter.detach().clone() for name, parameter in named.items()}

    for output in traced.outputs.values():
        output.retain_grad()
    losses = [layer for layer in model.layers if layer.kind == "softmax_loss"]
    loss = sum(
        layer.options["loss_weight"] * F.cross_entropy(traced.outputs[nodes[layer.inputs[0]]], labels) for layer in losses
    )
    loss.backward()
    tensors["loss"] = loss.reshape(1)
    for layer in model.layers:
        if layer.kind not in ("softmax_loss", "flatten"):
            output, shape = traced.outputs[nodes[layer.name]], shapes[layer.name]
            tensors[f"output.{layer.name}"] = in_order(output, shape)
            tensors[f"grad_output.{layer.name}"] = in_order(output.grad, shape)
    tensors |= {f"grad.{name}": parameter.grad.clone() for name, parameter in named.items()}
    tensors["grad.input"] = image.grad
    constants = {"lr": args.learning_rate, "momentum": args.momentum, "weight_decay": args.weight_decay}
    torch.optim.SGD(named.values(), **constants).step()
    return tensors | {f"updated.{name}": parameter for name, parameter in named.items()}


def plant(tensors: dict[str, torch.Tensor], name: str) -> None:
    """Makes the largest number of a tensor 1 % larger."""
    flat = tensors[name].detach().clone().reshape(-1)
    flat[flat.abs().argmax()] *= 1.01
    tensors[name] = flat.reshape(tensors[name].shape)


def main() -> None:
    parser = export.parser(__doc__)
    parser.add_argument("layertime", help="the program, which says what the network looks like")
    parser.add_argument("--plant", metavar="TENSOR", help="makes one number of this tensor wrong")
    args = parser.parse_args()
    described = subprocess.run([args.layertime, "inspect", args.model, "--toml"], check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.toml"
        path.write_text(described.stdout)
        model = network.read(str(path), args.image)
    tensors = training_step(args, model)
    if args.plant:
        plant(tensors, args.plant)
    print(export.write(args, model, tensors))


if __name__ == "__main__":
    main()
