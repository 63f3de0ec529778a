"""A layertime model file (docs/networks.md) as a PyTorch network: reading it, drawing parameters, and the forward pass.

Written for the references (`export.py`, f64) and for the speed comparison (`benches/peer_pytorch.py`, f32), so that both
are about the same network. It reads a file that layertime accepts; it is not the place where files are validated.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # before Python 3.11; pip brings its own
    from pip._vendor import tomli as tomllib

import torch
import torch.nn.functional as F

MODELS = Path(__file__).resolve().parents[2] / "src" / "models"
IMAGE = "input"  # the name under which a layer's `inputs` may ask for the image

# The options of each kind with their defaults; None: the file must give it.
OPTIONS = {
    "conv": {"channels": None, "kernel": None, "stride": 1, "pad": 0, "dilation": 1, "groups": 1, "bias": True},
    "conv_transpose": {
        "channels": None, "kernel": None, "stride": 1, "pad": 0, "output_padding": 0, "dilation": 1, "groups": 1, "bias": True,
    },
    "fc": {"outputs": None, "bias": True},
    "maxpool": {"kernel": None, "stride": 0, "pad": 0, "dilation": 1, "ceil": False},
    "avgpool": {"kernel": None, "stride": 0, "pad": 0, "ceil": False, "count_include_pad": True},
    "lrn": {"size": None, "alpha": None, "beta": None, "k": None, "within_channel": False},
    "dropout": {"p": None},
    "dropout2d": {"p": None},
    "stochastic_depth": {"p": None},
    "batchnorm": {"eps": 1e-5, "momentum": 0.1},
    "layernorm": {"eps": 1e-5},
    "scale": {"bias": False},
    "prelu": {"shared": False},
    "slice": {"from": None, "channels": None},
    "channel_shuffle": {"groups": None},
    "pad_channels": {"before": 0, "after": 0},
    "leaky_relu": {"slope": 0.01},
    "elu": {"alpha": 1.0},
    "softmax_loss": {"loss_weight": 1.0},
} | {kind: {} for kind in ("flatten", "add", "multiply", "concat", "max_unpool")}

# Kinds whose weights are one number for each channel.
PER_CHANNEL = ("batchnorm", "layernorm", "scale")

# Activation functions without options.
FUNCTIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "gelu": F.gelu,
}
OPTIONS |= {kind: {} for kind in FUNCTIONS}


@dataclass
class Layer:
    name: str
    kind: str
    inputs: list[str]
    options: dict = field(default_factory=dict)

    @property
    def group(self) -> str:
        return {"conv": "conv", "conv_transpose": "conv", "fc": "fc"}.get(self.kind, "other")


@dataclass
class Model:
    name: str
    input: list[int]  # channels, height, width
    layers: list[Layer]


def read(model: str, image: int | None = None) -> Model:
    """A built-in's name or a file; `image` replaces the file's height and width."""
    path = Path(model) if model.endswith(".toml") else MODELS / f"{model}.toml"
    described = tomllib.loads(path.read_text())
    channels, height, width = described["input"]
    layers, before = [], IMAGE
    for entry in described["layer"]:
        name, kind = entry.pop("name"), entry.pop("kind")
        inputs = entry.pop("inputs", [before])
        options = {"output": entry.pop("output")} if "output" in entry else dict(OPTIONS[kind])
        unknown = entry.keys() - options.keys()
        options |= entry
        missing = [key for key, value in options.items() if value is None]
        if unknown or missing:
            raise SystemExit(f"{path}: layer {name}: unknown keys {sorted(unknown)}, missing keys {missing}")
        layers.append(Layer(name, kind, inputs, options))
        before = name
    return Model(described["name"], [channels, image or height, image or width], layers)


def pair(value) -> list[int]:
    return value if isinstance(value, list) else [value] * 2


def pads(shape, o: dict) -> list[int]:
    """Padding at the top, left, bottom and right."""
    if isinstance(o["pad"], list) and len(o["pad"]) == 4:
        return o["pad"]
    if o["pad"] != "same":
        return pair(o["pad"]) * 2
    # TensorFlow's rule: as many windows as strides fit into the image, an odd zero at the end.
    sides = zip(shape, pair(o["kernel"]), pair(o["stride"] or o["kernel"]), pair(o.get("dilation", 1)))
    totals = [max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0) for size, k, s, d in sides]
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def padded(x: torch.Tensor, o: dict, value: float = 0.0) -> tuple[torch.Tensor, list[int]]:
    """The padding that PyTorch's functions take, equal on opposite sides; other padding is in the tensor already."""
    top, left, bottom, right = pads(x.shape[2:], o)
    if (top, left) == (bottom, right):
        return x, [top, left]
    return F.pad(x, [left, right, top, bottom], value=value), [0, 0]


def average(x: torch.Tensor, o: dict) -> torch.Tensor:
    """Means of windows: over padding that differs on opposite sides as sums over numbers of places."""
    windows = o["kernel"], o["stride"] or o["kernel"]
    before, pad = padded(x, o)
    if before is x:
        return F.avg_pool2d(x, *windows, pad, o["ceil"], count_include_pad=o["count_include_pad"])
    if o["count_include_pad"]:
        return F.avg_pool2d(before, *windows, ceil_mode=o["ceil"])
    inside, _ = padded(torch.ones_like(x), o)
    return F.avg_pool2d(before, *windows, ceil_mode=o["ceil"]) / F.avg_pool2d(inside, *windows, ceil_mode=o["ceil"])


def apply(layer: Layer, xs: list[torch.Tensor], weight=None, bias=None, labels=None, training=False) -> torch.Tensor:
    """One layer's forward pass. Always a new tensor object, so that each layer's output has a gradient of its own.

    `training` turns dropout on; batch normalisation uses the batch's statistics in any case.
    """
    o, x = layer.options, xs[0]
    match layer.kind:
        case "conv":
            x, pad = padded(x, o)
            return F.conv2d(x, weight, bias, o["stride"], pad, o["dilation"], o["groups"])
        case "conv_transpose":
            top, left, bottom, right = pads(x.shape[2:], o)
            if (top, left) == (bottom, right):
                window = o["stride"], [top, left], o["output_padding"], o["groups"], o["dilation"]
                return F.conv_transpose2d(x, weight, bias, *window)
            # PyTorch has one number for opposite sides: cut off here.
            y = F.conv_transpose2d(x, weight, None, o["stride"], 0, 0, o["groups"], o["dilation"])
            down, across = pair(o["output_padding"])
            y = F.pad(y, [-left, across - right, -top, down - bottom])
            return y if bias is None else y + bias.view(1, -1, 1, 1)
        case "fc":
            return F.linear(x.flatten(1), weight, bias)
        case "leaky_relu":
            return F.leaky_relu(x, o["slope"])
        case "elu":
            return F.elu(x, o["alpha"])
        case function if function in FUNCTIONS:
            return FUNCTIONS[function](x)
        case "maxpool":
            before, pad = padded(x, o, -math.inf)
            window = o["kernel"], o["stride"] or o["kernel"], pad
            y, places = F.max_pool2d(before, *window, o["dilation"], o["ceil"], return_indices=True)
            y.pool = places, window, x.shape[2:]  # for max_unpool, which takes padding that is equal on opposite sides
            return y
        case "avgpool" if "output" in o:
            return F.adaptive_avg_pool2d(x, o["output"])
        case "avgpool":
            return average(x, o)
        case "lrn" if o["within_channel"]:
            # Caffe's: the mean over a square of pixels counts those beyond the image as zeros.
            means = F.avg_pool2d(x * x, o["size"], 1, o["size"] // 2)
            return x * (o["k"] + o["alpha"] * means) ** -o["beta"]
        case "lrn":
            return F.local_response_norm(x, o["size"], o["alpha"], o["beta"], o["k"])
        case "dropout":
            return F.dropout(x, o["p"]) if training else x.view_as(x)
        case "batchnorm":
            return F.batch_norm(x, None, None, weight, bias, training=True, eps=o["eps"])
        case "dropout2d":
            return F.dropout2d(x, o["p"]) if training else x.view_as(x)
        case "stochastic_depth":
            return x * (torch.rand(x.shape[0], 1, 1, 1) >= o["p"]) / (1 - o["p"]) if training else x.view_as(x)
        case "layernorm":
            normal = F.layer_norm(x.movedim(1, -1), x.shape[1:2], weight, bias, o["eps"])
            return normal.movedim(-1, 1)
        case "prelu":
            return F.prelu(x, weight)
        case "slice":
            return x[:, o["from"] : o["from"] + o["channels"]]
        case "channel_shuffle":
            return F.channel_shuffle(x, o["groups"])
        case "pad_channels":
            return F.pad(x, [0, 0, 0, 0, o["before"], o["after"]])
        case "scale":
            per_channel = [1, -1] + [1] * (x.dim() - 2)
            y = x * weight.view(per_channel)
            return y if bias is None else y + bias.view(per_channel)
        case "flatten":
            return x.reshape(x.shape[0], -1).view(x.shape[0], -1)
        case "add":
            return sum(xs[1:], start=x)
        case "max_unpool":
            places, window, size = xs[1].pool
            return F.max_unpool2d(x, places, *window, output_size=size)
        case "multiply":
            return x * xs[1]
        case "concat":
            return torch.cat(xs, dim=1)
        case "softmax_loss":
            return o["loss_weight"] * F.cross_entropy(x.flatten(1), labels)
        case kind:
            raise SystemExit(f"layer {layer.name}: unknown kind {kind}")


def forward(model: Model, parameters: dict, image: torch.Tensor, labels: torch.Tensor, training=False) -> dict:
    """Every layer's output by name; the losses' are numbers, times their weights."""
    outputs = {IMAGE: image}
    for layer in model.layers:
        xs = [outputs[name] for name in layer.inputs]
        outputs[layer.name] = apply(layer, xs, *parameters.get(layer.name, (None, None)), labels, training)
    return outputs


def weight_shape(layer: Layer, x: torch.Tensor) -> list[int] | None:
    """conv [K, C/groups, R, S], fc [out, in], batchnorm [C]; None for a layer without weights."""
    o = layer.options
    if layer.kind == "conv":
        return [o["channels"], x.shape[1] // o["groups"], *pair(o["kernel"])]
    if layer.kind == "conv_transpose":
        return [x.shape[1], o["channels"] // o["groups"], *pair(o["kernel"])]
    if layer.kind == "fc":
        return [o["outputs"], math.prod(x.shape[1:])]
    if layer.kind == "prelu":
        return [1 if o["shared"] else x.shape[1]]
    return [x.shape[1]] if layer.kind in PER_CHANNEL else None


def shapes(model: Model, batch: int) -> tuple[dict, dict]:
    """Per layer the shape of its output, and of its weights where it has any. Computes nothing (meta tensors)."""
    outputs = {IMAGE: torch.empty(batch, *model.input, device="meta")}
    weights = {}
    for layer in model.layers:
        xs = [outputs[name] for name in layer.inputs]
        weight = None
        if shape := weight_shape(layer, xs[0]):
            weights[layer.name] = shape
            weight = torch.empty(shape, device="meta")
        labels = torch.empty(batch, dtype=torch.long, device="meta")
        outputs[layer.name] = apply(layer, xs, weight, labels=labels)
    return {name: list(x.shape) for name, x in outputs.items()}, weights


def draw_batch(model: Model, batch: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """f32 images from a normal distribution, and i64 labels over the classes that the loss is given."""
    outputs, _ = shapes(model, batch)
    classes = math.prod(outputs[model.layers[-1].inputs[0]][1:])
    image = torch.randn(batch, *model.input, generator=generator)
    return image, torch.randint(classes, (batch,), generator=generator)


def draw_parameters(model: Model, image: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> dict:
    """f32 (weight, bias or None) of every layer that has weights, by name.

    Weights are normal and scaled so that each conv's and fc's output has a deviation of 1 on this batch: then neither the
    activations nor the loss saturate, however deep the network. Biases, and batchnorm's weights around 1, get a deviation of
    0.1, so that each of them shows in the result.
    """
    outputs, parameters = {IMAGE: image}, {}
    for layer in model.layers:
        xs = [outputs[name] for name in layer.inputs]
        weight = bias = None
        if shape := weight_shape(layer, xs[0]):
            weight = torch.randn(shape, generator=generator)
            weight = 1 + 0.1 * weight if layer.kind in PER_CHANNEL else weight / apply(layer, xs, weight).std()
            if layer.options.get("bias", layer.kind != "prelu"):
                biases = layer.options["channels"] if layer.kind == "conv_transpose" else shape[0]
                bias = 0.1 * torch.randn(biases, generator=generator)
            parameters[layer.name] = (weight, bias)
        outputs[layer.name] = apply(layer, xs, weight, bias, labels)
    return parameters
