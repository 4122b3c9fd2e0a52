"""The loop and the main job: it learns, repeats itself, resumes exactly and refuses what cannot work."""

import json

import numpy as np
import pytest
import tiny
import torch

from hrem_lib import checkpoints, data, evaluation, training
from hrem_lib import config as configs
from hrem_lib.config import UserError
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
    text = training.make_text(config, train.captions)
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
    assert {"config.json", "history.jsonl", "metrics.json", "model.safetensors", "curves.png"} <= names
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
    assert [line["sampling"] for line in history] == ["random"] * 2 + ["neighbor"] * 2
    assert stored["epoch"] == max(history, key=lambda line: line["dev"]["rSum"])["epoch"]
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
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
        float(training.train_step(model, batch, objective, optimizer, 2.0, relation=False)["total"]) for _ in range(200)
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
    values = training.train_step(model, first_batch(train_set), objective, optimizer, 2.0, relation=False)
    assert set(values) == {"initial", "total", *training.OBSERVED, "at_collapse_initial"}
    assert float(values["collapse"]) == pytest.approx(2 * 20 * 0.2)  # 20 pictures, one caption each
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
    return checkpoints.read_tensors(out / checkpoints.STATE)[0]


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
    tensors, info = checkpoints.read_tensors(tmp_path / "run" / checkpoints.DEBUG)
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
    values = training.train_step(model, first_batch(train_set), objective, optimizer, 2.0, relation=True)
    assert torch.isfinite(values["total"])


def test_shipped_checkpoint_gives_its_figures():
    run = checkpoints.load_run(data.sample_run())
    assert run.config.to_dict() == configs.preset("sample").to_dict()
    split = data.open_split(data.sample_dir(), "test")
    again = evaluation.evaluate([(run.model, run.text.encode(split.captions))], split)
    stored = json.loads((data.sample_run() / "metrics.json").read_text())["test"]
    assert again["rSum"] == pytest.approx(stored["rSum"], abs=1.0)  # a rank may turn on another processor
    for direction in ("i2t", "t2i"):
        assert again[direction]["R@1"] >= 20 * 0.5  # chance with 200 pictures is 0.5
