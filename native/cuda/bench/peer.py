"""PyTorch on the same network, grid and GPU, a JSON line for every variant:
peer.py <edge> <channels> <repeats> [seconds a variant, 4] [seconds in all, 600] [results.jsonl of an earlier round]

Variants: fp32, TF32 and bf16 autocast, each with contiguous tensors and channels_last_3d, a training step also with checkpoint_sequential;
all with the algorithms that cuDNN guesses and with those that it finds by trying ("search", torch.backends.cudnn.benchmark). A search can
take minutes, so the guesses come first, then the search for the fastest variant of each kind, then the rest; after an earlier round, first
the fastest of each kind again, then what was not measured yet. A line says what there was no time for.

A variant runs once before it is timed, which is when cuDNN chooses, then `repeats` times or for its seconds, at least once. The image and
the labels are on the GPU. Every repetition is timed by events; ours, in meshfl_cuda_time, from call to return, which is longer.

Variants run in a fork that is ended when one takes too long or fails; only forks touch CUDA, and PyTorch is loaded once. Without a GPU all
of it runs on the CPU, to try the script."""
import json
import multiprocessing
import statistics
import sys
import time
from contextlib import nullcontext

import torch
from torch.utils.checkpoint import checkpoint_sequential

edge, channels, repeats = (int(word) for word in sys.argv[1:4])
variant_seconds, all_seconds = (float(given) for given in (*sys.argv[4:6], *("4", "600")[len(sys.argv[4:6]):]))
earlier_results = sys.argv[6] if len(sys.argv) > 6 else None
DILATIONS = (1, 2, 4, 8, 16, 8, 4, 2, 1)
CHECKPOINTS = 3
# Of all seconds, the most that one variant may take; of the seconds that are left, the most that a search may.
MOST_OF_ALL, MOST_OF_REST = 0.2, 0.5
WORKS = (("training step", False), ("forward", False), ("training step", True))
PRECISIONS = ("tf32", "bf16", "fp32")
LAYOUTS = ("contiguous", "channels_last_3d")
STARTED = time.monotonic()


def network(memory_format, device):
    blocks, inputs = [], 1
    for dilation in DILATIONS:
        convolution = torch.nn.Conv3d(inputs, channels, 3, padding=dilation, dilation=dilation)
        blocks.append(torch.nn.Sequential(convolution, torch.nn.BatchNorm3d(channels), torch.nn.ELU(inplace=True)))
        inputs = channels
    blocks.append(torch.nn.Conv3d(channels, 3, 1))
    return torch.nn.Sequential(*blocks).to(device).to(memory_format=memory_format)


def seconds_of(run, device):
    if device == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def measure(run, device):
    first = seconds_of(run, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds, begun = [], time.monotonic()
    while len(seconds) < repeats and (not seconds or time.monotonic() - begun < variant_seconds):
        seconds.append(seconds_of(run, device))
    return {"medianSeconds": statistics.median(seconds), "repeats": len(seconds), "firstSeconds": first,
            "bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None, "seconds": seconds}


def result_of(precision, layout, what, checkpointed, search):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = search
    if device == "cuda":
        torch.cuda.empty_cache()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    memory_format = torch.channels_last_3d if layout == "channels_last_3d" else torch.contiguous_format
    model = network(memory_format, device)
    image = torch.rand(1, 1, edge, edge, edge, device=device).to(memory_format=memory_format)
    truth = torch.randint(0, 3, (1, edge, edge, edge), device=device)
    loss = torch.nn.CrossEntropyLoss(torch.tensor([0.2, 1.0, 0.8], device=device), label_smoothing=0.01)
    autocast = torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()

    def forward():
        model.eval()
        with torch.no_grad(), autocast:
            model(image).argmax(1)

    def step():
        model.train()
        model.zero_grad(set_to_none=True)
        with autocast:
            if checkpointed:
                output = checkpoint_sequential(model, CHECKPOINTS, image, use_reentrant=False)
            else:
                output = model(image)
            value = loss(output, truth)
        value.backward()

    return measure(step if what == "training step" else forward, device)


def work(pipe):
    while True:
        variant = pipe.recv()
        try:
            pipe.send(result_of(**variant))
        except Exception as error:  # of memory, of cuDNN, of an option that this PyTorch has not: a line, and the next variant
            pipe.send({"failed": f"{type(error).__name__}: {error}".splitlines()[0]})


class Worker:
    """cuDNN remembers what a search found, so a worker either searches or does not."""

    def __init__(self, search):
        context = multiprocessing.get_context("fork")
        self.search = search
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def result(self, variant, limit):
        try:
            self.pipe.send(variant)
            return self.pipe.recv() if self.pipe.poll(limit) else {"failed": "no time", "limitSeconds": limit}
        except (EOFError, ConnectionError):
            self.process.join()
            return {"failed": f"its process ended with {self.process.exitcode}"}

    def end(self):
        self.process.kill()
        self.process.join()
        self.pipe.close()


def variant_of(line):
    return {name: line[name] for name in ("precision", "layout", "what", "checkpointed", "search")}


def earlier():
    """Of an earlier round: what was measured, as [(variant, its median)]."""
    if not earlier_results:
        return []
    lines = [json.loads(line) for line in open(earlier_results)]
    return [(variant_of(line), line["medianSeconds"]) for line in lines if "peer" in line and "medianSeconds" in line]


def fastest(measured):
    """Of training steps and of forward passes, of fp32 with TF32 and of bf16."""
    for what in ("training step", "forward"):
        for precisions in (("fp32", "tf32"), ("bf16",)):
            of_kind = [pair for pair in measured if pair[0]["what"] == what and pair[0]["precision"] in precisions]
            if of_kind:
                yield min(of_kind, key=lambda pair: pair[1])[0]


def in_order(measured):
    """All variants that are to be run; `measured` grows meanwhile."""
    every = [{"precision": precision, "layout": layout, "what": what, "checkpointed": checkpointed, "search": search}
             for what, checkpointed in WORKS for search in (False, True) for precision in PRECISIONS for layout in LAYOUTS]
    seen = [variant for variant, _ in measured]
    yield from fastest(list(measured))

    def unseen(candidates):
        for variant in candidates:
            if variant not in seen:
                seen.append(variant)
                yield variant

    plain = [variant for variant in every if not variant["checkpointed"]]
    yield from unseen(variant for variant in plain if not variant["search"])
    yield from unseen([variant | {"search": True} for variant in fastest(measured)])
    yield from unseen(plain)
    yield from unseen(every)


def main():
    measured = earlier()
    worker = None
    for variant in in_order(measured):
        left = all_seconds - (time.monotonic() - STARTED)
        if left <= 0:
            result = {"skipped": "no time"}
        else:
            if worker and worker.search != variant["search"]:
                worker.end()
                worker = None
            worker = worker or Worker(variant["search"])
            result = worker.result(variant, MOST_OF_REST * left if variant["search"] else min(left, MOST_OF_ALL * all_seconds))
        if "medianSeconds" in result:
            measured.append((variant, result["medianSeconds"]))
        elif worker:  # what failed may have left the GPU in any state
            worker.end()
            worker = None
        line = {"peer": f"torch {torch.__version__}", **variant, "channels": channels, "edge": edge}
        print(json.dumps(line | result), flush=True)
    if worker:
        worker.end()


main()
