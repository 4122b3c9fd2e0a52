"""The loop and the main job: it learns, repeats itself, resumes exactly and refuses what cannot work."""

import dataclasses
import json

import numpy as np
import pytest
import tiny
import torch

from hrem_lib import checkpoints, data, evaluation, sampling, training
from hrem_lib import config as configs
from hrem_lib.errors import UserError
from hrem_lib.files import read_tensors
from hrem_lib.model import build_model

torch.set_num_threads(1)
NEIGHBOR = {
    "sampling__neighbor_epoch": 3,
    "sampling__clusters": 2,
    "sampling__clusters_per_batch": 1,
    "sampling__images_per_cluster": 10,
    "training__batch_size": 10,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", autouse=True)
def bad_last_epoch():
    """Dev's rSum after 80 steps, the last of `finished` and of runs compared with it, becomes 0: so they keep an
    earlier epoch than their last."""
    real = evaluation.evaluate

    def evaluate(models, split, **kwargs):
        figures = real(models, split, **kwargs)
        steps = int(models[0][0].image_encoder.projection.mlp[1].num_batches_tracked)  # BatchNorm counts them
        return {**figures, "rSum": 0.0} if split.name == "dev" and steps == 80 else figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "evaluate", evaluate)
        yield


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """One whole run with fusion and neighbor batches, whose last epoch is not the selected one."""
    out = tmp_path_factory.mktemp("runs") / "run"
    result = training.train(tiny.config(folder, training__epochs=4, **NEIGHBOR), out)
    return out, result


def parts(config, folder):
    """Model, training set and dev split of a config, as `train` makes them."""
    torch.manual_seed(config.training.seed)
    train, dev = data.open_split(folder, "train"), data.open_split(folder, "dev")
    text = training.make_tokenizer(config, train.captions)
    model = build_model(config, train.region_dim, text.size)
    tokens = text.encode(train.captions)
    settings = (config.data.region_drop, config.data.word_drop, config.training.seed)
    train_set = data.PairDataset(train, tokens, (text.mask_id, text.random_range), *settings)
    return model, train_set, (dev, text.encode(dev.captions))


def first_batch(train_set, size=20):
    return train_set[data.BatchPlan(1, 0, np.arange(size) * 5)]


def test_run_folder(finished):
    out, result = finished
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "history.jsonl", "metrics.json", "model.safetensors"} <= names
    assert not [name for name in names if name.endswith(".part")]
    stored = json.loads((out / "metrics.json").read_text())
    assert stored == json.loads(json.dumps(result))
    for split, images in (("dev", 10), ("test", 10)):
        figures = stored[split]
        assert (figures["images"], figures["captions"]) == (images, 5 * images)
        six = [figures[d][f"R@{k}"] for d in ("i2t", "t2i") for k in (1, 5, 10)]
        assert figures["rSum"] == pytest.approx(sum(six))
        assert {"MedR", "MeanR"} <= set(figures["i2t"])
    assert stored["seed"] == 0 and "torch" in stored["versions"] and stored["seconds"] > 0
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in history] == [1, 2, 3, 4]
    assert {line["relation_from_step"] for line in history} == {10}
    assert [line["sampling"] for line in history] == ["random"] * 2 + ["neighbor"] * 2
    assert stored["epoch"] == max(history, key=lambda line: line["dev"]["rSum"])["epoch"]
    assert list((out / "tensorboard").iterdir())


def test_it_learns(finished):
    _, result = finished
    assert result["test"]["t2i"]["R@1"] > 30  # chance 10
    assert result["test"]["t2i"]["R@5"] > 75  # chance 50


def test_relation_terms_start_after_warm_up(finished):
    out, _ = finished
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert set(history[3]["loss"]) >= {"initial", "enhanced", "crossed_image", "crossed_text", "regularizer", "total"}
    parts = [v for name, v in history[3]["loss"].items() if name != "total"]
    assert history[3]["loss"]["total"] == pytest.approx(sum(parts), rel=1e-5)


def test_saved_model_is_the_selected_one(finished, folder):
    out, result = finished
    assert result["epoch"] < 4  # else a run that keeps its last epoch would pass
    run = checkpoints.load_run(out)
    assert any(not torch.equal(weights(out)[f"model.{n}"], p) for n, p in run.model.state_dict().items())
    split = data.open_split(folder, "test")
    again = evaluation.evaluate([(run.model, run.text.encode(split.captions))], split)
    assert again["rSum"] == pytest.approx(result["test"]["rSum"])
    # the dev figures in metrics.json are those of the selected epoch
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert result["dev"]["rSum"] == pytest.approx(history[result["epoch"] - 1]["dev"]["rSum"])


def test_overfits_one_batch(folder):
    config = tiny.config(folder, model__dropout=0.0, loss__terms="initial")
    model, train_set, _ = parts(config, folder)
    batch = first_batch(train_set)
    optimizer, objective = training.make_optimizer(model, config), training.make_objective(config)
    losses = [
        float(training.train_step(model, batch, objective, optimizer, 2.0, relation=False).total) for _ in range(200)
    ]
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("interaction", ["fusion", "standalone"])
def test_every_weight_learns(folder, interaction):
    config = tiny.config(folder, graph__interaction=interaction)
    model, train_set, _ = parts(config, folder)
    optimizer, objective = training.make_optimizer(model, config), training.make_objective(config)
    training.train_step(model, first_batch(train_set), objective, optimizer, 2.0, relation=True)
    silent = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    # a constant added to all scores of a softmax changes nothing: where each block has its own softmax, the last biases
    # of (9) get nothing but rounding noise, if that
    free = {f"relation.graph.mlp_{name}.2.bias" for name in ("i2t", "t2i")} if interaction == "standalone" else set()
    assert silent <= free


def test_warm_up_leaves_the_relation_part_alone(folder):
    config = tiny.config(folder)
    model, train_set, _ = parts(config, folder)
    before = {n: p.clone() for n, p in model.relation.named_parameters()}
    optimizer, objective = training.make_optimizer(model, config), training.make_objective(config)
    report = training.train_step(model, first_batch(train_set), objective, optimizer, 2.0, relation=False)
    assert set(report.terms) == set(report.at_collapse) == {"initial"}
    assert report.collapse == pytest.approx(2 * 20 * 0.2)  # 20 pictures, one caption each
    assert all(torch.equal(before[n], p) for n, p in model.relation.named_parameters())


def test_rates_and_groups(folder):
    config = tiny.config(folder, model__text_encoder="bert", model__bert="small", training__decay_epochs=[1, 2])
    assert [training.rate_at(config, e) for e in (1, 2, 3, 4)] == pytest.approx([5e-3, 5e-4, 5e-5, 5e-5])
    model, _, _ = parts(config, folder)
    groups = training.make_optimizer(model, config).param_groups
    assert [g["factor"] for g in groups] == [1.0, 0.1]
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in model.text_encoder.words.bert.parameters()}
    slow = config.override({"training.relation_rate_factor": 0.2})
    rest, bert, relation = training.make_optimizer(model, slow).param_groups
    assert [g["factor"] for g in (rest, bert, relation)] == [1.0, 0.1, 0.2]
    assert {id(p) for p in relation["params"]} == {id(p) for p in model.relation.parameters()}
    assert sum(len(g["params"]) for g in (rest, bert, relation)) == len(list(model.parameters()))


def test_own_rate_of_the_instance_level_part(folder):
    config = tiny.config(folder, training__relation_rate_factor=0.0, training__weight_decay=0.0)
    model, train_set, _ = parts(config, folder)
    optimizer = training.make_optimizer(model, config)
    for group in optimizer.param_groups:
        group["lr"] = 1e-3 * group["factor"]
    before = {n: p.clone() for n, p in model.named_parameters()}
    training.train_step(model, first_batch(train_set), training.make_objective(config), optimizer, 2.0, relation=True)
    moved = {n.split(".")[0] for n, p in model.named_parameters() if not torch.equal(before[n], p)}
    assert moved == {"image_encoder", "text_encoder"}


def test_small_bert_trains(folder, tmp_path):
    config = tiny.config(folder, model__text_encoder="bert", model__bert="small", training__epochs=2)
    training.train(config, tmp_path / "run")
    run = checkpoints.load_run(tmp_path / "run")
    split = data.open_split(folder, "test")
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["rSum"]
    again = evaluation.evaluate([(run.model, run.text.encode(split.captions))], split)
    assert again["rSum"] == pytest.approx(stored)


def weights(out):
    return read_tensors(out / checkpoints.STATE)[0]


def test_trap_11_same_seed_same_run(finished, folder, tmp_path):
    """The released code sets no seed; here two runs with one seed end bit for bit alike."""
    out, result = finished
    again = training.train(tiny.config(folder, training__epochs=4, **NEIGHBOR), tmp_path / "again")
    assert again["test"] == result["test"]
    a, b = weights(out), weights(tmp_path / "again")
    assert all(torch.equal(a[n], b[n]) for n in a)
    other = training.train(tiny.config(folder, training__epochs=4, training__seed=1, **NEIGHBOR), tmp_path / "other")
    assert other["dev"] != result["dev"]


def test_trap_10_resume_is_exact(finished, folder, tmp_path, monkeypatch):
    """The released code saves the encoders only; here an interrupted run goes on bit for bit, interaction included."""
    out, result = finished
    config = tiny.config(folder, training__epochs=4, **NEIGHBOR)
    real, calls = training.plan_epoch, []

    def stop_in_epoch_4(config, model, split, epoch, device):
        calls.append(epoch)
        if epoch == 4 and calls.count(4) == 1:
            raise KeyboardInterrupt
        return real(config, model, split, epoch, device)

    monkeypatch.setattr(training, "plan_epoch", stop_in_epoch_4)
    with pytest.raises(KeyboardInterrupt):
        training.train(config, tmp_path / "run")
    resumed = training.train(config, tmp_path / "run", resume=True)
    assert calls == [1, 2, 3, 4, 4]
    assert resumed["test"] == result["test"] and resumed["epoch"] == result["epoch"]
    a, b = weights(out), weights(tmp_path / "run")
    assert set(a) == set(b) and all(torch.equal(a[n], b[n]) for n in a)
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
    assert any(name.startswith("model.relation.interaction") for name in b)


def test_resume_with_other_settings_is_refused(finished, folder):
    out, _ = finished
    with pytest.raises(UserError, match=r"got training.epochs = 9, wanted 4 as in the run"):
        training.train(tiny.config(folder, training__epochs=9, **NEIGHBOR), out, resume=True)


def test_trap_09_not_finite_stops_with_names_and_changes_no_weight(folder):
    """The released code skips such a step in silence."""
    config = tiny.config(folder)
    model, train_set, _ = parts(config, folder)
    optimizer, objective = training.make_optimizer(model, config), training.make_objective(config)
    batch = first_batch(train_set)
    batch.regions[3] = float("nan")
    before = {n: p.clone() for n, p in model.named_parameters()}
    with pytest.raises(FloatingPointError, match=r"image embeddings.*captions \[0, 5, 10"):
        training.train_step(model, batch, objective, optimizer, 2.0, relation=False)
    assert all(torch.equal(before[n], p) for n, p in model.named_parameters())


def test_not_finite_in_a_run_names_captions_and_saves_the_state(folder, tmp_path, monkeypatch):
    """Loss in step 3 of epoch 2; the figures of epoch 1 stay, and the run could be resumed from there."""
    config, real, calls = tiny.config(folder), training.train_step, []

    def step(model, batch, *args, **kwargs):
        calls.append(batch)
        if len(calls) == 14:  # ten steps an epoch
            batch.regions[3] = float("inf")
        return real(model, batch, *args, **kwargs)

    monkeypatch.setattr(training, "train_step", step)
    with pytest.raises(FloatingPointError) as stop:
        training.train(config, tmp_path / "run")
    captions = data.open_split(folder, "train").captions
    batch = [captions[i] for i in calls[-1].caption_ids]
    sentence = str(stop.value)
    # the row itself has no negative any more, so that L(v, u) may well be finite; the embeddings are not
    assert sentence.startswith("epoch 2 step 3: not finite: ") and "image embeddings" in sentence
    assert str(batch) in sentence and "debug.safetensors" in sentence
    tensors, info = read_tensors(tmp_path / "run" / checkpoints.DEBUG)
    assert info["captions"] == batch and (info["epoch"], info["step"]) == (2, 3)
    assert tensors["batch.regions"][3].isinf().all()
    assert any(name.startswith("optimizer.") for name in tensors)
    # the weights are those before the step: from them the loss of a sound batch is finite
    model, *_ = parts(config, folder)
    checkpoints.load_weights(model, {n[6:]: t for n, t in tensors.items() if n.startswith("model.")}, "debug")
    assert all(p.isfinite().all() for p in model.parameters())
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 1


def test_gradient_that_is_not_finite_names_the_weights(folder):
    config = tiny.config(folder)
    model, train_set, _ = parts(config, folder)
    optimizer, objective = training.make_optimizer(model, config), training.make_objective(config)
    name, weight = next((n, p) for n, p in model.named_parameters() if n.startswith("relation.interaction"))
    weight.register_hook(lambda gradient: gradient * float("nan"))
    before = {n: p.clone() for n, p in model.named_parameters()}
    with pytest.raises(
        FloatingPointError, match=rf"gradient not finite: of {name}, with the terms initial \d.*captions"
    ):
        training.train_step(model, first_batch(train_set), objective, optimizer, 2.0, relation=True)
    assert all(torch.equal(before[n], p) for n, p in model.named_parameters())


def test_collapse_is_named_on_the_console_once_and_in_the_history(folder, tmp_path, capsys, monkeypatch):
    """Pictures that the model cannot tell apart: every embedding alike, every step at 2 x positives x margin."""
    real = training.train_step

    def collapsed(model, batch, *args, **kwargs):
        for parameter in model.parameters():
            parameter.data.zero_()  # all embeddings become the zero vector
        return real(model, batch, *args, **kwargs)

    monkeypatch.setattr(training, "train_step", collapsed)
    config = tiny.config(folder, graph__interaction="none", training__epochs=6, training__batch_size=10)
    training.train(config, tmp_path / "run")
    lines = capsys.readouterr().out.splitlines()
    (named,) = [line for line in lines if "mode collapse" in line]
    assert named.startswith("epoch 5 step 19: ") and "initial" in named  # the 100th step, twenty an epoch
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [line["collapsed"] for line in history] == [[]] * 4 + [["initial"]] * 2
    assert sum("(collapsed: initial)" in line for line in lines) == 2


def test_other_training_data_are_refused_on_resume(folder, tmp_path):
    """Same sizes, one caption changed: the run would go on, and be another one."""
    import shutil

    shutil.copytree(folder, tmp_path / "tiny_precomp")
    config = tiny.config(tmp_path / "tiny_precomp")
    training.train(config, tmp_path / "run")
    path = tmp_path / "tiny_precomp" / "train_caps.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[1:], lines[0]]) + "\n")
    with pytest.raises(UserError, match="got other training data"):
        training.train(config, tmp_path / "run", resume=True)


def test_trap_12_device():
    assert training.pick_device("cpu").type == "cpu"
    assert training.pick_device("auto").type in ("cuda", "mps", "cpu")
    with pytest.raises(UserError, match="nowhere"):
        training.pick_device("nowhere")


def test_trap_19_evaluation_encodes_each_image_once(folder, monkeypatch):
    config = tiny.config(folder)
    model, _, (dev, tokens) = parts(config, folder)
    seen = []
    real = model.encode_images
    monkeypatch.setattr(model, "encode_images", lambda r, m: seen.append(len(r)) or real(r, m))
    evaluation.evaluate([(model, tokens)], dev)
    assert sum(seen) == dev.n_images


def test_relation_part_that_never_starts_is_refused(folder, tmp_path):
    config = tiny.config(folder, training__warmup_steps=40)
    with pytest.raises(UserError, match=r"warmup_steps: got 40.*40 steps"):
        training.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    base = tiny.config(folder, training__warmup_steps=40, graph__interaction="none", training__epochs=1)
    training.train(base, tmp_path / "base")


def test_existing_folder_is_not_overwritten(folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("keep me")
    with pytest.raises(UserError, match="not empty"):
        training.train(tiny.config(folder), tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_fit_has_no_test_split():
    import inspect

    assert not [name for name in inspect.signature(training.fit).parameters if "test" in name]


def test_selecting_on_test_reads_test_and_says_so(folder, tmp_path):
    config = tiny.config(folder, training__select_on="test", training__epochs=2, training__warmup_steps=1)
    result = training.train(config, tmp_path / "run")
    assert result["selected_on"] == "test" and result["dev"] == result["test"]


def test_bfloat16_trains(folder, tmp_path):
    config = tiny.config(folder, training__precision="bfloat16", training__epochs=3)
    result = training.train(config, tmp_path / "run")
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert history[-1]["loss"]["total"] > 0 and result["test"]["rSum"] > 0
    assert history[2]["loss"]["initial"] < history[0]["loss"]["initial"]


@pytest.mark.parametrize(
    "change",
    [
        {"model__fragment_attention": False},
        {"model__projection": "linear"},
        {"graph__use_connection": False},
        {"graph__use_relevance": False},
        {"graph__matching": "cosine", "graph__layers": 2},
        {"graph__interaction": "standalone", "graph__layers": 2, "graph__normalize_input": False},
        {"loss__initial": "hinge", "loss__enhanced": "hinge"},
        {"loss__terms": "enhanced"},
        {"loss__regularizer_weight": 0.0},
    ],
    ids=lambda change: "-".join(change),
)
def test_every_option_takes_a_step(folder, change):
    config = tiny.config(folder, **change)
    model, train_set, _ = parts(config, folder)
    optimizer, objective = training.make_optimizer(model, config), training.make_objective(config)
    report = training.train_step(model, first_batch(train_set), objective, optimizer, 2.0, relation=True)
    assert torch.isfinite(report.total)


def test_shipped_checkpoint_gives_its_figures():
    run = checkpoints.load_run(data.sample_run())
    assert run.config.to_dict() == configs.preset("sample").to_dict()
    split = data.open_split(data.sample_dir(), "test")
    again = evaluation.evaluate([(run.model, run.text.encode(split.captions))], split)
    stored = json.loads((data.sample_run() / "metrics.json").read_text())["test"]
    assert again["rSum"] == pytest.approx(stored["rSum"], abs=1.0)  # a rank may turn on another processor
    for direction in ("i2t", "t2i"):
        assert again[direction]["R@1"] >= 20 * 0.5  # chance with 200 pictures is 0.5


@pytest.mark.parametrize(
    ("settings", "collapses"),
    [
        ({"loss.initial": "hinge", "training.learning_rate": 0.1}, True),  # hardest negatives from the first step
        ({"loss.sampling_dim": 512, "training.learning_rate": 4e-3}, False),  # the released code's law
    ],
)
def test_collapse_is_told_from_a_model_that_learns(settings, collapses):
    """Both stand at 2 x positives x margin for many steps; one has lost all differences, the other gains them."""
    small = {"graph.interaction": "none", "model.embed_dim": 32, "model.heads": 2, "model.word_dim": 32}
    chosen = {"training.batch_size": 64, "sampling.neighbor_epoch": 0, "data.word_drop": 0, "data.region_drop": 0}
    config = configs.preset("sample").override({**small, **chosen, **settings})
    split = data.open_split(data.sample_dir(), "train")
    text = training.make_tokenizer(config, split.captions)
    train_set, objective = data.PairDataset(split, text.encode(split.captions)), training.make_objective(config)
    named, named_by_level = [], []
    for seed in (0, 1):  # a single one may pass the level by
        torch.manual_seed(seed)
        model = build_model(config, split.region_dim, text.size).train()
        optimizer = training.make_optimizer(model, config)
        watch, level_alone = training.CollapseWatch(), training.CollapseWatch()
        watch.steps = level_alone.steps = 5
        batches = [b for epoch in (1, 2) for b in sampling.random_batches(split.n_captions, 64, seed, epoch)]
        for step, captions in enumerate(batches[:120]):
            batch = train_set[data.BatchPlan(1, step, captions)]
            report = training.train_step(model, batch, objective, optimizer, 2.0, relation=False)
            named += watch.see({"initial": bool(report.at_collapse["initial"])})
            near = abs(float(report.terms["initial"]) / report.collapse - 1) < 0.02
            named_by_level += level_alone.see({"initial": near})
    assert named_by_level  # what the loss alone says
    assert bool(named) == collapses


# --- small data, and what is known before the first step --------------------------------------------------------------


def drawn(images, seed):
    """So many pictures of the sample world's training split, at random."""
    import dataclasses

    whole = data.open_split(data.sample_dir(), "train")
    rows = np.sort(np.random.default_rng(seed).choice(whole.n_images, images, replace=False))
    captions = [whole.captions[5 * row + k] for row in rows for k in range(5)]
    own = np.arange(5 * images) // 5
    return dataclasses.replace(
        whole, features=whole.features[rows], captions=captions, image_of_caption=own, row_of_image=np.arange(images),
        boxes=None, ids=None,
    )  # fmt: skip


@pytest.mark.parametrize("images", [130, 160, 200, 250])
def test_few_pictures_give_smaller_neighbor_batches_with_a_line(images, capsys):
    """By the shipped model and the preset's P = 16, K = 8: k-means leaves fewer clusters of 8 pictures than 16."""
    run, cpu = checkpoints.load_run(data.sample_run()), torch.device("cpu")
    shrunk = 0
    for seed in range(3):
        config, split = configs.preset("sample").override({"training.seed": seed}), drawn(images, seed)
        batches, kind = training.plan_epoch(config, run.model, split, 9, cpu)
        lines = capsys.readouterr().out.splitlines()
        assert len(batches) == 5 * images // 128 and kind == "neighbor"
        if batches.shape[1] == 128:
            assert not lines
        else:
            shrunk += 1
            assert 64 <= batches.shape[1] < 128
            (line,) = lines
            assert line.startswith("epoch 9: clusters of at least 8 images: got ") and "wanted 16; batches of" in line
            assert f" = {batches.shape[1]} pairs" in line
        for batch in split.image_of_caption[batches]:
            assert len(np.unique(batch)) == batches.shape[1]  # no picture twice
        again, _ = training.plan_epoch(config, run.model, split, 9, cpu)
        assert np.array_equal(again, batches)
        capsys.readouterr()
    assert shrunk  # the draws hold what the test is about


def test_far_too_few_pictures_go_on_with_random_batches_and_a_line(capsys):
    run, config, split = checkpoints.load_run(data.sample_run()), configs.preset("sample"), drawn(40, 0)
    batches, kind = training.plan_epoch(config, run.model, split, 9, torch.device("cpu"))
    assert kind == "random" and np.array_equal(batches, sampling.random_batches(200, 128, 0, 9))
    assert "random batches go on" in capsys.readouterr().out
    one, kind = training.plan_epoch(config, run.model, drawn(10, 0), 9, torch.device("cpu"))  # fewer pictures than P
    assert kind == "random" and one.shape == (1, 50)


def test_shape_of_a_batch_that_the_clusters_allow():
    def labels(*sizes):
        return np.repeat(np.arange(len(sizes)), sizes)

    assert sampling.batch_shape(labels(*[8] * 16), 16, 8) == (16, 8)
    assert sampling.batch_shape(labels(*[50] * 40), 16, 8) == (16, 8)  # what suffices stays as it is
    assert sampling.batch_shape(labels(*[9] * 14), 16, 8) == (14, 9)  # 126 of 128
    assert sampling.batch_shape(labels(*[10] * 14), 16, 8) == (14, 9)  # not 13 x 9 = 117, not 12 x 10 = 120
    assert sampling.batch_shape(labels(100, 100, 100), 16, 8) == (2, 64)  # as large with 2 as with any other
    assert sampling.batch_shape(labels(*[8] * 8), 16, 8) == (8, 8)  # half of the batch
    assert sampling.batch_shape(labels(*[9] * 7), 16, 8) is None  # 63 of 128
    assert sampling.batch_shape(labels(200), 16, 8) is None  # one cluster: random pictures
    assert sampling.batch_shape(labels(*[9] * 13), 16, 8, processes=4) == (12, 9)  # 117 is no multiple of 4
    assert sampling.batch_shape(labels(*[9] * 13), 16, 8) == (13, 9)


def interrupted(monkeypatch, config, out, epoch):
    """A run that stops when it plans `epoch`."""
    real = training.plan_epoch

    def stop(config, model, split, now, device):
        if now == epoch:
            raise KeyboardInterrupt
        return real(config, model, split, now, device)

    with monkeypatch.context() as patch:
        patch.setattr(training, "plan_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, out)


def same_state(a, b):
    one, other = weights(a), weights(b)
    return set(one) == set(other) and all(torch.equal(one[n], other[n]) for n in one)


def test_run_with_too_few_clusters_trains_to_its_end_and_resumes_exactly(folder, tmp_path, monkeypatch, capsys):
    """40 pictures cannot fill 9 clusters of 4 after small ones are merged."""
    few = {"training__batch_size": 36, "sampling__clusters_per_batch": 9, "sampling__images_per_cluster": 4}
    config = tiny.config(folder, sampling__neighbor_epoch=3, training__warmup_steps=6, training__epochs=5, **few)
    whole = training.train(config, tmp_path / "whole")
    shown = [line for line in capsys.readouterr().out.splitlines() if "clusters of at least 4 images: got" in line]
    assert len(shown) == 3
    interrupted(monkeypatch, config, tmp_path / "run", 5)
    capsys.readouterr()
    resumed = training.train(config, tmp_path / "run", resume=True)
    assert [line for line in capsys.readouterr().out.splitlines() if "got" in line] == shown[2:]
    assert resumed["test"] == whole["test"] and same_state(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data__folds": 3}, r"data.folds: got 3 for the 10 images of the split dev, wanted"),
        ({"data__folds": 5, "data__test_split": "odd"}, r"data.folds: got 5 for the 12 images of the split odd"),
        ({"training__batch_size": 1}, r"training.batch_size: got 1, wanted at least 2: a pair alone has no negative"),
        ({"sampling__neighbor_epoch": 3, "sampling__clusters": 41}, r"clusters: got 41, wanted at most the 40"),
        ({"sampling__neighbor_epoch": 3, "sampling__clusters": 4}, r"clusters: got 4, wanted at least the 5"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_the_data_forbid_is_refused_before_the_first_step(folder, tmp_path, monkeypatch, change, words):
    import shutil

    place = tmp_path / "tiny_precomp"
    shutil.copytree(folder, place)
    np.save(place / "odd_ims.npy", np.load(place / "train_ims.npy")[:12])
    lines = (place / "train_caps.txt").read_text().splitlines()[:60]
    (place / "odd_caps.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(training, "train_step", lambda *a, **k: pytest.fail("a step was made"))
    shape = {"sampling__clusters_per_batch": 5, "sampling__images_per_cluster": 4}
    with pytest.raises(UserError, match=words):
        training.train(tiny.config(place, **shape, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_training_split_of_one_picture_is_refused(tmp_path):
    """Two pairs with one picture have no negative either; one region, else BatchNorm's ValueError comes first."""
    folder = tiny.write(tmp_path, images=(1, 10, 10), regions=1)
    with pytest.raises(UserError, match=r"train_ims.npy: got 1 picture, wanted at least 2"):
        training.train(tiny.config(folder, training__warmup_steps=1), tmp_path / "run")


# --- resume elsewhere -------------------------------------------------------------------------------------------------


def test_resume_where_the_data_have_moved(finished, folder, tmp_path, monkeypatch):
    """Other folder, loader processes and name of the device; the run folder then names the new ones."""
    import shutil

    out, result = finished
    old, new = tmp_path / "old" / "tiny_precomp", tmp_path / "new" / "tiny_precomp"
    shutil.copytree(folder, old)
    config = tiny.config(old, training__epochs=4, **NEIGHBOR)
    interrupted(monkeypatch, config, tmp_path / "run", 3)
    new.parent.mkdir()
    old.rename(new)
    moved = config.override({"data.folder": str(new), "data.workers": 1, "training.device": "auto"})
    monkeypatch.setattr(training, "pick_device", lambda name: torch.device("cpu"))
    assert training.train(moved, tmp_path / "run", resume=True)["test"] == result["test"]
    assert same_state(out, tmp_path / "run")
    assert checkpoints.load_run(tmp_path / "run").config == moved


def test_resume_with_other_data_leaves_the_config_alone(folder, tmp_path):
    config = tiny.config(folder, training__epochs=2, training__warmup_steps=5)
    training.train(config, tmp_path / "run")
    other = tiny.write(tmp_path, images=(30, 10, 10))
    with pytest.raises(UserError, match="got other training data"):
        training.train(config.override({"data.folder": str(other)}), tmp_path / "run", resume=True)
    assert configs.load(tmp_path / "run" / "config.json") == config


def bert_folder(folder, captions):
    """A BERT-type checkpoint with random weights and word pieces of `captions`."""
    from transformers import BertConfig, BertModel

    from hrem_lib.text import WordPiece

    pieces = WordPiece.train(captions, 200)
    pieces.save(folder)
    torch.manual_seed(0)
    sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    BertModel(BertConfig(vocab_size=pieces.size, max_position_embeddings=64, hidden_act="relu", **sizes)).save_pretrained(folder)  # fmt: skip # noqa: E501
    return {"model__text_encoder": "bert", "model__bert": str(folder)}


def glove_file(path):
    rows = [f"{word} " + " ".join(f"{v:.3f}" for v in np.sin(np.arange(12) + i)) for i, word in enumerate(tiny.WORDS)]
    path.write_text("\n".join(rows) + "\n")
    return {"model__glove": str(path)}


@pytest.mark.parametrize("kind", ["bert", "glove"])
def test_resume_needs_neither_glove_nor_bert_again(folder, tmp_path, monkeypatch, kind):
    """Both are overwritten by the training state: gone after the first epoch, the run ends bit for bit the same."""
    captions = data.open_split(folder, "train").captions
    place = tmp_path / kind
    change = bert_folder(place, captions) if kind == "bert" else glove_file(place)
    config = tiny.config(folder, training__epochs=3, **change)
    whole = training.train(config, tmp_path / "whole")
    interrupted(monkeypatch, config, tmp_path / "run", 2)
    place.rename(tmp_path / "elsewhere")
    resumed = training.train(config, tmp_path / "run", resume=True)
    assert resumed["test"] == whole["test"] and same_state(tmp_path / "whole", tmp_path / "run")


# --- several processes ------------------------------------------------------------------------------------------------


def test_one_process_alone_evaluates_clusters_and_writes(folder, tmp_path):
    from test_distributed import ROOT, torchrun

    script, out = str(ROOT / "tests" / "two_ranks.py"), tmp_path / "run"
    for step in ("new", "resume"):  # a finished run, resumed: the states are read
        done = torchrun(script, str(folder), str(out), step)
        reports = [tmp_path / f"run.{number}.{step}.json" for number in (0, 1)]
        assert all(path.is_file() for path in reports), done.stderr[-3000:]
        first, second = (json.loads(path.read_text()) for path in reports)
        assert (first["evaluations"], first["clusterings"]) == ((5, 2) if step == "new" else (2, 0))
        assert second["evaluations"] == second["clusterings"] == 0 and second["written"] == []
        assert "metrics.json" in first["written"]
        assert set(second["files"]) <= {*second["read"], *first["read"], ".lock"}
        assert not {checkpoints.MODEL, checkpoints.NEXT, "history.jsonl", "tensorboard"} & set(second["read"])
        for name in ("weights", "epochs", "result"):
            assert first[name] == second[name]
    assert checkpoints.STATE in second["read"]
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [line["sampling"] for line in history] == ["random", "neighbor", "neighbor"]
    assert first["result"]["dev"] == max(line["dev"]["rSum"] for line in history)


# --- a refused step ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["term", "gradient"])
def test_trap_09_a_refused_step_leaves_batch_norm_alone(folder, tmp_path, monkeypatch, fault):
    """In the model, and in debug.safetensors, which a new try starts from."""
    real, seen = training.train_step, []

    def step(model, batch, *args, **kwargs):
        seen.append({name: b.clone() for name, b in model.named_buffers()})
        if len(seen) == 3:
            if fault == "term":
                batch.regions[3] = float("nan")
            else:
                model.text_encoder.words.embedding.weight.register_hook(lambda g: g * float("inf"))
        try:
            return real(model, batch, *args, **kwargs)
        except FloatingPointError:
            seen.append({name: b.clone() for name, b in model.named_buffers()})
            raise

    monkeypatch.setattr(training, "train_step", step)
    with pytest.raises(FloatingPointError, match="epoch 1 step 2"):
        training.train(tiny.config(folder), tmp_path / "run")
    first, _, before, after = seen
    assert {name.rpartition(".")[2] for name in before} == {"running_mean", "running_var", "num_batches_tracked"}
    stored, _ = read_tensors(tmp_path / "run" / checkpoints.DEBUG)
    for name, buffer in before.items():
        assert not torch.equal(first[name], buffer)  # a step that is taken moves them
        assert torch.equal(after[name], buffer) and torch.equal(stored[f"model.{name}"], buffer)


# --- what is said -----------------------------------------------------------------------------------------------------


def test_start_of_the_relation_part_is_said_once(folder, tmp_path, capsys):
    config = tiny.config(folder, training__epochs=3, training__warmup_steps=13)  # ten steps an epoch
    training.train(config, tmp_path / "run")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "relation part starts" in line]
    assert line == (
        "the relation part starts at epoch 2 step 3: enhanced, crossed_image, crossed_text, regularizer join the total "
        "loss"
    )
    training.train(tiny.config(folder, training__warmup_steps=0, training__epochs=1), tmp_path / "at once")
    assert "relation part starts" not in capsys.readouterr().out


def test_progress_bar_shows_total_and_rate_alone(folder, tmp_path, capsys, monkeypatch):
    """With all five terms behind it no room was left for the bar itself."""
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    training.train(tiny.config(folder, training__epochs=2, training__warmup_steps=2), tmp_path / "run")
    shown = [part for part in capsys.readouterr().err.split("\r") if part.startswith("epoch 2")]
    assert any("total=" in part and "rate=0.005" in part for part in shown)
    assert not any("initial" in part or "crossed" in part for part in shown)
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert {"initial", "enhanced", "crossed_image", "crossed_text", "regularizer"} < set(history[1]["loss"])


@pytest.mark.parametrize(
    ("given", "lines", "steps"),
    [
        ("--training.epochs 1", ["neighbor_epoch 9 -> 0, since training.epochs is 1", "warmup_steps 200 -> 16,"], 39),
        ("--training.batch_size 100 --training.warmup_steps 20", ["clusters_per_batch 16 -> 10, since"], 12 * 10),
    ],
)
def test_first_things_that_anybody_tries_train(tmp_path, capsys, given, lines, steps):
    """On the preset `sample`, whose neighbor batches begin in epoch 9 with 16 x 8 pairs."""
    from hrem_lib.cli import main

    small = "--model.embed_dim 16 --model.heads 2 --model.word_dim 12 --training.device cpu".split()
    where = [] if steps == 39 else ["--data", str(tiny.write(tmp_path, images=(200, 10, 10)))]
    assert main(["train", "sample", "--out", str(tmp_path / "run"), *where, *given.split(), *small]) == 0
    out = capsys.readouterr().out
    assert all(line in out for line in lines)
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert history[-1]["steps"] == steps and len(history) == (1 if steps == 39 else 12)
    assert "regularizer" in history[-1]["loss"]  # the relation part has started


# --- --start-from -----------------------------------------------------------------------------------------------------

PLAIN = {  # nothing is drawn: the loss of a batch follows from weights and pairs
    "model__dropout": 0.0,
    "data__region_drop": 0.0,
    "data__word_drop": 0.0,
    "loss__initial": "hinge",
    "loss__enhanced": "hinge",
    "loss__hinge_sum_epochs": 0,
}


@pytest.fixture(scope="module")
def source(folder, tmp_path_factory):
    """A run with fusion, of two epochs."""
    out = tmp_path_factory.mktemp("source") / "run"
    training.train(tiny.config(folder, training__epochs=2, training__warmup_steps=5, **PLAIN), out)
    return out


def first_loss(monkeypatch, config, out):
    """All that the first step of a run reports, and the batch that it got."""
    real, seen = training.train_step, []

    def step(model, batch, *args, **kwargs):
        values = real(model, batch, *args, **kwargs)
        seen.append((values, batch))
        return values

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", step)
        training.train(config, out)
    return seen[0]


@pytest.mark.parametrize("relation", ["fusion", "none", "standalone"])
def test_start_from_begins_with_the_weights_of_the_run(folder, source, tmp_path, monkeypatch, capsys, relation):
    """Relation part included, where it is of the same kind."""
    change = {"training__start_from": str(source), "graph__interaction": relation, "training__warmup_steps": 0}
    config = tiny.config(folder, training__epochs=1, training__learning_rate=1e-3, training__seed=3, **change, **PLAIN)
    report, batch = first_loss(monkeypatch, config, tmp_path / "run")
    said = {"fusion": "encoders and relation part\n", "none": "encoders\n", "standalone": "the relation part is new\n"}
    assert said[relation] in capsys.readouterr().out
    model = checkpoints.load_run(source).model.train()  # training: BatchNorm uses the batch
    terms, *_ = training.forward(model, training.make_objective(config), batch, relation == "fusion", True)
    for name, term in terms.items():
        assert float(report.terms[name]) == pytest.approx(float(term.detach()), rel=1e-6), name
    assert len(terms) == (5 if relation == "fusion" else 1)
    stored = checkpoints.load_run(tmp_path / "run")
    assert stored.config.training.start_from == str(source)
    assert stored.text.words == checkpoints.load_run(source).text.words
    history = json.loads((tmp_path / "run" / "history.jsonl").read_text())
    assert history["rate"] == 1e-3 and history["epoch"] == 1


def test_start_from_takes_the_vocabulary_of_the_run(source, tmp_path):
    """On other captions the words keep their numbers; new words are unknown."""
    other = tiny.write(tmp_path, images=(40, 10, 10))
    lines = (other / "train_caps.txt").read_text().replace("horse", "zebra")
    (other / "train_caps.txt").write_text(lines)
    config = tiny.config(other, training__epochs=1, training__warmup_steps=2, training__start_from=str(source), **PLAIN)
    training.train(config, tmp_path / "run")
    words = checkpoints.load_run(tmp_path / "run").text.words
    assert "horse" in words and "zebra" not in words and words == checkpoints.load_run(source).text.words


def test_resume_of_a_run_that_started_from_another_does_not_need_it(folder, source, tmp_path, monkeypatch):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    config = tiny.config(folder, training__epochs=3, training__start_from=str(copy), **PLAIN)
    whole = training.train(config, tmp_path / "whole")
    interrupted(monkeypatch, config, tmp_path / "run", 2)
    copy.rename(tmp_path / "gone")
    resumed = training.train(config, tmp_path / "run", resume=True)
    assert resumed["test"] == whole["test"] and same_state(tmp_path / "whole", tmp_path / "run")
    with pytest.raises(UserError, match=r"got training.start_from = , wanted .*copy as in the run"):
        training.train(config.override({"training.start_from": ""}), tmp_path / "run", resume=True)


def test_start_from_with_bert_needs_the_run_folder_alone(folder, tmp_path):
    place = tmp_path / "bert"
    change = bert_folder(place, data.open_split(folder, "train").captions)
    config = tiny.config(folder, training__epochs=2, **change)
    training.train(config, tmp_path / "one")
    place.rename(tmp_path / "elsewhere")
    training.train(config.override({"training.start_from": str(tmp_path / "one")}), tmp_path / "two")
    before, after = (checkpoints.load_run(tmp_path / name) for name in ("one", "two"))
    assert after.model.text_encoder.words.bert.config.hidden_act == "relu" and after.text.pieces == before.text.pieces


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model__embed_dim": 32}, r"model.embed_dim: got 32, wanted 16 as in .*run, from whose weights"),
        ({"model__heads": 4}, r"model.heads: got 4, wanted 2"),
        ({"model__text_encoder": "bert", "model__bert": "small"}, r"model.text_encoder: got bert, wanted bigru"),
        ({"graph__layers": 2}, r"graph.layers: got 2, wanted 1"),
        ({"data__folder": "wide"}, r"train_ims.npy: got features of width 8, wanted 16, on which .*run learned"),
        ({"training__start_from": "nowhere"}, r"nowhere: not found, wanted a run folder"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_start_from_refuses_what_does_not_fit(folder, source, tmp_path, change, words):
    if change.get("data__folder"):
        change = {"data__folder": str(tiny.write(tmp_path, width=8))}
    settings = {"training__start_from": str(source), **PLAIN, **change}
    place = settings.pop("data__folder", folder)
    with pytest.raises(UserError, match=words):
        training.train(tiny.config(place, **settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_start_from_on_the_command_line_takes_model_and_graph_of_the_run(folder, source, tmp_path, capsys):
    from hrem_lib.cli import main

    begin = ["train", "sample", "--start-from", str(source), "--data", str(folder)]
    given = "--training.epochs 2 --training.warmup_steps 1 --training.learning_rate 1e-4 --training.device cpu".split()
    assert main([*begin, "--out", str(tmp_path / "run"), *given]) == 0
    config, before = (checkpoints.load_run(place).config for place in (tmp_path / "run", source))
    assert (config.model, config.graph) == (before.model, before.graph)
    assert config.training.start_from == str(source) and config.training.learning_rate == 1e-4
    capsys.readouterr()
    assert main([*begin, "--out", str(tmp_path / "other"), *given, "--model.embed_dim", "32"]) == 2
    assert "model.embed_dim: got 32, wanted 16" in capsys.readouterr().err
    assert main(["train", "sample", "--start-from", str(tmp_path), "--out", str(tmp_path / "other")]) == 2
    assert "got no config.json, wanted a run folder" in capsys.readouterr().err


def test_collapse_watch_counts_steps_in_a_row():
    watch = training.CollapseWatch()
    for step in range(1, 250):
        named = watch.see({"initial": step != 60, "enhanced": step > 30})
        assert named == {160: ["initial"], 130: ["enhanced"]}.get(step, [])
    assert watch.collapsed == ["initial", "enhanced"]
    again = training.CollapseWatch(watch.counts)  # a resumed run counts on, and does not name them anew
    assert again.see({"initial": True, "enhanced": False}) == [] and again.collapsed == ["initial"]


# --- other losses and data --------------------------------------------------------------------------------------------


def test_infonce_learns_with_its_temperature_and_resumes_exactly(folder, tmp_path, monkeypatch):
    config = tiny.config(folder, loss__initial="infonce", training__epochs=3)
    whole = training.train(config, tmp_path / "whole")
    assert whole["test"]["rSum"] > 350  # chance is 331 of 600 for the ten pictures
    scale = float(checkpoints.load_run(tmp_path / "whole").model.logit_scale.detach())
    assert abs(scale - np.log(1 / 0.07)) > 1e-3  # it has moved from CLIP's start
    history = [json.loads(line) for line in (tmp_path / "whole" / "history.jsonl").read_text().splitlines()]
    assert history[0]["collapse"] == pytest.approx(2 * 20 * np.log(20), rel=0.05)  # a picture may stand twice
    interrupted(monkeypatch, config, tmp_path / "run", 2)
    resumed = training.train(config, tmp_path / "run", resume=True)
    assert resumed["test"] == whole["test"] and same_state(tmp_path / "whole", tmp_path / "run")
    assert checkpoints.load_run(tmp_path / "run").model.logit_scale is not None


def test_share_of_the_training_images(folder):
    """Drawn by the seed, whole pictures with their own captions; all other splits stay."""
    split = data.open_split(folder, "train")
    part = training.take_share(split, 0.25, seed=3)
    assert (part.n_images, part.n_captions) == (10, 50) and part.image_of_caption.tolist() == np.repeat(
        range(10), 5
    ).tolist()
    images = part.row_of_image.tolist()
    assert images == sorted(set(images)) and part.captions == [
        c for i in images for c in split.captions[5 * i : 5 * i + 5]
    ]
    assert torch.equal(part.regions([4])[0], split.regions([images[4]])[0])
    assert training.take_share(split, 0.25, seed=3).captions == part.captions
    assert training.take_share(split, 0.25, seed=4).captions != part.captions
    assert training.take_share(split, 1.0, seed=3) is split


@pytest.mark.parametrize("share", [0.2, 0.4, 1.0])
def test_share_of_wrong_captions(folder, share):
    """So many captions change their place, none is lost, and the rest stays."""
    split = data.open_split(folder, "train")
    numbered = dataclasses.replace(split, captions=[f"caption {j}" for j in range(split.n_captions)])
    noisy = training.exchange_captions(numbered, share, seed=1)
    moved = [a != b for a, b in zip(noisy.captions, numbered.captions, strict=True)]
    assert sum(moved) == round(share * 200) and sorted(noisy.captions) == sorted(numbered.captions)
    assert noisy.image_of_caption is numbered.image_of_caption
    again = [training.exchange_captions(numbered, share, seed=s).captions for s in (1, 2)]
    assert again[0] == noisy.captions != again[1]
    assert training.exchange_captions(split, 0.0, seed=1) is split


def test_training_uses_its_share_and_its_wrong_captions(folder, tmp_path, monkeypatch):
    seen, real = [], training.fit

    def spied(model, config, train_set, *args, **kwargs):
        seen.append(train_set.split)
        return real(model, config, train_set, *args, **kwargs)

    monkeypatch.setattr(training, "fit", spied)
    config = tiny.config(
        folder, data__train_share=0.5, data__wrong_captions=0.4, training__epochs=1, training__warmup_steps=2
    )
    training.train(config, tmp_path / "run")
    half = training.take_share(data.open_split(folder, "train"), 0.5, 0)
    assert seen[0].captions == training.exchange_captions(half, 0.4, 0).captions != half.captions
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 1


def test_bert_of_an_installed_package(folder, tmp_path, monkeypatch):
    """Found, never imported; config.json keeps the name, which means the same on every machine."""
    package = tmp_path / "site" / "some_words"
    change = bert_folder(package / "models" / "tiny", data.open_split(folder, "train").captions)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    config = tiny.config(folder, training__epochs=1, training__warmup_steps=2, **change)
    wanted = training.train(config, tmp_path / "one")
    named = config.override({"model.bert": "some_words:models/tiny"})
    assert training.train(named, tmp_path / "two")["test"] == wanted["test"]
    assert configs.load(tmp_path / "two" / "config.json").model.bert == "some_words:models/tiny"
    for name, words in (
        ("no_such_words:models", "no_such_words is not installed, wanted: pip install no-such-words"),
        ("some_words:other", "some_words has no folder other"),
    ):
        with pytest.raises(UserError, match=words):
            training.package_folder(name)
    assert training.package_folder("bert-base-uncased") == "bert-base-uncased"
    assert training.package_folder(str(package)) == str(package)


def test_smallest_batch_and_the_warm_up_that_is_named(folder, tmp_path):
    split = data.open_split(folder, "train")
    training.check_data(tiny.config(folder, training__batch_size=2, training__warmup_steps=0), split, [])
    config = tiny.config(folder, training__warmup_steps=40)
    with pytest.raises(UserError, match="e.g. --training.warmup_steps 13$"):  # a third of 40 steps
        training.check_schedule(config, 10)
    training.check_schedule(config.override({"training.warmup_steps": 13}), 10)


def test_seconds_of_a_run(finished):
    _, result = finished
    assert 0 < result["seconds"] <= result["wall_seconds"] < 3600
