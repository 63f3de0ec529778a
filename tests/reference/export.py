#!/usr/bin/env python3
"""Writes what `layertime verify --reference` reads: one training step of a model file, computed by PyTorch in double precision.

    python3 -m venv .venv && .venv/bin/pip install torch numpy safetensors
    .venv/bin/python tests/reference/export.py alexnet --batch 3 --output alexnet.safetensors

MODEL is a built-in's name or a TOML file. Image, labels and parameters are drawn from --seed, rounded to f32, and then used in
f64, so that the expected tensors belong exactly to the f32 inputs in the file; they are rounded to f32 only when written.
Dropout is off. The momentum buffer starts at zero. The file holds, f32 but for the labels (i64):

    input [N,C,H,W]   labels [N]   param.L.weight   param.L.bias   loss [1]
    output.L, grad_output.L     every layer but the losses; the gradient is the total over all that use the output
    grad.L.weight, .bias        gradient of the loss, without weight decay
    updated.L.weight, .bias     parameters after the step
    grad.input                  with --input-gradient

The committed files were made by

    for m in tests/reference/models/*.toml; do
        .venv/bin/python tests/reference/export.py $m --batch 3 --input-gradient --output ${m%models/*}$(basename $m .toml).safetensors
    done
    .venv/bin/python tests/reference/export.py tiny --output tests/reference/tiny.safetensors
"""

import argparse

import network
import torch
from safetensors.torch import save_file


def parser(description: str) -> argparse.ArgumentParser:
    """The network, the step and the file to write."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="built-in name or FILE.toml")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--image", type=int, help="height and width (default: the model's own)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=0.0005)
    parser.add_argument("--output", required=True, help="the safetensors file to write")
    return parser


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    from_command_line = parser(__doc__)
    from_command_line.add_argument("--input-gradient", action="store_true", help="also write grad.input")
    return from_command_line.parse_args(given)


def training_step(args: argparse.Namespace, model: network.Model) -> dict[str, torch.Tensor]:
    """Every tensor of the file by its name, the expected ones still in f64."""
    generator = torch.Generator().manual_seed(args.seed)
    image, labels = network.draw_batch(model, args.batch, generator)
    parameters = network.draw_parameters(model, image, labels, generator)
    image = image.double().requires_grad_()
    named = {}  # "layer.weight" and "layer.bias", in f64
    for layer, (weight, bias) in parameters.items():
        parameters[layer] = tuple(None if p is None else p.double().requires_grad_() for p in (weight, bias))
        named |= {f"{layer}.{what}": p for what, p in zip(("weight", "bias"), parameters[layer]) if p is not None}
    tensors = {"input": image, "labels": labels}
    tensors |= {f"param.{name}": p.detach().clone() for name, p in named.items()}

    outputs = network.forward(model, parameters, image, labels)
    loss = sum(outputs.pop(layer.name) for layer in model.layers if layer.kind == "softmax_loss")
    del outputs[network.IMAGE]
    for output in outputs.values():
        output.retain_grad()
    loss.backward()
    tensors["loss"] = loss.reshape(1)
    for name, output in outputs.items():
        tensors |= {f"output.{name}": output, f"grad_output.{name}": output.grad}
    tensors |= {f"grad.{name}": p.grad.clone() for name, p in named.items()}
    if args.input_gradient:
        tensors["grad.input"] = image.grad

    optimizer = torch.optim.SGD(
        named.values(), lr=args.learning_rate, momentum=args.momentum, weight_decay=args.weight_decay
    )
    optimizer.step()
    return tensors | {f"updated.{name}": p for name, p in named.items()}


def export(args: argparse.Namespace) -> str:
    """Computes the step and writes the file."""
    model = network.read(args.model, args.image)
    return write(args, model, training_step(args, model))


def write(args: argparse.Namespace, model: network.Model, tensors: dict[str, torch.Tensor]) -> str:
    """Writes the file; a line that says what is in it."""
    metadata = {
        "model": model.name,
        "learning_rate": repr(args.learning_rate),
        "momentum": repr(args.momentum),
        "weight_decay": repr(args.weight_decay),
        "dropout": "off",
    }
    written = {}
    for name, tensor in tensors.items():
        written[name] = (tensor if name == "labels" else tensor.detach().float()).contiguous()
    save_file(written, args.output, metadata)
    shape = f"batch {args.batch}, image {model.input}"
    return f"{args.output}: {model.name}, {shape}, {len(written)} tensors, loss {tensors['loss'].item():.6f}"


if __name__ == "__main__":
    print(export(arguments()))
