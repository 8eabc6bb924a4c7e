"""How many times faster ours is than the best variant of PyTorch: ratios.py <results.jsonl>, JSON lines."""
import json
import sys

lines = [json.loads(line) for line in open(sys.argv[1])]
timed = [line for line in lines if "medianSeconds" in line]
for what in ("forward", "training step"):
    for ours, theirs in (("fp32", ("fp32", "tf32")), ("bf16", ("bf16",))):
        own = [line["medianSeconds"] for line in timed
               if "peer" not in line and line["what"] == what and line["precision"] == ours]
        peers = [line for line in timed if line.get("precision") in theirs and "peer" in line and line["what"] == what]
        if not own or not peers:
            continue
        best = min(peers, key=lambda line: line["medianSeconds"])
        named = ("precision", "layout", "checkpointed", "search", "repeats", "medianSeconds")
        print(json.dumps({"ratio": best["medianSeconds"] / min(own), "what": what, "precision": ours, "seconds": min(own),
                          "peer": {name: best[name] for name in named}}))
