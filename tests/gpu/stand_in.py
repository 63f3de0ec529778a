#!/usr/bin/env -S python3 -SE
"""Stands in for layertime, nvidia-smi, nvcc, ncu, compute-sanitizer and a Python with PyTorch: which one, its own name tells.

STAND_IN is a file of JSON with what is to be different from a sound H100: {"fail": [word…], "hang": [word…], "garble": [word…],
"figures": {name: value}}. A word is a program's name, or one that stands among its arguments.
"""

import json
import os
import signal
import sys
import time

NAME, WORDS = os.path.basename(sys.argv[0]), sys.argv[1:]

# An H100 SXM: 989 TFLOP/s in TF32's half, 67 in f32, 3350 GB/s.
SOUND = {
    "name": "NVIDIA H100 80GB HBM3",
    "capability": "9.0",
    "power": "700 W",
    "power_after": "700 W",
    "smi_power": "700.00 W",
    "closure": 1.0,
    "conv": 60.0,
    "copy": 0.9 * 3350e9,
    "f32": 0.8 * 66.9e12,
    "tf32": 300e12,
    "f16": 600e12,
    "bf16": 600e12,
    "graph": 1.0,
    "live": 1.02,
    "pytorch": 1000.0,
    "pytorch_conv": 61.0,
    "ncu": 0.8,
    "status": "ok",
}


def asked(what):
    words = [NAME, *WORDS]
    return any(word in words for word in SETTING.get(what, []))


def option(name, default=None):
    return WORDS[WORDS.index(name) + 1] if name in WORDS else default


def devices():
    counted = os.path.join(os.path.dirname(os.environ["STAND_IN"]), "counted")
    again = os.path.exists(counted)
    open(counted, "w").close()
    power = FIGURES["power_after" if again else "power"]
    print("cpu     A processor\n        cores: 2\n")
    if FIGURES["name"]:
        print("cuda:0  %s" % FIGURES["name"])
        print("        compute capability: %s" % FIGURES["capability"])
        print("        memory: 79.6 GiB\n        kernels: committed")
        print("        power limit: %s\n        ecc: on\n        sm clock: %d MHz\n" % (power, 1980 if again else 345))
        print("libraries\n        cuDNN: 9.28.1, /somewhere/libcudnn.so.9\n")
    else:
        print("missing for --device cuda\n        no NVIDIA driver: the loader finds no libcuda.so.1\n")


def run():
    """Writes a run's folder. A step takes 100 us and 7 more per image."""
    precision, batches = option("--precision"), [int(batch) for batch in option("--batch").split(",")]
    folder = os.path.join(option("--out"), "a-run")
    os.makedirs(folder, exist_ok=True)
    ceilings = {"copy_bytes_per_s": FIGURES["copy"], "gemm_flops_per_s": FIGURES[precision]}
    with open(os.path.join(folder, "run.json"), "w") as file:
        json.dump({"run_id": "a-run", "ceilings": ceilings}, file)
    stretched = FIGURES["graph"] if option("--cudnn") == "graph" else 1
    stretched *= FIGURES["live"] if option("--launch") == "live" else 1
    with open(os.path.join(folder, "summary.csv"), "w") as file:
        file.write("batch,group,phase,status,samples,median_us,share_pct,closure,mark_us,plain_step_us,images_per_s\n")
        if asked("garble"):
            file.write("1,all,all,ok,10,what,ever,1,1,not a number,1\n")
        for batch in batches if not asked("hang") else batches[:1]:
            us = (100 + 7 * batch) * stretched
            figures = (batch, FIGURES["status"], us, FIGURES["closure"], us, 1e6 * batch / us)
            file.write("%d,all,all,%s,10,%f,100,%f,2,%f,%f\n" % figures)
            for group, share in (("conv", FIGURES["conv"]), ("fc", 99 - FIGURES["conv"]), ("other", 1)):
                file.write("%d,%s,all,ok,10,1,%f,,,,\n" % (batch, group, share))


def layertime():
    if WORDS[0] == "devices":
        return devices()
    if WORDS[0] == "run":
        return run()
    print("PASS: 79 comparisons within their bounds; the nearest to its bound is output.conv1 of conv1, forward: 1e-6 of 1e-5")


def nvcc():
    print("sm_80\nsm_90")


def nvidia_smi():
    print("    Persistence Mode : Enabled\n    Current Power Limit : %s\n    GPU Current Temp : 40 C" % FIGURES["smi_power"])


def ncu():
    bytes_moved = 100e6
    ns = bytes_moved / (FIGURES["ncu"] * FIGURES["copy"]) * 1e9
    print('==PROF== Connected\n"ID","Kernel Name","dram__bytes.sum","gpu__time_duration.sum"\n"","","byte","ns"')
    print('"0","bias_add_f32","%d","%f"\n"1","bias_add_f32","50","2"' % (bytes_moved, ns))


def sanitizer():
    print("========= ERROR SUMMARY: 0 errors")


def pytorch():
    if "-c" not in WORDS:
        print("a warning of PyTorch's")
        shares = {"conv": FIGURES["pytorch_conv"], "fc": 99 - FIGURES["pytorch_conv"], "other": 1}
        print(json.dumps({"torch": "2.9", "step_us": 1100, "graph_us": FIGURES["pytorch"], "shares_pct": shares}))


PROGRAMS = {
    "layertime": layertime,
    "nvcc": nvcc,
    "nvidia-smi": nvidia_smi,
    "ncu": ncu,
    "compute-sanitizer": sanitizer,
    "torch": pytorch,
}

with open(os.environ["STAND_IN"]) as file:
    SETTING = json.load(file)
FIGURES = dict(SOUND, **SETTING.get("figures", {}))
if asked("fail"):
    print("error: it does not work")
    sys.exit(SETTING.get("code", 1))
PROGRAMS[NAME]()
sys.stdout.flush()
if asked("hang"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
