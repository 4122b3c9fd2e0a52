"""ECCV Caption and CxC beside the package's own figures, TREC files beside our ranks, refusals before any work."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from reference import precision_at_r_loop

from hrem_lib import data, evaluation, metrics, yardsticks
from hrem_lib.cli import main
from hrem_lib.errors import UserError

needs_eccv = pytest.mark.skipif(
    importlib.util.find_spec("eccv_caption") is None, reason="needs the extra `eccv` (eccv-caption)"
)


def planted(kind, n, seed, own=5):
    """(image_emb, text_emb) of whole numbers: products are exact in every order of summation, and many tie."""
    rng = np.random.default_rng(seed)
    images = rng.choice([-1, 1], (n, 32)).astype(np.float32)
    texts = np.repeat(images, own, axis=0)
    if kind == "noisy":
        texts = texts * np.where(rng.random(texts.shape) < 0.25, -1, 1)
    elif kind == "random":
        images, texts = (rng.integers(-2, 3, x.shape) for x in (images, texts))
    elif kind == "collapsed":
        images, texts = np.ones_like(images), np.ones_like(texts)
    return images.astype(np.float32), texts.astype(np.float32)


# ---- answers in order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [3, 8, 512])
@pytest.mark.parametrize("kind", ["whole numbers", "twins", "collapsed"])
def test_first_right_answer_stands_where_its_rank_says(kind, block):
    rng = np.random.default_rng(1)
    owner = rng.permutation(np.concatenate([np.arange(30), rng.integers(30, size=90)]))  # in any order
    pairs = [(rng.standard_normal((30, 40)), rng.standard_normal((120, 40))) for _ in range(2)]
    if kind == "whole numbers":
        pairs = [(rng.integers(-1, 2, (30, 4)), rng.integers(-1, 2, (120, 4)))]
    elif kind == "collapsed":
        pairs = [(np.ones((30, 4)) / 3, np.ones((120, 4)) / 7)]
    pairs = [(image.astype(np.float32), text.astype(np.float32)) for image, text in pairs]
    if kind == "twins":  # equal embeddings, whose products may differ in the last bit from tile to tile
        for image, text in pairs:
            image[10:] = image[np.arange(20) % 10]
            text[50:] = text[np.arange(70) % 50]
    wanted = metrics.ensemble_ranks(pairs, owner, block)
    for direction, ranks in zip(metrics.DIRECTIONS, wanted, strict=True):
        right = [np.flatnonzero(owner == i) for i in range(30)] if direction == "i2t" else [[i] for i in owner]
        got, seen = np.full(len(ranks), -1), 0
        for part in metrics.best_answers(pairs, owner, direction, right, 1000, block):
            got[part.queries] = part.hits.argmax(1)
            seen += len(part.queries)
            assert part.hits.sum(1).tolist() == [len(right[q]) for q in part.queries]
            assert all(sorted(row) == list(range(part.answers.shape[1])) for row in part.answers.tolist())
            assert (np.diff(part.scores) <= 0).all()
        assert got.tolist() == ranks.tolist() and seen == len(ranks)


def test_precision_of_several_right_answers_is_the_slow_loops():
    rng = np.random.default_rng(2)
    image_emb, text_emb = planted("random", 20, 2)
    relevant = rng.random((20, 100)) < 0.1
    relevant[3] = False  # a query without a right answer
    right = [np.flatnonzero(row) for row in relevant]
    parts = list(metrics.best_answers([(image_emb, text_emb)], np.arange(100) // 5, "i2t", right, 30, 8))
    hits, queries = (np.concatenate([getattr(part, field) for part in parts]) for field in ("hits", "queries"))
    assert queries.tolist() == [q for q in range(20) if q != 3]
    got = metrics.precision_of_hits(hits, relevant.sum(1)[queries])
    assert got == pytest.approx(precision_at_r_loop(image_emb @ text_emb.T, relevant))


# ---- ECCV Caption and CxC -------------------------------------------------------------------------------------


def package_figures(package, pair, ids):
    """The package's own figures; for each list of right answers the ranking in which wrong answers win ties."""
    result, emb = {}, [torch.from_numpy(x) for x in pair]
    for name in ("coco", "cxc", "eccv"):
        found = {}
        for direction, asked, answering in (("i2t", ids.image, ids.caption), ("t2i", ids.caption, ids.image)):
            query, answer = emb if direction == "i2t" else emb[::-1]
            place, truth = {x: at for at, x in enumerate(answering)}, getattr(package, f"{name}_gts")[direction]
            found[direction] = {}
            for low in range(0, len(asked), 500):
                scores = query[low : low + 500] @ answer.T
                for row, x in enumerate(asked[low : low + 500]):
                    # scores are whole numbers: half a point less is below all ties
                    scores[row, [place[y] for y in truth.get(x, []) if y in place]] -= 0.5
                for x, best in zip(asked[low : low + 500], scores.topk(50).indices.tolist(), strict=True):
                    found[direction][x] = [answering[at] for at in best]
        if name == "eccv":
            result |= package.eccv_metrics(found, "all")
        else:
            recalls = package.cxc_recalls if name == "cxc" else package.coco_5k_recalls
            result |= {f"{name}_r{k}": recalls(found, "all", K=k) for k in (1, 5, 10)}
    return {name: {d: 100 * value for d, value in values.items()} for name, values in result.items()}


@needs_eccv
@pytest.mark.filterwarnings("ignore:failed to import")  # ujson, which the package can do without
@pytest.mark.parametrize(("kind", "seed"), [("noisy", 0), ("random", 1)])
def test_figures_are_the_packages_own_ties_included(kind, seed):
    from eccv_caption import Metrics

    folder = yardsticks.truth_folder()
    ids, pair, owner = yardsticks.coco_ids(folder), planted(kind, 5000, seed), np.arange(25000) // 5
    theirs = package_figures(Metrics(), pair, ids)
    ours, whole = yardsticks.eccv_figures([pair], owner, folder), metrics.metrics(pair, owner)
    for direction in metrics.DIRECTIONS:
        got, wanted = (
            ours["eccv"][direction],
            (theirs[f"eccv_{x}"][direction] for x in ("map_at_r", "rprecision", "r1")),
        )
        assert [got["mAP@R"], got["R-P"], got["R@1"]] == pytest.approx(list(wanted), rel=1e-9)
        for k in (1, 5, 10):
            assert ours["cxc"][direction][f"R@{k}"] == pytest.approx(theirs[f"cxc_r{k}"][direction], rel=1e-9)
            assert whole[direction][f"R@{k}"] == pytest.approx(theirs[f"coco_r{k}"][direction], rel=1e-9)
    assert [ours[x][d]["queries"] for x in ("cxc", "eccv") for d in ("i2t", "t2i")] == [5000, 24972, 1261, 1332]


@needs_eccv
def test_the_packages_order_is_the_public_layouts():
    ids = yardsticks.coco_ids(yardsticks.truth_folder())
    assert (ids.image[0], ids.caption[0], len({*ids.image}), len({*ids.caption})) == (391895, 770337, 5000, 25000)


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """(folder in the public layout, run, planted package): a COCO of 10 pictures and 50 captions."""
    place = tmp_path_factory.mktemp("coco")
    folder = tiny.write(place)
    for kind in ("ims.npy", "caps.txt"):
        shutil.move(folder / f"test_{kind}", folder / f"testall_{kind}")
    settings = "--model.embed_dim 16 --model.heads 2 --model.word_dim 12 --training.epochs 1 --training.batch_size 20"
    settings += " --training.warmup_steps 2 --sampling.neighbor_epoch 0 --training.device cpu --data.test_split testall"
    assert main(["train", "f8k", "--data", str(folder), "--out", str(place / "run"), *settings.split()]) == 0
    image, caption = list(range(900, 800, -10)), list(range(7000, 7100, 2))
    rng, package = np.random.default_rng(0), place / "package"
    package.mkdir()
    np.save(package / "coco_test_ids.npy", caption)
    truth = {"original": {c: [image[at // 5]] for at, c in enumerate(caption)}}
    for name, queries in (("cxc", 10), ("eccv", 4)):
        # R differs from query to query; 5 is not among the captions
        truth[name] = {
            c: rng.choice(image, 1 + at % 4, replace=False).tolist() for at, c in enumerate(caption[-queries:])
        }
        texts = {i: [*rng.choice(caption, 2 + at, replace=False).tolist(), 5] for at, i in enumerate(image[-queries:])}
        (package / f"{name}_image_to_caption.json").write_text(json.dumps(texts))
    for name, found in truth.items():
        (package / f"{name}_caption_to_image.json").write_text(json.dumps(found))
    return folder, place / "run", package


def slow_figures(similarity, asked, answering, truth):
    """R@K, mAP@R and R-P of the queries in `truth`, one after the other; what is not among the answers is not found."""
    rows = [asked.index(int(query)) for query in truth]
    relevant = np.array([[x in found for x in [*answering, 5]] for found in truth.values()])
    scores = np.concatenate([similarity[rows], np.full((len(rows), 1), -np.inf)], axis=1)
    places = [sorted(range(len(row)), key=lambda j: (-row[j], right[j])) for row, right in zip(scores, relevant, strict=True)]  # fmt: skip # noqa: E501
    recall = {f"R@{k}": 100 * np.mean([right[p[:k]].any() for p, right in zip(places, relevant, strict=True)]) for k in (1, 5, 10)}  # fmt: skip # noqa: E501
    return precision_at_r_loop(scores, relevant) | recall | {"queries": len(truth)}


def test_evaluate_eccv_on_a_planted_coco(coco, tmp_path, monkeypatch, capsys):
    folder, run, package = coco
    (folder / "testall_ids.txt").write_text("".join(f"COCO_val2014_{i:012d}.jpg\n" for i in range(900, 800, -10)))
    monkeypatch.setattr(yardsticks, "truth_folder", lambda: package)
    seen, real = [], evaluation.encode_split
    monkeypatch.setattr(evaluation, "encode_split", lambda *a, **k: seen.append(real(*a, **k)) or seen[-1])
    assert main(["evaluate", str(run), str(run), "--eccv", "--json", str(tmp_path / "out.json")]) == 0
    written, shown = json.loads((tmp_path / "out.json").read_text()), capsys.readouterr().out
    assert written["folds"]["folds"] == 5  # COCO 1K
    similarity, ids = (seen[0][0][0] @ seen[0][0][1].T).numpy(), yardsticks.coco_ids(package)
    for name in ("cxc", "eccv"):
        for direction, kind in yardsticks.FILES.items():
            truth, got = json.loads((package / f"{name}_{kind}.json").read_text()), written[name][direction]
            matrix, sides = (similarity, ids) if direction == "i2t" else (similarity.T, ids[::-1])
            wanted = slow_figures(matrix, *sides, truth)
            assert got == pytest.approx({key: wanted[key] for key in got})
            assert list(got)[1:] == (["R@1", "R@5", "R@10"] if name == "cxc" else ["mAP@R", "R-P", "R@1"])
            assert f"{direction:<12}{got['queries']:8}" in shown


def refused(arguments, capsys, monkeypatch):
    """The one sentence of a refusal; nothing may be encoded before it."""
    monkeypatch.setattr(evaluation, "encode_split", lambda *a, **k: pytest.fail("encoded first"))
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("hrem: ") and message.count("\n") == 1
    return message


def test_eccv_needs_its_package(coco, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = refused(["evaluate", str(coco[1]), "--eccv"], capsys, monkeypatch)
    assert "--eccv: needs the package eccv-caption (pip install" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--eccv", "--split", "dev"], "got split dev with 10 images and 50 captions, wanted COCO's testall with"),
        (["--trec", "config.json"], "--trec: got config.json, wanted a folder"),
        (["--trec", "new", "--depth", "0"], "--depth: got 0, wanted at least 1"),
        (["--depth", "5"], "--depth: got 5, wanted at least 1, and --trec"),
    ],
)
def test_refusals_come_before_any_encoding(coco, arguments, words, capsys, monkeypatch):
    monkeypatch.setattr(yardsticks, "truth_folder", lambda: coco[2])
    monkeypatch.chdir(coco[1])
    assert words in refused(["evaluate", ".", *arguments], capsys, monkeypatch)
    assert not Path("new").exists()


def test_which_folder_is_coco(coco, tmp_path):
    folder = shutil.copytree(coco[0], tmp_path / "coco_precomp")
    names, ids = folder / "testall_ids.txt", yardsticks.coco_ids(coco[2])
    names.unlink(missing_ok=True)
    split = data.open_split(folder, "testall")

    def check(numbers=None, first=None, **changes):
        names.write_text("\n".join(map(str, numbers))) if numbers is not None else names.unlink(missing_ok=True)
        captions = [first or split.captions[0], *split.captions[1:]]
        yardsticks.check_coco(dataclasses.replace(split, captions=captions, **changes), ids)

    check(first=yardsticks.FIRST_CAPTION)
    check(first="a man with a red helmet on a small moped on a dirt road")  # as some copies of the files have it
    check(range(10), first=yardsticks.FIRST_CAPTION)  # row numbers say nothing
    for numbers in (ids.caption, ids.image, np.repeat(ids.image, 5), [f"val2014/{i:012}.jpg" for i in ids.image]):
        check(numbers)
    for numbers in (None, range(10), ["a", *ids.image[1:]]):
        with pytest.raises(UserError, match=r"testall_caps.txt line 1: got 'a .*, wanted COCO's 'A man with a red"):
            check(numbers)
    with pytest.raises(UserError, match=r"testall_ids.txt line 2: got 880, wanted 890, COCO's public order"):
        check([900, 880, 890, *ids.image[3:]], first=yardsticks.FIRST_CAPTION)
    for name, rows in (("test", slice(None)), ("testall", slice(9))):
        with pytest.raises(UserError, match=r"wanted COCO's testall with 10 and 50"):
            check(ids.caption, name=name, row_of_image=split.row_of_image[rows])


# ---- TREC files -----------------------------------------------------------------------------------------------


def read(folder, direction):
    """(right answers, answers by score alone as a tool sorts them) of each query, from the files."""
    right, found = {}, {}
    for line in (folder / f"{direction}-qrels.txt").read_text().splitlines():
        query, _, answer, relevance = line.split()
        assert relevance == "1"
        right.setdefault(query, set()).add(answer)
    for line in (folder / f"{direction}-run.txt").read_text().splitlines():
        query, q0, answer, place, score, tag = line.split()
        found.setdefault(query, []).append((np.float32(score), answer))
        assert (q0, tag, int(place)) == ("Q0", "hrem", len(found[query]))
    for answers in found.values():
        scores = [score for score, _ in answers]
        assert all(a > b for a, b in zip(scores, scores[1:], strict=False))  # in float32, as trec_eval has it
    return right, {query: [answer for _, answer in sorted(answers, reverse=True)] for query, answers in found.items()}


def assert_recalls(folder, wanted):
    for direction in metrics.DIRECTIONS:
        right, found = read(folder, direction)
        assert right.keys() == found.keys()
        for k in (1, 5, 10):
            hits = sum(bool(right[query] & set(found[query][:k])) for query in right)
            assert 100 * hits / len(right) == pytest.approx(wanted[direction][f"R@{k}"], abs=1e-9)


def test_evaluate_trec_files_have_the_recalls(coco, tmp_path):
    out = tmp_path / "new" / "trec"
    command = ["evaluate", str(coco[1]), str(coco[1]), "--json", str(tmp_path / "out.json"), "--trec", str(out)]
    assert main(command) == 0
    assert_recalls(out, json.loads((tmp_path / "out.json").read_text()))
    assert sorted(p.name for p in out.iterdir()) == ["i2t-qrels.txt", "i2t-run.txt", "t2i-qrels.txt", "t2i-run.txt"]
    assert len((out / "i2t-run.txt").read_text().splitlines()) == 10 * 50  # a split of fewer than 1,000
    assert main([*command, "--depth", "12"]) == 0
    assert len((out / "i2t-run.txt").read_text().splitlines()) == 10 * 12
    assert_recalls(out, json.loads((tmp_path / "out.json").read_text()))


@pytest.mark.parametrize("kind", ["noisy", "random", "collapsed", "zero"])
def test_ties_stand_in_the_files_as_our_ranks_count_them(coco, tmp_path, kind):
    image_emb, text_emb = planted(kind, 10, 3)
    if kind == "zero":
        text_emb *= 0
    split = data.open_split(coco[0], "testall")
    yardsticks.write_trec(tmp_path, [(image_emb, text_emb)], split, 50)
    assert_recalls(tmp_path, metrics.metrics((image_emb, text_emb), split.image_of_caption))


def test_names_of_images_are_words_of_their_own(coco):
    split = data.open_split(coco[0], "testall")
    rows = [f"image{i}" for i in range(10)]
    for ids, wanted in (
        (None, rows),
        ([f"my dog {i}.jpg" for i in range(10)], [f"my_dog_{i}.jpg" for i in range(10)]),
        (["same.jpg"] * 10, rows),
        (["a b", "a_b", *rows[2:]], rows),
    ):
        assert yardsticks.image_names(dataclasses.replace(split, ids=ids)) == wanted


def page_code(tool):
    """The Python of docs/yardsticks.md that imports this tool."""
    page = (Path(__file__).parents[1] / "docs" / "yardsticks.md").read_text(encoding="utf-8")
    (code,) = [block.split("```")[0] for block in page.split("```python\n")[1:] if f"import {tool}" in block]
    return code


@pytest.mark.parametrize(("tool", "extra"), [("ir_measures", "ir-measures"), ("ranx", "ranx")])
def test_tools_read_the_files_and_find_our_recalls(coco, tmp_path, monkeypatch, capsys, tool, extra):
    pytest.importorskip(tool, reason=f"needs the package {extra}")
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(coco[1]), "--trec", "trec", "--json", "out.json"]) == 0
    wanted = json.loads(Path("out.json").read_text())
    for direction in metrics.DIRECTIONS:
        names = {}
        exec(page_code(tool).replace("i2t", direction), names)
        got = {str(measure): 100 * value for measure, value in names["found"].items()}
        for k in (1, 5, 10):
            (value,) = [v for key, v in got.items() if key in (f"Success@{k}", f"hit_rate@{k}")]
            assert value == pytest.approx(wanted[direction][f"R@{k}"], abs=1e-6)
