"""PyTorch on the same model, grid and threads: one JSON line a measurement."""
import json
import resource
import sys
import time

import torch

edge, channels, threads, repeats = (int(word) for word in sys.argv[1:5])
torch.set_num_threads(threads)
torch.manual_seed(1)
layers, inputs = [], 1
for dilation in (1, 2, 4, 8, 16, 8, 4, 2, 1):
    layers += [torch.nn.Conv3d(inputs, channels, 3, padding=dilation, dilation=dilation)]
    layers += [torch.nn.BatchNorm3d(channels), torch.nn.ELU(inplace=True)]
    inputs = channels
model = torch.nn.Sequential(*layers, torch.nn.Conv3d(channels, 3, 1))
image = torch.rand(1, 1, edge, edge, edge)
truth = torch.randint(0, 3, (1, edge, edge, edge))
loss = torch.nn.CrossEntropyLoss(torch.tensor([0.2, 1.0, 0.8]), label_smoothing=0.01)


def forward():
    model.eval()
    with torch.no_grad():
        model(image)


def step():
    model.train()
    model.zero_grad()
    loss(model(image), truth).backward()


def processor():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


for what, run in (("forward", forward), ("step", step)):
    run()
    seconds, processors = [], []
    for _ in range(repeats):
        start, before = time.perf_counter(), processor()
        run()
        seconds.append(time.perf_counter() - start)
        processors.append(processor() - before)
    print(json.dumps({"engine": f"torch {torch.__version__}", "grid": edge, "channels": channels, "threads": threads,
                      "what": what, "seconds": seconds, "processorSeconds": processors}), flush=True)
