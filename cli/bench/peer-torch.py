"""PyTorch on the same network, image and labels. Arguments: folder, edge, channels, threads, forward or step, layer or none
(a checkpoint a layer). A JSON line on standard input asks (open, run, peak), one on standard output answers."""
import json
import os
import resource
import sys
import time

import numpy
import torch
from torch.utils.checkpoint import checkpoint

folder, edge, channels, threads, task, checkpointing = sys.argv[1:]
edge, channels, threads = int(edge), int(channels), int(threads)
torch.set_num_threads(threads)

layers, inputs = [], 1
for dilation in (1, 2, 4, 8, 16, 8, 4, 2, 1):
    convolution = torch.nn.Conv3d(inputs, channels, 3, padding=dilation, dilation=dilation)
    layers.append(torch.nn.Sequential(convolution, torch.nn.BatchNorm3d(channels), torch.nn.ELU(inplace=True)))
    inputs = channels
model = torch.nn.Sequential(*layers, torch.nn.Conv3d(channels, 3, 1))


def read(name, dtype):
    return torch.from_numpy(numpy.fromfile(os.path.join(folder, name), dtype))


# Flat, in the order of the state_dict.
flat, at = read("model", numpy.float32), 0
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(flat[at:at + parameter.numel()].view_as(parameter))
        at += parameter.numel()
image = read("images", numpy.uint8).float().div(255).view(1, 1, edge, edge, edge)
loss = torch.nn.CrossEntropyLoss(torch.tensor([0.2, 1.0, 0.8]), label_smoothing=0.01)


def forward():
    model.eval()
    with torch.no_grad():
        started = time.perf_counter()
        logits = model(image)
        seconds = time.perf_counter() - started
        counts = torch.bincount(logits.argmax(1).flatten(), minlength=3)
    return {"seconds": seconds, "outcome": (counts / counts.sum()).tolist()}


def step():
    model.train()
    truth = read("labels", numpy.uint8).long().view(1, edge, edge, edge)
    started = time.perf_counter()
    model.zero_grad()
    if checkpointing == "layer":
        value = image.requires_grad_()
        for layer in model:
            value = checkpoint(layer, value)
    else:
        value = model(image)
    result = loss(value, truth)
    result.backward()
    return {"seconds": time.perf_counter() - started, "outcome": [result.item()]}


for line in sys.stdin:
    asked = json.loads(line)["do"]
    if asked == "open":
        answer = {"version": torch.__version__}
    elif asked == "peak":
        answer = {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    else:
        answer = step() if task == "step" else forward()
    print(json.dumps(answer), flush=True)
