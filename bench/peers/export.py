"""Makes the inputs of the peers: weights, reference results, and ONNX graphs of a decode step, a prefill and a fine pass.

    python export.py weights OUT small|large LAYERS
    python export.py codec OUT FRAMES
    python export.py graph OUT small|large LAYERS causal|fine exported|fused float16|float32

`codec` writes the same for EnCodec. `weights` writes weights/model.safetensors, under Bark's names and with values that float16 holds exactly, so that every peer and every
dtype has the same weights; and reference/model.safetensors, the inputs and the float32 results of the blocks below, which every side is compared with.

`exported` is what torch.onnx.export makes of the blocks, the cache as concatenated inputs and outputs: what exporters of decoder models
write. `fused` is the same model in the operators that ONNX Runtime has for transformers, as its own model builders write it:
GroupQueryAttention over a cache that is updated in place, MultiHeadAttention, SkipLayerNormalization, Gelu.

The blocks are BarkBlock of transformers (modeling_bark.py) in plain torch. Sampling is no part of the graphs.
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

SIZES = {"small": (768, 12), "large": (1024, 16)}
VOCAB = {"causal": 10048, "fine": 1056}
BLOCK_SIZE, CODEBOOKS, PAST = 1024, 8, 300
PREFILLS = (257, 887)


class Block(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=not causal), nn.LayerNorm(width, bias=not causal)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x, past_k=None, past_v=None):
        b, t, w = x.shape
        q, k, v = (p.view(b, t, self.heads, w // self.heads).transpose(1, 2) for p in self.qkv(self.norm1(x)).split(w, dim=2))
        if past_k is not None:
            k, v = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        scores = q @ k.transpose(-1, -2) * (w // self.heads) ** -0.5
        if self.causal and past_k is None:
            scores = scores + torch.full((t, t), float("-inf"), dtype=x.dtype).triu(1)
        x = x + self.out((F.softmax(scores, dim=-1) @ v).transpose(1, 2).reshape(b, t, w))
        return x + self.down(F.gelu(self.up(self.norm2(x)))), k, v


class Causal(nn.Module):
    """ids (1, T), positions (1, T), keys and values of each layer (1, heads, P, d) → logits of the last position (1, V), keys, values."""

    def __init__(self, width, heads, layers):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCAB["causal"], width), nn.Embedding(BLOCK_SIZE, width)
        self.blocks = nn.ModuleList(Block(width, heads, True) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width, bias=False), nn.Linear(width, VOCAB["causal"], bias=False)

    def forward(self, ids, position, *past):
        x = self.tokens(ids) + self.positions(position)
        present = []
        for i, block in enumerate(self.blocks):
            x, k, v = block(x, *(past[2 * i : 2 * i + 2] if past else ()))
            present += [k, v]
        return self.head(self.norm(x[:, -1])), *present


class Fine(nn.Module):
    """Codes (1, 1024, 8), positions (1, 1024) → logits (1, 1024, 1056) of the last codebook, whose head is its table."""

    def __init__(self, width, heads, layers):
        super().__init__()
        self.tables, self.positions = nn.ModuleList(nn.Embedding(VOCAB["fine"], width) for _ in range(CODEBOOKS)), nn.Embedding(BLOCK_SIZE, width)
        self.blocks = nn.ModuleList(Block(width, heads, False) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, codes, position):
        x = self.positions(position) + sum(table(codes[:, :, i]) for i, table in enumerate(self.tables))
        for block in self.blocks:
            x, _, _ = block(x)
        return F.linear(self.norm(x), self.tables[CODEBOOKS - 1].weight)


def make(kind, size, layers):
    """The model with arbitrary weights, the same every time, scaled so that activations stay near 1."""
    width, heads = SIZES[size]
    model = (Causal if kind == "causal" else Fine)(width, heads, layers).eval()
    generator = torch.Generator().manual_seed(1 if kind == "causal" else 2)
    with torch.no_grad():
        for name, p in model.named_parameters():
            values = torch.randn(p.shape, generator=generator)
            if "norm" in name:
                values = values * 0.1 + (1 if name.endswith("weight") else 0)
            else:
                values *= 0.2 if "tables" in name or "tokens" in name or "positions" in name else p.shape[-1] ** -0.5
            p.copy_(values.half().float())
    return model


NAMES = {  # ours to Bark's
    "tokens": "input_embeds_layer", "positions": "position_embeds_layer", "tables": "input_embeds_layers", "norm": "layernorm_final", "head": "lm_head",
    "blocks": "layers", "norm1": "layernorm_1", "norm2": "layernorm_2", "qkv": "attn.att_proj", "out": "attn.out_proj", "up": "mlp.in_proj", "down": "mlp.out_proj",
}


def weights(out, size, layers):
    from safetensors.torch import save_file

    causal, fine = make("causal", size, layers), make("fine", size, layers)
    bark = lambda name: ".".join(NAMES.get(part, part) for part in name.split("."))
    tensors = {f"{stage}.{bark(n)}": p.detach().contiguous() for stage, model in (("semantic", causal), ("fine_acoustics", fine)) for n, p in model.named_parameters()}
    ids = torch.tensor([(7919 * i + 13) % 10000 for i in range(BLOCK_SIZE)])
    codes = torch.tensor([[(7919 * t + 104729 * c + 13) % 1024 for c in range(CODEBOOKS)] for t in range(BLOCK_SIZE)])
    places = torch.arange(BLOCK_SIZE)[None]
    reference = {"ids": ids.int(), "codes": codes.int()}
    with torch.no_grad():
        for t in PREFILLS:
            reference[f"prefill{t}"] = causal(ids[None, :t], places[:, :t])[0]
        _, *past = causal(ids[None, :PAST], places[:, :PAST])
        reference |= {f"past_{i // 2}_{'kv'[i % 2]}": p.contiguous() for i, p in enumerate(past)}
        reference["decode"] = causal(ids[None, PAST : PAST + 1], places[:, PAST : PAST + 1], *past)[0]
        reference["fine"] = fine(codes[None], places)[0]
    for name, content in (("reference", reference), ("weights", tensors)):
        (out / name).mkdir(exist_ok=True)
        save_file(content, out / name / "model.safetensors", {"format": "pt"})


def codec(out, frames):
    """EnCodec of 24 kHz in transformers' form with arbitrary weights, and the audio of arbitrary codes."""
    from safetensors.torch import save_file
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(3)
    model = EncodecModel(EncodecConfig()).eval()
    with torch.no_grad():
        for layer in model.quantizer.layers:
            layer.codebook.embed.copy_(torch.randn(layer.codebook.embed.shape))
        for name, p in model.named_parameters():
            # PyTorch's own initial weights make each layer fainter than the one before.
            p.copy_((p * (3**0.5 if name.endswith("original0") else 1)).half().float())
        codes = torch.tensor([[(7919 * t + 104729 * c + 13) % 1024 for t in range(frames)] for c in range(CODEBOOKS)])
        audio = model.decoder(model.quantizer.decode(codes[:, None]))[0, 0]
    model.save_pretrained(out / "weights")
    (out / "reference").mkdir(exist_ok=True)
    save_file({"codes": codes.int(), "codec": audio.contiguous()}, out / "reference" / "model.safetensors", {"format": "pt"})


def cache_names(layers):
    return [[f"{what}_{i}_{n}" for i in range(layers) for n in "kv"] for what in ("past", "present")]


def exported(path, kind, model, layers, width, heads, dtype):
    model = model.to(dtype)
    long = lambda *s: torch.zeros(*s, dtype=torch.long)

    def write(name, args, inputs, outputs, axes):
        with torch.no_grad():
            torch.onnx.export(model, args, str(path / f"{name}.onnx"), input_names=inputs, output_names=outputs, dynamic_axes=axes, opset_version=17, dynamo=False)

    if kind == "fine":
        return write("fine", (long(1, BLOCK_SIZE, CODEBOOKS), long(1, BLOCK_SIZE)), ["codes", "position"], ["logits"], {})
    pasts, presents = cache_names(layers)
    past = [torch.zeros(1, heads, PAST, width // heads, dtype=dtype) for _ in pasts]
    write("decode", (long(1, 1), long(1, 1), *past), ["ids", "position", *pasts], ["logits", *presents], {p: {2: "past"} for p in pasts} | {p: {2: "total"} for p in presents})
    for t in PREFILLS:
        write(f"prefill{t}", (long(1, t), long(1, t)), ["ids", "position"], ["logits", *presents], {})


def fused(path, kind, model, layers, width, heads, dtype):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    element = TensorProto.FLOAT16 if dtype == torch.float16 else TensorProto.FLOAT
    nodes, initializers = [], []

    def op(name, inputs, outputs, domain="", **attributes):
        nodes.append(helper.make_node(name, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def constant(name, values):
        initializers.append(numpy_helper.from_array(values.detach().contiguous().numpy() if isinstance(values, torch.Tensor) else values, name))
        return name

    weight = lambda name, p, transposed=False: constant(name, (p.t() if transposed else p).to(dtype))
    matmul = lambda x, name, layer: op("MatMul", [x, weight(f"{name}.w", layer.weight, True)], [name])
    affine = lambda name, n: [weight(f"{name}.g", n.weight), *([weight(f"{name}.b", n.bias)] if n.bias is not None else [])]

    def normed(name, n, x, added):
        """LayerNorm of x + added, and that sum."""
        if added is None:
            return op("LayerNormalization", [x, *affine(name, n)], [name], epsilon=1e-5, axis=-1), x
        op("SkipLayerNormalization", [x, added, *affine(name, n)], [name, "", "", f"{name}.sum"], "com.microsoft", epsilon=1e-5)
        return name, f"{name}.sum"

    positions = op("Gather", [weight("positions", model.positions.weight), "position"], ["placed"])
    if kind == "causal":
        x = op("Add", [op("Gather", [weight("tokens", model.tokens.weight), "ids"], ["embedded"]), positions], ["x"])
    else:
        x = positions
        for i, table in enumerate(model.tables):
            index = constant(f"column{i}", torch.tensor(i))
            column = op("Gather", ["codes", index], [f"codes{i}"], axis=2)
            x = op("Add", [x, op("Gather", [weight(f"table{i}", table.weight), column], [f"embedded{i}"])], [f"x{i}"])
    added = None
    scale = (width // heads) ** -0.5
    for i, block in enumerate(model.blocks):
        at = f"l{i}"
        n, x = normed(f"{at}.norm1", block.norm1, x, added)
        qkv = matmul(n, f"{at}.qkv", block.qkv)
        if kind == "causal":
            y = op("GroupQueryAttention", [qkv, "", "", f"past_{i}_k", f"past_{i}_v", "seqlens_k", "total"], [f"{at}.y", f"present_{i}_k", f"present_{i}_v"], "com.microsoft", num_heads=heads, kv_num_heads=heads, scale=scale)
        else:
            parts = [f"{at}.query", f"{at}.key", f"{at}.value"]
            op("Split", [qkv, constant(f"{at}.thirds", torch.tensor([width] * 3))], parts, axis=2)
            y = op("MultiHeadAttention", parts, [f"{at}.y"], "com.microsoft", num_heads=heads, scale=scale)
        n, x = normed(f"{at}.norm2", block.norm2, x, matmul(y, f"{at}.out", block.out))
        added = matmul(op("Gelu", [matmul(n, f"{at}.up", block.up)], [f"{at}.gelu"], "com.microsoft"), f"{at}.down", block.down)
    n, x = normed("norm", model.norm, x, added)
    info = helper.make_tensor_value_info
    if kind == "causal":
        op("MatMul", [op("Gather", [n, constant("last", torch.tensor(-1))], ["last_normed"], axis=1), weight("head", model.head.weight, True)], ["logits"])
        caches = [[info(name, element, [1, heads, "capacity", width // heads]) for name in names] for names in cache_names(layers)]
        inputs = [info("ids", TensorProto.INT64, [1, "T"]), info("position", TensorProto.INT64, [1, "T"]), info("seqlens_k", TensorProto.INT32, [1]), info("total", TensorProto.INT32, [1]), *caches[0]]
        outputs = [info("logits", element, [1, VOCAB[kind]]), *caches[1]]
    else:
        op("MatMul", [n, weight("head", model.tables[CODEBOOKS - 1].weight, True)], ["logits"])
        inputs = [info("codes", TensorProto.INT64, [1, BLOCK_SIZE, CODEBOOKS]), info("position", TensorProto.INT64, [1, BLOCK_SIZE])]
        outputs = [info("logits", element, [1, BLOCK_SIZE, VOCAB[kind]])]
    graph = helper.make_graph(nodes, kind, inputs, outputs, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=9), path / f"{kind}.onnx")


def main():
    what, out, *rest = sys.argv[1:]
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if what == "codec":
        return codec(out, int(rest[0]))
    size, layers, *rest = rest
    layers = int(layers)
    if what == "weights":
        return weights(out, size, layers)
    kind, form, dtype = rest
    path = out / f"{form}-{dtype}"
    path.mkdir(exist_ok=True)
    {"exported": exported, "fused": fused}[form](path, kind, make(kind, size, layers), layers, *SIZES[size], getattr(torch, dtype))


if __name__ == "__main__":
    main()
