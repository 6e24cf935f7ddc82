"""Runs transformers' Bark and EnCodec in PyTorch on the operations that all sides share, with the weights of export.py.

    python torch_child.py '{"folder": …, "layers": …, "width": …, "heads": …, "variant": "eager", "dtype": "float32", "threads": 2}'

Reads one JSON call per line and answers with one line (work.ts is the other side). Uses the GPU if there is one. `compiled` is torch.compile over a static cache, which
on a GPU captures CUDA graphs (mode "reduce-overhead").
"""

import os

import torch
from child import device, device_name, job, serve, timed
from safetensors.torch import load_file
from transformers import DynamicCache, EncodecModel, StaticCache
from transformers.models.bark.configuration_bark import BarkFineConfig, BarkSemanticConfig
from transformers.models.bark.modeling_bark import BarkFineModel, BarkSemanticModel

PAST, CODEBOOKS = 300, 8
dtype = getattr(torch, job["dtype"])
compiled = job["variant"] == "compiled"
graphs = "reduce-overhead" if device == "cuda" else None
reference = load_file(os.path.join(job["folder"], "reference", "model.safetensors"))
ids = reference["ids"].long()[None].to(device) if "ids" in reference else None
codes = reference["codes"].long()[None].to(device)
sizes = dict(num_layers=job["layers"], num_heads=job["heads"], hidden_size=job["width"], block_size=1024, bias=False)
models = {}


def load(kind):
    """The model and its (possibly compiled) forward function; made at the first use."""
    if kind not in models:
        weights = load_file(os.path.join(job["folder"], "weights", "model.safetensors"))
        if kind == "semantic":
            model = BarkSemanticModel(BarkSemanticConfig(input_vocab_size=10048, output_vocab_size=10048, **sizes))
        else:
            model = BarkFineModel(BarkFineConfig(input_vocab_size=1056, output_vocab_size=1056, n_codes_total=CODEBOOKS, n_codes_given=1, **sizes))
        missing, _ = model.load_state_dict({n[len(kind) + 1 :]: w for n, w in weights.items() if n.startswith(kind + ".")}, strict=False)
        if [n for n in missing if not n.endswith("attn.bias") and not n.startswith("lm_heads.")]:
            raise RuntimeError(f"transformers wants weights that there are not: {missing[:3]}")
        model.tie_weights()
        model = model.to(device, dtype).eval()
        models[kind] = (model, torch.compile(model.forward, mode=graphs) if compiled else model.forward)
    return models[kind]


def load_codec():
    if "codec" not in models:
        model = EncodecModel.from_pretrained(os.path.join(job["folder"], "weights"), dtype=dtype, local_files_only=True).to(device).eval()
        models["codec"] = (model, torch.compile(model.decoder.forward, mode=graphs) if compiled else model.decoder.forward)
    return models["codec"]


caches = {}


def step(cache, start, tokens):
    """Logits of the last of `tokens` positions from `start` on."""
    _, forward = load("semantic")
    more = {}
    if compiled:
        # A static cache is longer than its content, which Bark's own mask and positions do not account for, so both are passed in.
        places = torch.arange(start, start + tokens, device=device)
        hidden = torch.arange(1024, device=device)[None] > places[:, None]
        more = dict(position_ids=places[None], attention_mask=torch.zeros(tokens, 1024, dtype=dtype, device=device).masked_fill(hidden, torch.finfo(dtype).min)[None, None])
    return forward(input_ids=ids[:, start : start + tokens], past_key_values=cache, use_cache=True, return_dict=True, **more).logits[:, -1]


def empty(name):
    """A cache without positions; a static one is kept for each operation, because compiled code depends on that very cache."""
    if not compiled:
        return DynamicCache()
    if name not in caches:
        caches[name] = StaticCache(config=load("semantic")[0].config, max_cache_len=1024)
    rewind(caches[name], 0)
    return caches[name]


def rewind(cache, length):
    if compiled:
        for layer in cache.layers:
            if layer.is_initialized:
                layer.cumulative_length.fill_(length)
    else:
        cache.crop(length - cache.get_seq_length())


def decode():
    if "past" not in caches:
        caches["past"] = empty("decode")
        step(caches["past"], 0, PAST)
    logits = step(caches["past"], PAST, 1)
    rewind(caches["past"], PAST)
    return logits


def run(operation):
    if operation == "decode":
        return decode()
    if operation == "codec":  # as BarkModel.codec_decode does it
        model, decoder = load_codec()
        return decoder(model.quantizer.decode(codes[0][:, None]))[0, 0]
    if operation == "fine":
        return load("fine_acoustics")[1](CODEBOOKS - 1, codes, return_dict=True).logits[0]
    return step(empty(operation), 0, int(operation[len("prefill") :]))


def answer(call):
    operation = call["operation"]
    if call["call"] == "check":
        for _ in range(2 if compiled else 0):
            run(operation)  # a second call may compile anew, now for sizes that vary
        logits, expected = run(operation).float().cpu(), reference[operation]
        error = ((logits - expected).pow(2).mean().sqrt() / expected.std()).item()
        return {"device": device_name(), "error": error, "torch": torch.__version__}
    return timed(lambda: run(operation), call["times"])


serve(answer)
