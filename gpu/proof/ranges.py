"""The ranges outside which a figure is a fault, each with its reason."""


class Range:
    """From `low` to `high`, both permitted; None: no bound. `scale` and `unit` are for people."""

    def __init__(self, low, high, why, scale=1, unit=""):
        self.low, self.high, self.why, self.scale, self.unit = low, high, why, scale, unit

    def holds(self, value):
        if value is None or value != value:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def text(self, value):
        return "unknown" if value is None else "%.4g%s" % (value * self.scale, self.unit)

    def bounds(self):
        low, high = (None if bound is None else "%.4g" % (bound * self.scale) for bound in (self.low, self.high))
        if low is None:
            return "up to %s%s" % (high, self.unit)
        if high is None:
            return "from %s%s" % (low, self.unit)
        return "%s to %s%s" % (low, high, self.unit)


PERCENT = {"scale": 100, "unit": " %"}
SECONDS = {"unit": " s"}

COLD_START = Range(
    None, 60, "the driver compiles some hundred small kernels once; longer means that it compiles more than those", **SECONDS
)
WARM_START = Range(None, 20, "the driver keeps what it compiled; what is left is opening libraries", **SECONDS)
WARM_OVER_COLD = Range(None, 1.1, "a second start that takes longer than the first found nothing in the driver's cache")

COPY_ROOF = Range(
    0.75,
    0.97,
    "copies reach 75 to 97 % of a datasheet's bandwidth; less is a slow copy, more was answered by a cache",
    **PERCENT
)
F32_ROOF = Range(
    0.35,
    1.0,
    "no f32 product beats the datasheet's f32: above it tensor cores computed; power limits alone take no two thirds",
    **PERCENT
)
TENSOR_ROOF = Range(
    0.9, None, "tensor cores are never slower than ordinary ones: less means that the precision did not reach them"
)

CLOSURE = Range(0.98, 1.03, "the marks of a step of many milliseconds cost nothing, and no part of it is lost between them")
SHARES = Range(99.9, 100.1, "conv, fc and other are all there is", unit=" %")
GROWTH = Range(1.0, None, "a larger batch never yields fewer images per second than a batch of one")

GRAPH_OVER_LEGACY = Range(
    0.5, 1.05, "the graph API has engines for the legacy functions' algorithms: slower means that the search lost the best"
)
LIVE_OVER_QUEUED_LARGE = Range(
    0.95, 1.1, "a step of many milliseconds keeps its queue full, however it is launched"
)
LIVE_OVER_QUEUED_SMALL = Range(
    0.95, None, "queued steps have no gaps between kernels: live ones cannot be faster by more than noise"
)

STEP_OVER_PYTORCH = Range(
    0.85,
    1.15,
    "both call cuDNN and cuBLAS for most of a step; graph-replayed, PyTorch has no gaps either",
)
CONV_POINTS = Range(
    -4, 4, "the same kernels take the same share of a step; a difference means that one of them computes something else", unit=" points"
)

OWN_KERNELS = Range(
    0.6,
    1.1,
    "kernels that only move data reach most of what a copy reaches; more than it means that a cache answered",
    **PERCENT
)
# Bytes below which a launch's fixed costs, and caches, decide.
LARGE_KERNEL = 32e6

# Batches from which on a closure is judged.
LARGE_BATCH = 128
