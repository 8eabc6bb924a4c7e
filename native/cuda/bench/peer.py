"""PyTorch on the same network, grid and GPU: peer.py <edge> <channels> <repeats>, a JSON line for every variant.

Variants: fp32, TF32 and bf16 autocast, each with contiguous tensors and channels_last_3d, a training step also with checkpoint_sequential.
cuDNN chooses its fastest algorithms; the image and the labels are on the GPU; every repetition is timed by events."""
import json
import statistics
import sys
from contextlib import nullcontext

import torch
from torch.utils.checkpoint import checkpoint_sequential

edge, channels, repeats = (int(word) for word in sys.argv[1:4])
DILATIONS = (1, 2, 4, 8, 16, 8, 4, 2, 1)
CHECKPOINTS = 3
torch.backends.cudnn.benchmark = True
torch.manual_seed(1)


def network(memory_format):
    blocks, inputs = [], 1
    for dilation in DILATIONS:
        convolution = torch.nn.Conv3d(inputs, channels, 3, padding=dilation, dilation=dilation)
        blocks.append(torch.nn.Sequential(convolution, torch.nn.BatchNorm3d(channels), torch.nn.ELU(inplace=True)))
        inputs = channels
    blocks.append(torch.nn.Conv3d(channels, 3, 1))
    return torch.nn.Sequential(*blocks).cuda().to(memory_format=memory_format)


def measure(run):
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        seconds.append(start.elapsed_time(end) / 1e3)
    return seconds, torch.cuda.max_memory_allocated()


def variant(precision, layout, what, checkpointed):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    memory_format = torch.channels_last_3d if layout == "channels_last_3d" else torch.contiguous_format
    model = network(memory_format)
    image = torch.rand(1, 1, edge, edge, edge, device="cuda").to(memory_format=memory_format)
    truth = torch.randint(0, 3, (1, edge, edge, edge), device="cuda")
    loss = torch.nn.CrossEntropyLoss(torch.tensor([0.2, 1.0, 0.8], device="cuda"), label_smoothing=0.01)
    autocast = torch.autocast("cuda", torch.bfloat16) if precision == "bf16" else nullcontext()

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

    return measure(step if what == "training step" else forward)


for precision in ("fp32", "tf32", "bf16"):
    for layout in ("contiguous", "channels_last_3d"):
        for what, checkpointed in (("forward", False), ("training step", False), ("training step", True)):
            line = {"peer": f"torch {torch.__version__}", "precision": precision, "layout": layout, "what": what,
                    "checkpointed": checkpointed, "channels": channels, "edge": edge}
            try:
                seconds, peak = variant(precision, layout, what, checkpointed)
                line |= {"medianSeconds": statistics.median(seconds), "bytes": peak, "seconds": seconds}
            except torch.cuda.OutOfMemoryError:
                line |= {"failed": "out of memory"}
            torch.cuda.empty_cache()
            print(json.dumps(line), flush=True)
