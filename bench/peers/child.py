"""What the Python children share. Their argument is a JSON object, of which "threads" and "cpu" are read here. They read one JSON call per line from standard input and answer with one JSON line; work.ts is the other side."""

import json
import sys
import time

import torch
import torch._dynamo.config
import torch._inductor.config

# A float32 peer computes in float32. cuDNN would use TF32 for convolutions unasked, and on an H200 the codec's audio was then off by 1e-3.
torch.backends.cudnn.allow_tf32 = False

job = json.loads(sys.argv[1])
torch._dynamo.config.recompile_limit = 64  # each convolution of the codec is compiled by itself; after 8 the others would run uncompiled
device = "cuda" if torch.cuda.is_available() and not job.get("cpu") else "cpu"
if device == "cpu":
    torch.set_num_threads(job["threads"])
    torch._inductor.config.freezing = True  # what is compiled has its weights packed for this processor; on a GPU it stays as it comes


def device_name():
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


def timed(run, times):
    """Milliseconds of one run by the clock, and of processor time, which for CUDA is the host's only."""
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        run()
    if device == "cuda":
        torch.cuda.synchronize()
    return {"ms": 1000 * (time.perf_counter() - start) / times, "cpuMs": 1000 * (time.process_time() - cpu) / times}


def serve(answer):
    with torch.inference_mode():
        for line in sys.stdin:
            try:
                got = {"value": answer(json.loads(line))}
            except Exception as error:
                got = {"failed": f"{type(error).__name__}: {str(error)[:500]}"}
            print(json.dumps(got), flush=True)
