"""Runs transformers' BarkModel.generate on whole sentences, greedy, with a given number of semantic tokens and the folder that both sides read.

    python generate_child.py '{"folder": …, "text": […], "tokens": …, "variant": "eager", "dtype": "float32", "threads": 2}'

Reads one JSON call per line and answers with one line (work.ts is the other side). Uses the GPU if there is one. `eager` is BarkModel.generate unchanged. `compiled` is
BarkModel.generate with the inner loop of its two causal stages, which takes no static cache, replaced by one that has it and a compiled step (CUDA
graphs on a GPU), and with the fine stage compiled. It never checks for the end token, so it never waits for the GPU; this favours it.
"""

import json
import os

import torch
from child import device, device_name, job, serve, timed
from transformers import BarkConfig, BarkModel, StaticCache
from transformers.models.bark.modeling_bark import BarkCausalModel
from transformers.utils import logging

BLOCK_SIZE, LONGEST_TEXT = 1024, 256
logging.set_verbosity_error()
dtype = getattr(torch, job["dtype"])
graphs = "reduce-overhead" if device == "cuda" else None
with open(os.path.join(job["folder"], "config.json")) as file:
    config = json.load(file)
# JavaScript writes 3.0 as 3, which transformers does not accept as a float.
config["codec_config"]["target_bandwidths"] = [float(b) for b in config["codec_config"]["target_bandwidths"]]
model = BarkModel.from_pretrained(job["folder"], config=BarkConfig(**config), dtype=dtype, local_files_only=True).to(device).eval()
text = torch.zeros(1, LONGEST_TEXT, dtype=torch.long)
text[0, : len(job["text"])] = torch.tensor(job["text"])
mask = (torch.arange(LONGEST_TEXT) < len(job["text"])).long()[None]
text, mask = text.to(device), mask.to(device)

compiled = {}


def greedy(self, ids, inputs_embeds=None, logits_processor=(), generation_config=None, max_new_tokens=None, **_):
    """What GenerationMixin.generate gives for do_sample=False, over a static cache."""
    if self not in compiled:
        compiled[self] = (torch.compile(self.forward, mode=graphs), StaticCache(config=self.config, max_cache_len=BLOCK_SIZE))
    forward, cache = compiled[self]
    for layer in cache.layers:
        if layer.is_initialized:
            layer.cumulative_length.zero_()

    def logits(run, start, count, **inputs):
        places = torch.arange(start, start + count, device=device)
        hidden = torch.arange(BLOCK_SIZE, device=device)[None] > places[:, None]
        seen = torch.zeros(count, BLOCK_SIZE, dtype=dtype, device=device).masked_fill(hidden, torch.finfo(dtype).min)[None, None]
        return run(**inputs, past_key_values=cache, use_cache=True, return_dict=True, position_ids=places[None], attention_mask=seen).logits[:, -1].float()

    at = ids.shape[1]
    scores = logits(self.forward, 0, at, **({"input_ids": ids} if inputs_embeds is None else {"inputs_embeds": inputs_embeds}))
    for step in range(max_new_tokens):
        for process in logits_processor:
            scores = process(ids, scores)
        token = scores.argmax(-1, keepdim=True)
        ids = torch.cat([ids, token], dim=1)
        if step + 1 < max_new_tokens:
            torch.compiler.cudagraph_mark_step_begin()
            scores = logits(forward, at + step, 1, input_ids=token)
    return ids


if job["variant"] == "compiled":
    BarkCausalModel.generate = greedy  # both causal stages call this through super().generate
    model.fine_acoustics.forward = torch.compile(model.fine_acoustics.forward, mode=graphs)

said = {}


def recorded(name, generate):
    def run(*args, **kwargs):
        said[name] = generate(*args, **kwargs)
        return said[name]

    return run


for name in ("semantic", "coarse_acoustics", "fine_acoustics"):
    stage = getattr(model, name)
    stage.generate = recorded(name, stage.generate)


def say():
    audio = model.generate(text, attention_mask=mask, do_sample=False, fine_temperature=None, semantic_max_new_tokens=job["tokens"])
    if device == "cuda":
        torch.cuda.synchronize()  # wait, because a sentence counts as done when its audio exists
    return audio


def answer(call):
    if call["call"] == "check":
        audio = say()
        tokens = {what: said[name].flatten().tolist() for what, name in (("semantic", "semantic"), ("coarse", "coarse_acoustics"), ("fine", "fine_acoustics"))}
        return {"device": device_name(), "error": 0, "audio": audio.float().flatten().tolist(), **tokens}
    return timed(say, call["times"])


serve(answer)
