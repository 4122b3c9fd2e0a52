"""The training loop itself: what reaches every step, which epoch is kept, what is clustered, what is clipped.

Settings here are never the defaults, so that a default that is handed on by mistake is seen.
"""

from __future__ import annotations

import copy
import inspect
import json

import numpy as np
import pytest
import tiny
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hrem_lib import checkpoints, data, evaluation, losses, sampling, training
from hrem_lib.files import read_tensors
from hrem_lib.model import build_model

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """24 / 6 / 6 pictures, 120 training captions."""
    return tiny.write(tmp_path_factory.mktemp("data"), images=(24, 6, 6))


def spy(monkeypatch, owner, name, see):
    """`see(arguments by name)` before every call of `owner.name`; what it returns, if anything, is given the result."""
    real = getattr(owner, name)
    signature = inspect.signature(real)

    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        after = see(bound.arguments)
        result = real(*bound.args, **bound.kwargs)
        if after:
            after(result)
        return result

    monkeypatch.setattr(owner, name, call)


def weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


# --- what reaches a step ----------------------------------------------------------------------------------------------

SETTINGS = {
    "model__text_encoder": "bert",
    "model__bert": "small",
    "data__region_drop": 0.35,
    "data__word_drop": 0.45,
    "data__folds": 2,
    "loss__initial": "hinge",
    "loss__enhanced": "triplet",
    "loss__terms": ["initial", "crossed"],
    "loss__regularizer_weight": 4.0,
    "loss__margin": 0.31,
    "loss__cutoff": 1.6,
    "loss__min_distance": 0.4,
    "loss__sampling_dim": 24,
    "loss__draws": 3,
    "loss__hinge_sum_epochs": 2,
    "loss__exclude_same_image": False,
    "training__epochs": 4,
    "training__batch_size": 30,  # four steps an epoch
    "training__learning_rate": 0.004,
    "training__bert_rate_factor": 0.3,
    "training__relation_rate_factor": 0.7,
    "training__weight_decay": 0.02,
    "training__decay_epochs": [1, 3],
    "training__decay_rate": 0.5,
    "training__grad_clip": 1.3,
    "training__warmup_steps": 6,
    "training__seed": 5,
    "training__precision": "bfloat16",
}
RATES = {1: 0.004, 2: 0.002, 3: 0.002, 4: 0.001}  # of the settings above, by hand
HARDEST = {1: False, 2: False, 3: True, 4: True}
FIRST_WITH_RELATION = 6  # counted from 0
OBJECTIVE = {
    "initial": "hinge",
    "enhanced": "triplet",
    "terms": ("initial", "crossed"),
    "regularizer_weight": 4.0,
    "margin": 0.31,
    "cutoff": 1.6,
    "min_distance": 0.4,
    "sampling_dim": 24,
    "exclude_same_image": False,
    "draws": 3,
    "logit_scale": None,  # of InfoNCE alone
}


@pytest.fixture(scope="module")
def watched(folder, tmp_path_factory):
    """A whole run by `train`; what was seen at every step, loader and reading of dev."""
    seen = {"steps": [], "objective": [], "loaders": [], "readings": []}

    def step(given):
        rate = {id(p): g["lr"] for g in given["optimizer"].param_groups for p in g["params"]}
        row = {name: given[name] for name in ("batch", "grad_clip", "relation", "hardest", "precision")}
        row["objective"] = given["objective"]._asdict()
        row["rates"] = {name: rate[id(p)] for name, p in given["model"].named_parameters()}
        row["decay"] = {g["weight_decay"] for g in given["optimizer"].param_groups}
        row["training"] = given["model"].training
        seen["steps"].append(row)
        return lambda report: row.update(report=report)

    def objective(given):
        row = {"settings": given["self"]._asdict(), "hardest": given["hardest"]}
        row["relation"] = given["image_emb_rel"] is not None
        row["half"] = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        seen["objective"].append(row)

    with pytest.MonkeyPatch.context() as patch:
        spy(patch, training, "train_step", step)
        spy(patch, losses.Objective, "__call__", objective)
        spy(patch, data, "loader", lambda given: seen["loaders"].append(given["dataset"]))
        spy(patch, evaluation, "evaluate", lambda given: seen["readings"].append(given))
        seen["config"] = tiny.config(folder, **SETTINGS)
        training.train(seen["config"], tmp_path_factory.mktemp("runs") / "run")
    assert len(seen["steps"]) == len(seen["objective"]) == 16 and len(seen["loaders"]) == 4
    return seen


def by_step(seen, what="steps"):
    """(epoch, step of the run from 0, row)"""
    return [(number // 4 + 1, number, row) for number, row in enumerate(seen[what])]


def test_rate_of_every_weight_at_every_step(watched):
    for epoch, number, row in by_step(watched):
        for name, got in row["rates"].items():
            bert, relation = name.startswith("text_encoder.words.bert."), name.startswith("relation.")
            factor = 0.3 if bert else 0.7 if relation else 1.0
            assert got == pytest.approx(RATES[epoch] * factor), (number, name)
        assert row["decay"] == {0.02}
    assert {0.3, 0.7} < {round(r / RATES[1], 6) for r in watched["steps"][0]["rates"].values()}


def test_relation_part_starts_after_exactly_the_warm_up_steps(watched):
    for what in ("steps", "objective"):
        for _, number, row in by_step(watched, what):
            assert row["relation"] is (number >= FIRST_WITH_RELATION), (what, number)
    terms = [set(row["report"].terms) - {"regularizer"} for row in watched["steps"]]
    assert terms == [{"initial"}] * 6 + [{"initial", "crossed_image", "crossed_text"}] * 10


def test_hinge_takes_the_hardest_after_its_first_epochs(watched):
    for what in ("steps", "objective"):
        for epoch, number, row in by_step(watched, what):
            assert row["hardest"] is HARDEST[epoch], (what, number)


def test_objective_clipping_and_precision_of_every_step(watched):
    for _, number, row in by_step(watched):
        assert row["objective"] == OBJECTIVE, number
        assert (row["grad_clip"], row["precision"], row["training"]) == (1.3, "bfloat16", True), number
    for _, number, row in by_step(watched, "objective"):  # what the losses were really computed with
        assert row["settings"] == OBJECTIVE and row["half"], number


def test_augmentation_and_batches_of_every_step(watched, folder):
    """`train` hands the config's augmentation on, and each step gets the batch of its seed, epoch and step."""
    split = data.open_split(folder, "train")
    text = training.make_tokenizer(watched["config"], split.captions)
    for got in watched["loaders"]:
        assert (got.region_drop, got.word_drop, got.seed) == (0.35, 0.45, 5)
        assert got.text == (text.mask_id, text.random_range)
    wanted = data.PairDataset(split, text.encode(split.captions), (text.mask_id, text.random_range), 0.35, 0.45, 5)
    plain = data.PairDataset(split, text.encode(split.captions))
    augmented = 0
    for epoch, number, row in by_step(watched):
        captions = sampling.random_batches(120, 30, 5, epoch)[number % 4]
        plan, got = data.BatchPlan(epoch, number % 4, captions), vars(row["batch"])
        assert same(got, vars(wanted[plan])), number
        augmented += not torch.equal(got["region_mask"], plain[plan].region_mask)
    assert augmented == 16


def test_dev_is_read_after_every_epoch_as_the_config_says(watched):
    names = [(r["split"].name, r["intervals"]) for r in watched["readings"]]
    assert names == [("dev", False)] * 4 + [("dev", True), ("test", True)]
    assert {(r["folds"], r["precision"]) for r in watched["readings"]} == {(2, "bfloat16")}


# --- which epoch is kept ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("planted", "best"),
    [([300, 200, 100], 1), ([100, 300, 200], 2), ([100, 300, 300], 2), ([100, 200, 300], 3)],
    ids=["first", "middle", "tie", "last"],
)
def test_weights_of_the_best_epoch_are_kept(folder, tmp_path, monkeypatch, planted, best):
    """Planted figures of dev: weights in memory, on disk, in metrics.json and in the last reading are that epoch's."""
    real, snapshots, final = evaluation.evaluate, [], []

    def evaluate(models, split, **kwargs):
        figures, model = real(models, split, **kwargs), models[0][0]
        if kwargs.get("intervals"):  # the last reading, after training
            final.append((split.name, weights(model), model.training, figures))
            return figures
        snapshots.append(weights(model))
        return {**figures, "rSum": float(planted[len(snapshots) - 1])}

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    config = tiny.config(folder, training__epochs=3, training__warmup_steps=2, training__batch_size=40)
    result = training.train(config, tmp_path / "run")
    kept = snapshots[best - 1]
    assert not any(same(kept, other) for epoch, other in enumerate(snapshots, 1) if epoch != best)
    stored, info = read_tensors(tmp_path / "run" / checkpoints.MODEL)
    assert same(stored, kept) and info["epoch"] == best
    assert [name for name, *_ in final] == ["dev", "test"]
    for name, held, training_mode, figures in final:
        assert same(held, kept) and not training_mode
        assert result[name] == figures
    assert result["epoch"] == best == json.loads((tmp_path / "run" / "metrics.json").read_text())["epoch"]
    lines = (tmp_path / "run" / checkpoints.HISTORY).read_text().splitlines()
    assert [json.loads(line)["dev"]["rSum"] for line in lines] == planted
    state, _ = read_tensors(tmp_path / "run" / checkpoints.STATE)  # to go on from: the last epoch's
    assert all(torch.equal(state[f"model.{name}"], tensor) for name, tensor in snapshots[-1].items())


# --- what is clustered ------------------------------------------------------------------------------------------------


def parts(config, folder):
    """Model, training set and dev of a config, as `train` makes them."""
    torch.manual_seed(config.training.seed)
    train, dev = data.open_split(folder, "train"), data.open_split(folder, "dev")
    text = training.make_tokenizer(config, train.captions)
    model = build_model(config, train.region_dim, text.size)
    settings = (config.data.region_drop, config.data.word_drop, config.training.seed)
    train_set = data.PairDataset(train, text.encode(train.captions), (text.mask_id, text.random_range), *settings)
    return model, train_set, (dev, text.encode(dev.captions))


@pytest.mark.parametrize(("asked", "k", "clusters"), [(4, 3, 4), (0, 2, 3)], ids=["as_asked", "by_size"])
def test_neighbor_batches_come_from_this_epochs_embeddings(folder, tmp_path, monkeypatch, asked, k, clusters):
    """Clusters and batches made again by the test, from embeddings of the weights with which the epoch began."""
    config = tiny.config(
        folder, training__epochs=3, training__seed=7, training__batch_size=2 * k, training__warmup_steps=5,
        sampling__neighbor_epoch=2, sampling__clusters=asked, sampling__clusters_per_batch=2,
        sampling__images_per_cluster=k,
    )  # fmt: skip
    model, train_set, dev = parts(config, folder)
    split, epochs, clustered = train_set.split, [], []

    def loader(given):
        given["plans"] = list(given["plans"])
        epochs.append((np.stack([plan.caption_ids for plan in given["plans"]]), copy.deepcopy(model)))

    with monkeypatch.context() as patch:
        spy(patch, data, "loader", loader)
        spy(patch, sampling, "cluster_images", clustered.append)
        history = training.fit(model, config, train_set, dev, tmp_path, torch.device("cpu"))
    assert [line["sampling"] for line in history] == ["random", "neighbor", "neighbor"]
    steps = 120 // (2 * k)
    assert np.array_equal(epochs[0][0], sampling.random_batches(120, 2 * k, 7, 1))
    assert len(clustered) == 2
    for epoch, (got, then), given in zip((2, 3), epochs[1:], clustered, strict=True):
        with torch.no_grad():
            embeddings = then.eval().encode_images(*split.regions(np.arange(split.n_images))).emb.numpy()
        np.testing.assert_allclose(given["image_emb"], embeddings, atol=1e-6)
        assert (given["clusters"], given["seed"], given["smallest"]) == (clusters, 7, k)
        labels = sampling.cluster_images(embeddings, clusters, 7, k)
        wanted = sampling.neighbor_batches(labels, split.image_of_caption, steps, 2, k, 7, epoch)
        assert np.array_equal(got, wanted), epoch
    drift = np.abs(clustered[0]["image_emb"] - clustered[1]["image_emb"]).max()
    assert drift > 1e-3  # another epoch's embeddings would be seen


# --- what is clipped --------------------------------------------------------------------------------------------------


def run_with_clip(folder, out, monkeypatch, clip):
    """Norm of the gradient that `train_step` names, norm that the optimizer meets, weights in the end."""
    named, met = [], []
    config = tiny.config(folder, training__epochs=1, training__warmup_steps=2, training__grad_clip=clip)
    model, train_set, dev = parts(config, folder)

    def before_the_update(optimizer, *_):
        gradients = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        met.append(float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt()))

    with monkeypatch.context() as patch:
        spy(patch, training, "train_step", lambda given: lambda report: named.append(float(report.grad_norm)))
        hook = register_optimizer_step_pre_hook(before_the_update)
        try:
            training.fit(model, config, train_set, dev, out, torch.device("cpu"))
        finally:
            hook.remove()
    assert len(named) == len(met) == 6
    return named, met, weights(model)


def test_the_gradient_is_truly_clipped(folder, tmp_path, monkeypatch):
    for name in ("clipped", "free"):
        (tmp_path / name).mkdir()
    named, met, clipped = run_with_clip(folder, tmp_path / "clipped", monkeypatch, 0.8)
    assert min(named) > 2 * 0.8
    assert met == pytest.approx([0.8] * 6, rel=1e-4)
    free_named, free_met, free = run_with_clip(folder, tmp_path / "free", monkeypatch, 1e6)
    assert free_met == pytest.approx(free_named, rel=1e-4)
    assert free_named[0] == pytest.approx(named[0], rel=1e-4)  # named before clipping
    # AdamW's first update hardly knows the scale of a gradient; later ones do
    gap = max(float((clipped[n] - free[n]).abs().max()) for n in free if free[n].is_floating_point())
    assert gap > 1e-3
