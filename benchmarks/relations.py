"""What the relation part of a trained run adds: how it attends, how far it moves an embedding, what its losses teach.

    python benchmarks/relations.py RUN [--data FOLDER] [--json FILE]

Over training batches, with the weights of the selected epoch:
- own caption connected: share of the pictures whose own caption lies inside A; by chance it is the neighbor share;
- effective nodes: exp of the entropy of an attention row (standalone: a softmax, two a row), beside the connected ones;
- cosine of an embedding v with its enhanced v̄;
- another graph: how far an enhanced embedding turns (degrees), and how the gradient of its losses changes (cosine), if
  each row of a block keeps random nodes, or those that A rules out; beside another draw of negatives;
- gradient cosine: of each loss term with L(v, u) over the encoders' weights, beside that of L(v, u) under another draw
  of negatives. A term that is no further away than a second draw teaches little that a second draw would not.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from hrem_lib import checkpoints, data, interaction, sampling, training
from hrem_lib.encoders import Encoded
from hrem_lib.model import HREM, Related


def load(run: Path, folder: Path | None) -> tuple[checkpoints.Run, data.PairDataset]:
    """A run and its training pairs, varied as in training (Sec 3.1)."""
    loaded = checkpoints.load_run(run)
    settings = loaded.config.data
    split = data.open_split(data.find_folder(folder or settings.folder), "train", settings.captions_per_image)
    augment = settings.region_drop, settings.word_drop
    tokens = loaded.text.encode(split.captions)
    return loaded, data.PairDataset(split, tokens, (loaded.text.mask_id, loaded.text.random_range), *augment, seed=1)


def relate(model: HREM, batch: data.Batch) -> tuple[Encoded, Encoded, Related]:
    """Plain embeddings v, u and enhanced ones of a batch, all [B,D]."""
    images = model.encode_images(batch.regions, batch.region_mask)
    texts = model.encode_texts(batch.words, batch.word_mask)
    return images, texts, model.relate(images, texts, return_weights=True)


def attention(run: checkpoints.Run, batch: data.Batch) -> dict[str, float]:
    """How the interaction attends in evaluation mode; means over rows and heads of its first layer."""
    model = run.model.eval()
    with torch.no_grad():
        images, texts, related = relate(model, batch)
    weights, half = related.weights[0], len(images.emb)
    if run.config.graph.interaction == "standalone":  # two softmaxes a row
        weights = torch.cat(weights.chunk(2, dim=2), 1)  # [H,4B,B]
    entropy = -(weights * weights.clamp(min=1e-30).log()).sum(-1)
    same = (images.emb * related.image_emb_rel).sum(1), (texts.emb * related.text_emb_rel).sum(1)
    own = [related.graph.block(block, "connection").diagonal().float().mean() for block in ("i2t", "t2i")]
    return {
        "own caption connected (i2t)": float(own[0]),
        "own picture connected (t2i)": float(own[1]),
        "connected nodes": float((weights > 0).float().sum(-1).mean()),
        "effective nodes": float(entropy.exp().mean()),
        "deviation of S in a block": float(
            related.graph.block("i2i").masked_select(~torch.eye(half, dtype=bool)).std()
        ),
        "cosine of v and enhanced v": float(torch.cat(same).mean()),
    }


def gradients(run: checkpoints.Run, batch: data.Batch) -> dict[str, float]:
    """Cosine of each term's gradient with that of L(v, u), over the weights of the encoders."""
    model = run.model.train()
    objective = training.make_objective(run.config)
    weights = [p for name, p in model.named_parameters() if not name.startswith("relation")]
    images, texts, related = relate(model, batch)
    plain = images.emb, texts.emb, batch.image_ids
    terms, _ = objective(*plain, related.image_emb_rel, related.text_emb_rel, related.graph.regularizer)
    terms.pop("regularizer", None)  # reaches no encoder
    terms["L(v, u), another draw"] = objective(*plain)[0]["initial"]
    found = {}
    for name, term in terms.items():
        parts = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
        filled = [torch.zeros_like(p) if g is None else g for g, p in zip(parts, weights, strict=True)]
        found[name] = torch.cat([g.flatten() for g in filled])
    first = found.pop("initial")
    return {f"gradient cosine, {n}": float(torch.cosine_similarity(first, g, dim=0)) for n, g in found.items()}


def other_graphs(run: checkpoints.Run, batch: data.Batch) -> dict[str, float]:
    """What another A changes: degrees between enhanced embeddings, cosine of their losses' gradients at v and u."""
    model, objective = run.model.eval(), training.make_objective(run.config)
    with torch.no_grad():
        images, texts, related = relate(model, batch)
    graph, half = related.graph, len(images.emb)
    kept = int(graph.block("i2i", "connection")[0].sum())
    order = torch.rand(2 * half, 2, half).argsort(2).argsort(2).flatten(1)  # a random order in each block
    itself = torch.eye(2 * half, dtype=torch.bool)
    graphs = {"": graph.connection, "random nodes": order < kept, "the opposite of A": ~graph.connection | itself}
    v, u = images.emb.requires_grad_(), texts.emb.requires_grad_()

    def enhanced(connection: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(seed)
        bias = interaction.additive_mask(connection, graph.relevance, run.config.graph.relevance_weight)
        v_rel, u_rel, _ = model.relation.interaction(v, u, bias)
        terms, _ = objective(v, u, batch.image_ids, v_rel, u_rel, graph.regularizer)
        loss = sum(term for name, term in terms.items() if name not in ("initial", "regularizer"))
        gradient = torch.cat(torch.autograd.grad(loss, (v, u)))
        return torch.cat([v_rel, u_rel]).detach(), gradient.flatten()

    ours, pull = enhanced(graphs.pop(""), 0)
    turned = {"v itself": torch.cat([v, u]).detach()}
    pulls = {"another draw of negatives": enhanced(graph.connection, 1)[1]}
    for name, connection in graphs.items():
        turned[name], pulls[name] = enhanced(connection, 0)
    degrees = {
        f"degrees, enhanced v and {n}": (ours * e).sum(1).clamp(-1, 1).arccos().rad2deg().mean()
        for n, e in turned.items()
    }
    cosines = {
        f"gradient cosine of the enhanced losses, {n}": torch.cosine_similarity(pull, g, dim=0)
        for n, g in pulls.items()
    }
    return {name: float(value) for name, value in (degrees | cosines).items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of a model with an instance-level part")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    run, pairs = load(args.run, args.data)
    size = run.config.training.batch_size
    rows = []
    for step, captions in enumerate(sampling.random_batches(len(pairs), size, 1, 1)[: args.batches]):
        batch = pairs[data.BatchPlan(1, step, captions)]
        rows.append(attention(run, batch) | other_graphs(run, batch) | gradients(run, batch))
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    for name, value in means.items():
        print(f"{name:<66} {value:8.3f}")
    if args.json:
        args.json.write_text(json.dumps(means, indent=1) + "\n")


if __name__ == "__main__":
    main()
