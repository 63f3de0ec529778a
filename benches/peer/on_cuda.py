"""PyTorch's step on a GPU: settings, events as a clock, and the whole step as a CUDA graph."""

import statistics
import time

import torch

WARM_UP = 5  # steps; the first of them choose algorithms


def prepare(precision: str) -> None:
    """The settings of a user who cares for speed. Under `default` TF32 is as PyTorch has it: on in cuDNN, off in cuBLAS."""
    torch.backends.cudnn.benchmark = True
    if precision == "f32":
        torch.backends.cudnn.allow_tf32 = False


class Clock:
    """Time between events on the stream, by (layer, phase); as events are shared, no time between pieces is lost."""

    def __init__(self):
        self.marks = []
        self.mark(None, None)

    def mark(self, layer: str | None, phase: str | None) -> None:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.marks.append(((layer, phase), event))

    def read(self) -> dict:
        """Microseconds, once all of it has run."""
        torch.cuda.synchronize()
        events = [event for _, event in self.marks]
        lengths = [before.elapsed_time(after) * 1e3 for before, after in zip(events, events[1:])]
        return {piece: us for (piece, _), us in zip(self.marks[1:], lengths)}


def timed(step, seconds: float) -> list[float]:
    """Microseconds of whole steps, one after the other, for so long."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 10 or time.perf_counter() < end:
        clock = Clock()
        step()
        clock.mark("whole", "step")
        times.extend(clock.read().values())
    return times


def whole_steps(training, seconds: float) -> dict:
    """Times of steps launched one operation at a time, and the median of steps replayed as one graph, or why there is no graph."""
    optimizer = training.optimizer(*training.parameters)

    def eager() -> None:
        training.step(optimizer)
        optimizer.zero_grad()

    for _ in range(WARM_UP):
        eager()
    times = timed(eager, seconds)
    try:
        graph = captured(training, optimizer)
        return {"times": times, "graph_us": statistics.median(timed(graph.replay, seconds))}
    except RuntimeError as fault:
        return {"times": times, "graph_us": None, "graph_fault": str(fault).splitlines()[0]}


def captured(training, optimizer: torch.optim.SGD) -> torch.cuda.CUDAGraph:
    """The step as a graph. It is warmed up on a stream of its own, and begins without gradients, so that it makes them anew."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            optimizer.zero_grad()
            training.step(optimizer)
    torch.cuda.current_stream().wait_stream(stream)
    optimizer.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        training.step(optimizer)
    for _ in range(WARM_UP):
        graph.replay()
    return graph
