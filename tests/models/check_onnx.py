"""Exports networks from torchvision as ONNX files and checks that layertime reads the same networks from them.

    pip install torch torchvision onnx onnxscript
    python tests/models/check_onnx.py target/release/layertime                       # all below: half an hour
    python tests/models/check_onnx.py target/release/layertime resnet18 vit_b_16 …   # some

Each network is exported by TorchScript and by dynamo, for training and for inference. What `layertime inspect` counts must
equal PyTorch's counts to the last digit: parameters (for inference those with batch norms folded) and forward multiply-adds.
Transformers must be refused in one line. Prints a line for each network; exit code 1 if anything differs.

With --folder DIR the files stay there, and those that are there already are taken.
"""

import argparse
import csv
import io
import os
import subprocess
import sys
import tempfile
import warnings

from export_onnx import FORMS, counts, export

NETWORKS = """
    alexnet vgg11 vgg11_bn vgg13 vgg16 vgg19_bn resnet18 resnet50 resnet152 resnext50_32x4d wide_resnet50_2 densenet121 densenet201
    squeezenet1_0 squeezenet1_1 googlenet inception_v3 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large shufflenet_v2_x0_5
    shufflenet_v2_x1_0 shufflenet_v2_x2_0 efficientnet_b0 efficientnet_b4 efficientnet_v2_s mnasnet0_5 mnasnet1_0 regnet_x_400mf
    regnet_y_400mf regnet_y_8gf convnext_tiny convnext_base
""".split()
REFUSED = ["vit_b_16", "swin_t", "maxvit_t"]


def inspected(layertime, path):
    """Parameters and multiply-adds that layertime counts; or the lines with which it refuses the file."""
    done = subprocess.run([layertime, "inspect", path, "--csv"], capture_output=True, text=True)
    if done.returncode != 0:
        return done.stderr.splitlines() + done.stdout.splitlines()
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    return tuple(sum(int(row[column]) for row in rows) for column in ("parameters", "macs_forward"))


def fault(layertime, name, form, wanted, folder):
    """None where all is as it should be, or what is not."""
    path = os.path.join(folder, f"{name}.{'-'.join(form)}.onnx")
    if not os.path.exists(path):
        try:
            export(name, *form, folder)
        except Exception as error:
            return f"is not exported: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    found = inspected(layertime, path)
    if name in REFUSED:
        refused = isinstance(found, list) and len(found) == 1 and found[0].startswith("error: ")
        return None if refused else f"is not refused in one line: {found}"
    return None if found == wanted else f"gives {found} in place of {wanted}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layertime")
    parser.add_argument("networks", nargs="*", default=NETWORKS + REFUSED)
    parser.add_argument("--folder")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    faults = []
    print("network, parameters, multiply-adds, " + ", ".join("-".join(form) for form in FORMS))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        for name in args.networks:
            macs, parameters = (0, {"train": 0, "eval": 0}) if name in REFUSED else counts(name)
            words = []
            for form in FORMS:
                found = fault(args.layertime, name, form, (parameters[form[1]], macs), folder)
                faults += [f"{name}, {'-'.join(form)}: {found}"] if found else []
                words.append("differs" if found else "refused" if name in REFUSED else "equal")
            print(f"{name}, {parameters['train']}, {macs}, {', '.join(words)}", flush=True)
    print("\n".join(faults) or "all as it should be")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
