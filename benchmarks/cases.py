"""What is measured: every part of a training step, the step itself, the loader, encoding and the metrics.

Sizes are the paper's (D = 1024, 36 regions of 2048 numbers, captions of about 14 pieces), the masks those of training
(a fifth of the regions left out). `flops` counts products over real fragments only, forward and backward.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from machine import Case, Machine, resident

from hrem_lib import config as configs
from hrem_lib import data, evaluation, training
from hrem_lib.attention import EncoderLayer
from hrem_lib.encoders import Encoded
from hrem_lib.graph import AssociationGraph, match
from hrem_lib.interaction import Fusion
from hrem_lib.losses import hinge, triplet
from hrem_lib.metrics import fold_metrics, ranks_from_embeddings
from hrem_lib.model import HREM, build_model
from hrem_lib.pooling import masked_max_k, masked_mean
from hrem_lib.text import Tokens


@dataclasses.dataclass(frozen=True)
class Sizes:
    """One form of the benchmark."""

    batches: tuple[int, ...] = (64, 128, 256)  # N
    step_batches: tuple[int, ...] = (64, 128, 256)
    encoders: tuple[str, ...] = ("bigru", "bert-2", "bert-12")
    dim: int = 1024
    heads: int = 16
    regions: int = 36
    features: int = 2048
    vocabulary: int = 30522
    hidden: int = 768  # of BERT
    images: int = 5000  # of the metrics, five captions each
    encoded: int = 1024  # items encoded
    file_rows: int = 113_287  # of the sparse file
    slice_rows: int = 14_564  # rows with numbers, read when warm: 4 GiB
    repeats: int = 5
    step_repeats: int = 3


FORMS = {
    "full": Sizes(),
    "quick": Sizes(step_batches=(128,), encoders=("bigru", "bert-2"), images=2000, encoded=256, slice_rows=1024,
                   repeats=3, step_repeats=2),
    "tiny": Sizes((8,), (8,), ("bigru", "bert-2"), 32, 2, 6, 16, 100, 24, 20, 16, 60, 60, 2, 1),
}  # fmt: skip


def caption_lengths(count: int, seed: int = 0) -> np.ndarray:
    """Pieces of each caption: 14 on average, 3 at least."""
    return np.random.default_rng(seed).poisson(11, count) + 3


def mask_of(lengths: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.arange(lengths.max()) < lengths[:, None])


def region_mask(count: int, regions: int) -> torch.Tensor:
    """A fifth of the regions left out, as in training."""
    generator = np.random.default_rng(1)
    return torch.from_numpy(data.drop_regions(np.ones((count, regions), bool), generator, 0.2))


def layer_flops(mask: torch.Tensor, dim: int, train: bool = True) -> float:
    """Products of one encoder layer: 6 D^2 weights a fragment, and scores and mixing of the attention."""
    counts = mask.sum(1).double()
    forward = 2 * 6 * dim**2 * counts.sum().item() + 4 * dim * counts.square().sum().item()
    return forward * (3 if train else 1)


# ---- parts ----------------------------------------------------------------------------------------------------


def graph(machine: Machine, sizes: Sizes) -> Iterator[Case]:
    """Matching alone, and the whole graph forward and backward."""
    for n in sizes.batches:
        regions, words, r_mask, w_mask = fragments(machine, sizes, n)
        real = int(r_mask.sum()), int(w_mask.sum())
        flops = 2.0 * real[0] * real[1] * sizes.dim
        both = 4.0 * sizes.dim * sum(real)
        for precision in machine.precisions:
            shape = {"size": f"N = {n}", "precision": precision, "product": (real[1], sizes.dim, real[0])}
            low = [x.to(getattr(torch, precision)) for x in (regions, words)]
            yield Case("graph", "matching, forward", lambda low=low, m=(r_mask, w_mask): match(*low, *m, 10),
                       flops=flops, bytes=both, repeats=sizes.repeats, **shape)  # fmt: skip
            built = AssociationGraph(10).to(machine.device)
            emb = [torch.nn.functional.normalize(torch.randn(n, sizes.dim, device=machine.device), dim=1)
                   for _ in range(2)]  # fmt: skip
            emb = [e.requires_grad_() for e in emb]
            images = Encoded(emb[0], emb[0], low[0], low[0], r_mask)
            texts = Encoded(emb[1], emb[1], low[1], low[1], w_mask)

            def whole(built=built, images=images, texts=texts):
                made = built(images, texts)
                (made.relevance.sum() + made.regularizer).backward()

            products = flops + 2 * 2.0 * n * n * sizes.dim  # and the cosines of (5)
            yield Case("graph", "whole graph, forward + backward", whole, flops=products, bytes=both,
                       repeats=sizes.repeats, **shape)  # fmt: skip


def fragments(machine: Machine, sizes: Sizes, n: int) -> tuple[torch.Tensor, ...]:
    r_mask, w_mask = region_mask(n, sizes.regions), mask_of(caption_lengths(n))
    shapes = (n, sizes.regions, sizes.dim), (*w_mask.shape, sizes.dim)
    tensors = (*(torch.randn(s) for s in shapes), r_mask, w_mask)
    return tuple(t.to(machine.device) for t in tensors)


def poolings(machine: Machine, sizes: Sizes) -> Iterator[Case]:
    """The four poolings of (2)(3), forward and backward: they move bytes."""
    for n in sizes.batches:
        regions, words, r_mask, w_mask = fragments(machine, sizes, n)
        regions, words = regions.requires_grad_(), words.requires_grad_()
        work = [(masked_max_k, (regions, r_mask, 2)), (masked_max_k, (words, w_mask, 2)),
                (masked_mean, (regions, r_mask)), (masked_mean, (words, w_mask))]  # fmt: skip

        def four(work=work, leaves=(regions, words)):
            for leaf in leaves:
                leaf.grad = None
            for function, inputs in work:
                function(*inputs).sum().backward()

        # each reads its input and writes a gradient
        moved = 2 * 2 * 4.0 * (regions.numel() + words.numel())
        yield Case("pooling", "four poolings, forward + backward", four, f"N = {n}", bytes=moved, repeats=sizes.repeats)


def attention(machine: Machine, sizes: Sizes) -> Iterator[Case]:
    """Encoder layers over regions, over words, and over the nodes of a batch, forward and backward."""
    d = sizes.dim
    for n in sizes.step_batches:
        regions, words, r_mask, w_mask = fragments(machine, sizes, n)
        layer, fusion = (m.to(machine.device) for m in (EncoderLayer(d, sizes.heads, d), Fusion(d, sizes.heads)))
        bias = torch.where(torch.rand(2 * n, 2 * n, device=machine.device) < 0.5, 0.0, -torch.inf)
        nodes = torch.ones(1, 2 * n, dtype=torch.bool)
        # clones: gradient is asked for on the inputs too
        for name, x, mask in (("regions", regions, r_mask), ("words", words, w_mask), ("nodes (fusion)", None, nodes)):
            for precision in machine.precisions:

                def run(x=x, mask=mask, precision=precision, layer=layer, fusion=fusion, bias=bias, n=n):
                    for module in (layer, fusion):
                        module.zero_grad(set_to_none=True)
                    with autocast(machine, precision):
                        if x is None:
                            leaf = torch.randn(n, d, device=machine.device, requires_grad=True)
                            out = torch.cat(fusion(leaf, leaf, bias)[:2])
                        else:
                            out = layer(x.detach().requires_grad_(), mask)[0]
                    out.float().sum().backward()

                real = int(mask.sum())
                yield Case("attention", f"{name}, forward + backward", run, f"N = {n}", precision,
                           layer_flops(mask, d), 4.0 * d * 4 * real, (real, d, d),
                           repeats=sizes.repeats)  # fmt: skip


def autocast(machine: Machine, precision: str) -> torch.autocast:
    return torch.autocast(machine.device.type, torch.bfloat16, enabled=precision == "bfloat16")


def losses(machine: Machine, sizes: Sizes) -> Iterator[Case]:
    """One L(a, b), forward and backward."""
    for n in sizes.batches:
        ids = torch.arange(n, device=machine.device) // 2
        leaf = torch.nn.functional.normalize(torch.randn(n, sizes.dim, device=machine.device), dim=1).requires_grad_()
        for function in (triplet, hinge):

            def run(function=function, leaf=leaf, ids=ids):
                leaf.grad = None
                function(leaf, leaf.flip(0), ids).loss.backward()

            yield Case("losses", f"{function.__name__}, forward + backward", run, f"N = {n}",
                       flops=3 * 2.0 * n * n * sizes.dim, bytes=4.0 * (4 * n * sizes.dim + 4 * n * n),
                       product=(n, sizes.dim, n), repeats=4 * sizes.repeats)  # fmt: skip


# ---- the training step ----------------------------------------------------------------------------------------


def build(machine: Machine, sizes: Sizes, encoder: str) -> tuple[HREM, configs.Config]:
    """Random weights at the paper's sizes; "bert-2" is bert-base with two layers."""
    kind, _, layers = encoder.partition("-")
    config = configs.preset("f30k").override(
        {"model.text_encoder": kind, "model.embed_dim": sizes.dim, "model.heads": sizes.heads}
    )
    bert = {"model_type": "bert", "vocab_size": sizes.vocabulary, "hidden_size": sizes.hidden,
            "intermediate_size": 4 * sizes.hidden, "num_attention_heads": sizes.hidden // 12 if sizes.hidden < 64
            else sizes.hidden // 64, "num_hidden_layers": int(layers or 0)}  # fmt: skip
    torch.manual_seed(0)
    model = build_model(config, sizes.features, sizes.vocabulary, bert_config=bert)
    return model.to(machine.device), config


def step_flops(model: HREM, sizes: Sizes, r_mask: torch.Tensor, w_mask: torch.Tensor, relation: bool) -> float:
    """Products of a training step over real fragments."""
    d, rows, n = sizes.dim, float(r_mask.sum()), len(r_mask)
    words, tokens = model.text_encoder.words, float(w_mask.sum())
    features = 4 * rows * sizes.features * (d + d // 2)  # no gradient to the features
    total = features + 6 * rows * (d // 2) * d + layer_flops(r_mask, d) + layer_flops(w_mask, d)
    total += text_flops(words, w_mask, d)
    if relation:
        total += 2 * rows * tokens * d + layer_flops(torch.ones(1, 2 * n), d)
    return total


def text_flops(words: torch.nn.Module, w_mask: torch.Tensor, dim: int, train: bool = True) -> float:
    """Products of `BiGRUWords` or `BertWords`."""
    counts = w_mask.sum(1).double()
    tokens = counts.sum().item()
    bert = getattr(words, "bert", None)
    if bert is None:
        forward = 2 * tokens * sum(p.numel() for name, p in words.gru.named_parameters() if "weight" in name)
    else:
        hidden, layers = bert.config.hidden_size, bert.config.num_hidden_layers
        forward = 2 * tokens * (12 * hidden**2 * layers + hidden * dim)
        forward += 4 * hidden * layers * counts.square().sum().item()
    return forward * (3 if train else 1)


CLIPPING = ("get_total_norm", "clip_grads_with_norm_")


class Parts:
    """Seconds of the parts of `training.train_step`, taken inside the real step."""

    def __init__(self, machine: Machine, model: HREM, optimizer: torch.optim.Optimizer, objective):
        self.machine, self.seconds = machine, {}
        model.encode_images = self.timed("images", model.encode_images)
        model.encode_texts = self.timed("texts", model.encode_texts)
        model.relate = self.timed("relation", model.relate)
        optimizer.step = self.timed("optimizer", optimizer.step)
        self.backward = self.timed("backward", torch.Tensor.backward)
        self.clip = {name: self.timed("clipping", getattr(torch.nn.utils, name)) for name in CLIPPING}
        self.objective, self.margin = self.timed("losses", objective), objective.margin

    def timed(self, name: str, function: Callable) -> Callable:
        def run(*args, **kwargs):
            began = self.machine.clock()
            result = function(*args, **kwargs)
            self.seconds[name] = self.seconds.get(name, 0.0) + self.machine.clock() - began
            return result

        return run

    def __call__(self, *args, **kwargs):
        return self.objective(*args, **kwargs)


def steps(machine: Machine, sizes: Sizes) -> Iterator[Case]:
    """The whole training step by part, before and after warm-up, and its optimizer alone."""
    for encoder in sizes.encoders:
        for n in sizes.step_batches:
            model, config = build(machine, sizes, encoder)
            model.train()
            lengths = caption_lengths(n)
            w_mask, r_mask = mask_of(lengths), region_mask(n, sizes.regions)
            ids = torch.arange(n)
            words = torch.randint(5, sizes.vocabulary, w_mask.shape) * w_mask
            batch = data.Batch(torch.randn(n, sizes.regions, sizes.features), r_mask, words, w_mask, ids, ids)
            batch = batch.to(machine.device)
            optimizer = training.make_optimizer(model, config)
            weights = 4.0 * sum(p.numel() for p in model.parameters())
            parts = Parts(machine, model, optimizer, training.make_objective(config))
            for relation in (False, True):
                for precision in machine.precisions:

                    def run(
                        relation=relation, precision=precision, model=model, batch=batch, parts=parts,
                        optimizer=optimizer, clip=config.training.grad_clip,
                    ):  # fmt: skip
                        parts.seconds.clear()
                        utils = torch.nn.utils
                        patched = torch.Tensor.backward, {name: getattr(utils, name) for name in CLIPPING}
                        torch.Tensor.backward = lambda t, *args, **kwargs: parts.backward(t, *args, **kwargs)
                        vars(utils).update(parts.clip)
                        try:
                            training.train_step(model, batch, parts, optimizer, clip, relation, True, precision)
                        finally:
                            torch.Tensor.backward = patched[0]
                            vars(utils).update(patched[1])

                    yield Case(
                        "training step", f"{encoder}, {'after' if relation else 'before'} warm-up", run, f"N = {n}",
                        precision, step_flops(model, sizes, r_mask, w_mask, relation),
                        # weights twice, gradient once, clipping 3 times, AdamW 7 times, features once
                        13 * weights + 4.0 * batch.regions.numel(), (int(r_mask.sum()), sizes.dim, sizes.dim),
                        items=n, unit="pairs", repeats=sizes.step_repeats, parts=parts.seconds,
                    )  # fmt: skip
            if n == sizes.step_batches[0]:
                yield Case("optimizer", f"AdamW, {encoder}", optimizer.step, f"{weights / 4e6:.0f} M weights",
                           bytes=7 * weights, repeats=sizes.repeats)  # fmt: skip


# ---- loading, encoding, metrics -------------------------------------------------------------------------------


def sparse_split(folder: Path, sizes: Sizes) -> Tokens:
    """Writes a training split of COCO's size: only `slice_rows` rows, evenly spread in ten runs, hold numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (sizes.file_rows, sizes.regions, sizes.features)
    features = np.lib.format.open_memmap(folder / "train_ims.npy", mode="w+", dtype=np.float32, shape=shape)
    block = np.random.default_rng(0).standard_normal((1, *shape[1:]), dtype=np.float32)
    for row in slice_of(sizes):
        features[row] = block[0]
    features.flush()
    del features
    captions = 5 * sizes.file_rows
    (folder / "train_caps.txt").write_text("a man rides a brown horse along the beach\n" * captions)
    return tokens_of(captions)


def tokens_of(captions: int) -> Tokens:
    """Captions of the usual lengths, all of one piece."""
    offsets = np.concatenate([[0], np.cumsum(caption_lengths(captions))])
    ids = np.full(offsets[-1], 7, np.int32)
    return Tokens(ids, np.zeros_like(ids), offsets)


def slice_of(sizes: Sizes) -> np.ndarray:
    """Row numbers that hold features: ten runs, evenly spread over the file."""
    run = sizes.slice_rows // 10
    return (np.linspace(0, sizes.file_rows - run, 10).astype(int)[:, None] + np.arange(run)).ravel()


def loading(machine: Machine, sizes: Sizes, folder: Path) -> Iterator[Case | dict]:
    """Time to the first batch of a COCO-sized file, its memory, and rows/s of a warm slice against memory."""
    tokens = sparse_split(folder, sizes)
    rows, rng = slice_of(sizes), np.random.default_rng(0)
    plan = data.BatchPlan(1, 0, 5 * rng.choice(rows, min(128, len(rows)), replace=False))
    began = machine.clock()
    opened = data.open_split(folder, "train")
    data.PairDataset(opened, tokens, None, 0.2, 0.2, 0)[plan]
    yield {
        "group": "loader", "name": f"open {opened.features.nbytes / 2**30:.0f} GiB, first batch", "size": "128 pairs",
        "precision": "float32", "seconds": machine.clock() - began,
        "anonymous_bytes": resident("RssAnon") if Path("/proc/self/status").exists() else None,  # the whole process
    }  # fmt: skip
    plans = [data.BatchPlan(1, 0, 5 * part) for part in np.array_split(rng.permutation(rows), max(1, len(rows) // 128))]
    mapped = data.PairDataset(opened, tokens, None, 0.2, 0.2, 0)
    # the same rows held in memory, found under their own numbers
    place = np.zeros(sizes.file_rows, np.int64)
    place[rows] = np.arange(len(rows))
    held = dataclasses.replace(opened, features=np.array(opened.features[rows]), row_of_image=place)
    in_memory = data.PairDataset(held, tokens, None, 0.2, 0.2, 0)

    def read(pairs: data.PairDataset) -> None:
        for plan in plans:
            pairs[plan]

    yield Case("loader", f"warm slice of {held.features.nbytes / 2**30:.1f} GiB", lambda: read(mapped), "128 a batch",
               beside=lambda: read(in_memory), items=len(rows), unit="rows", repeats=sizes.repeats)  # fmt: skip


def encoding(machine: Machine, sizes: Sizes, folder: Path) -> Iterator[Case]:
    """Embedding pictures and captions, each once, in evaluation mode."""
    split = data.open_split(folder, "train")
    count = min(sizes.encoded, len(slice_of(sizes)))
    split = dataclasses.replace(split, row_of_image=slice_of(sizes)[:count])
    tokens, regions, d = tokens_of(sizes.encoded), torch.ones(count, sizes.regions), sizes.dim
    w_mask = mask_of(tokens.lengths)
    for at, encoder in enumerate(sizes.encoders):
        model, _ = build(machine, sizes, encoder)
        for precision in machine.precisions:
            settings = (128, machine.device, precision)
            if at == 0:  # the image side is the same for all
                flops = layer_flops(regions, d, False) + 2.0 * regions.numel() * (
                    sizes.features * (d + d // 2) + d * (d // 2)
                )
                yield Case("encoding", "images", lambda m=model, s=settings: evaluation.encode_images(m, split, *s),
                           f"{count} images", precision, flops, 4.0 * regions.numel() * sizes.features,
                           (128 * sizes.regions, d, d), items=count, unit="images",
                           repeats=sizes.step_repeats)  # fmt: skip
            words = model.text_encoder.words
            flops = layer_flops(w_mask, d, False) + text_flops(words, w_mask, d, False)
            yield Case("encoding", f"captions, {encoder}",
                       lambda m=model, s=settings: evaluation.encode_texts(m, tokens, *s),
                       f"{sizes.encoded} captions", precision, flops, 0.0, (128 * 14, d, d),
                       items=sizes.encoded, unit="captions", repeats=sizes.step_repeats)  # fmt: skip


def metrics(machine: Machine, sizes: Sizes) -> Iterator[Case]:
    """Ranks in both directions from embeddings, and five folds too, beside the similarity product alone."""
    n = sizes.images
    image_emb, text_emb = (torch.nn.functional.normalize(torch.randn(m, sizes.dim), dim=1) for m in (n, 5 * n))
    owner = np.arange(5 * n) // 5

    def product() -> None:
        for block in image_emb.split(512):
            for captions in text_emb.split(2560):
                block @ captions.T

    def both() -> None:
        ranks_from_embeddings(image_emb, text_emb, owner)
        fold_metrics(image_emb, text_emb, owner, 5)

    size = f"{n:,} x {5 * n:,}"
    for name, run in (
        ("ranks, both directions", lambda: ranks_from_embeddings(image_emb, text_emb, owner)),
        ("ranks and five folds", both),
    ):
        yield Case("metrics", name, run, size, flops=2.0 * n * 5 * n * sizes.dim,
                   bytes=4.0 * 6 * n * sizes.dim, beside=product, items=n, unit="images", repeats=2)  # fmt: skip
