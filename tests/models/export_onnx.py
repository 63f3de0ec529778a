"""Exports networks from torchvision as ONNX files without their weights, and counts what they have.

    pip install torch torchvision onnx onnxscript
    python tests/models/export_onnx.py tests/models/onnx                # the files that are committed
    python tests/models/export_onnx.py FOLDER resnet18 vgg16 …          # others, in all forms

Writes FOLDER/<network>.<exporter>-<mode>.onnx and FOLDER/counts.csv: parameters and forward multiply-adds of convolutions
and fully connected layers for one image, as PyTorch has them (modules' parameters, and hooks on their forward). An eval form
has the parameters of the network whose batch norms PyTorch itself has folded into the convolutions before them.

`check_onnx.py` exports any of torchvision's networks and checks what layertime makes of them.
"""

import csv
import io
import os
import sys
import warnings

import onnx
import torch
import torchvision
from torch.fx.experimental.optimization import fuse

FORMS = [("torchscript", "train"), ("torchscript", "eval"), ("dynamo", "train"), ("dynamo", "eval")]
# All forms of the small files, one of the large.
COMMITTED = {name: FORMS for name in ("alexnet", "resnet18", "squeezenet1_1", "vgg11_bn")} | {
    "mobilenet_v3_large": [("torchscript", "train")],
    "efficientnet_b0": [("torchscript", "eval")],
    "googlenet": [("torchscript", "eval")],
    "convnext_tiny": [("torchscript", "eval"), ("dynamo", "eval")],
    "shufflenet_v2_x1_0": [("torchscript", "eval")],
}
# What names a layer; the rest of the metadata are traces of the exporter's own code.
METADATA = {"pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"}


def network(name):
    """A network whose weights do not matter, but for exporters that join equal ones and leave out zeros: they are uniform, which
    is drawn fast."""
    no_init = lambda tensor, *args, **kwargs: tensor
    kept = {key: getattr(torch.nn.init, key) for key in dir(torch.nn.init) if key.endswith("_")}
    for key in kept:
        setattr(torch.nn.init, key, no_init)
    options = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    if options:
        options["init_weights"] = False
    model = getattr(torchvision.models, name)(weights=None, **options)
    for key, function in kept.items():
        setattr(torch.nn.init, key, function)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.5, 1.5)
    return model


def image(name):
    side = 299 if name == "inception_v3" else 224
    return torch.zeros(1, 3, side, side)


def multiply_adds(model, x):
    """Multiply-adds of one forward pass for one image, layer by layer in sum."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        if isinstance(module, torch.nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()
        elif isinstance(module, torch.nn.Linear):
            total += output[0].numel() * module.in_features

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    with torch.no_grad():
        model.eval()(x)
    for hook in hooks:
        hook.remove()
    return total


def counts(name):
    """Multiply-adds, and parameters by form: train, and eval with batch norms folded."""
    model = network(name)
    total = lambda model: sum(parameter.numel() for parameter in model.parameters())
    macs = multiply_adds(model, image(name))
    return macs, {"train": total(model), "eval": total(fuse(model.eval()))}


def stripped(file):
    """The model without numbers of large tensors and without traces."""
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 256:
            tensor.raw_data = b""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key in METADATA]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
        node.doc_string = ""
    return model


def export(name, exporter, mode, folder):
    model, x = network(name), image(name)
    model.train(mode == "train")
    file = io.BytesIO()
    if exporter == "torchscript":
        training = torch.onnx.TrainingMode.TRAINING if mode == "train" else torch.onnx.TrainingMode.EVAL
        torch.onnx.export(model, (x,), file, dynamo=False, training=training, do_constant_folding=mode == "eval",
                          input_names=["image"], dynamic_axes={"image": {0: "batch"}})
    else:
        x = x.repeat(2, 1, 1, 1)
        # Optimising folds batch norms into convolutions, in training form too.
        torch.onnx.export(model, (x,), file, dynamo=True, verbose=False, optimize=mode == "eval", input_names=["image"],
                          dynamic_shapes=({0: torch.export.Dim("batch")},))
    file.seek(0)
    path = os.path.join(folder, f"{name}.{exporter}-{mode}.onnx")
    onnx.save(stripped(file), path)
    return path


def main():
    folder, names = sys.argv[1], sys.argv[2:]
    warnings.simplefilter("ignore")
    os.makedirs(folder, exist_ok=True)
    committed = not names
    with open(os.path.join(folder, "counts.csv"), "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file", "parameters", "forward_macs"])
        for name in names or COMMITTED:
            macs, parameters = counts(name)
            for exporter, mode in FORMS if names else COMMITTED[name]:
                try:
                    path = export(name, exporter, mode, folder)
                except Exception as error:
                    print(name, exporter, mode, "not exported:", str(error).splitlines()[0] if str(error) else type(error))
                    continue
                rows.writerow([os.path.basename(path), parameters[mode], macs])
                file.flush()
                print(path, parameters[mode], macs, os.path.getsize(path), flush=True)


if __name__ == "__main__":
    main()
