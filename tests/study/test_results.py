"""Result files and the tables made from them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hrem_lib import config as configs
from hrem_lib.cli import main
from hrem_lib.errors import UserError
from hrem_lib.metrics import rank_metrics
from hrem_lib.study import claims, grids, hard_pictures, results, tables

ROOT = Path(__file__).resolve().parents[2]


def fake_run(folder, seed, value, interaction="fusion", neighbor=0):
    folder.mkdir()
    config = configs.preset("f8k").override({"training.seed": seed, "graph.interaction": interaction})
    config = config.override({"sampling.neighbor_epoch": neighbor, "data.folder": "/somewhere/private/f8kmix_precomp"})
    config.save(folder / "config.json")
    side = {"R@1": value, "R@5": value + 1, "R@10": value + 2, "MedR": 3, "MeanR": 9.0}
    figures = {"images": 10, "captions": 50, "i2t": side, "t2i": side, "rSum": 6 * value + 6}
    metrics = {"seed": seed, "epoch": 2, "selected_on": "dev", "dev": figures, "test": figures}
    (folder / "metrics.json").write_text(json.dumps(metrics | {"versions": {}, "seconds": 1}))
    (folder / "history.jsonl").write_text("".join(json.dumps({"dev": {"rSum": v}}) + "\n" for v in (1.5, value)))
    return folder


def test_publish_writes_files_and_fills_the_table(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results f8k -->\nold\n<!-- end -->\nafter\n")
    runs = [fake_run(tmp_path / f"run{seed}", seed, value) for seed, value in ((0, 10.0), (1, 20.0))]
    runs.append(fake_run(tmp_path / "base", 0, 5.0, "none"))
    tables.publish(runs, tmp_path / "results", readme)
    names = sorted(path.name for path in (tmp_path / "results" / "f8k").iterdir())
    assert names == [
        *(f"f8k-{run}.json" for run in ("fusion-random-0", "fusion-random-1", "none-random-0")),
        "settings.json",
    ]
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["f8k"]
    text = readme.read_text()
    assert "old" not in text and text.startswith("before") and text.endswith("after\n")
    assert "| HREM, fusion | random | 2 | 15.0 / 16.0 / 17.0 | 15.0 / 16.0 / 17.0 | 96.0 (66.0 to 126.0) |" in text
    assert text.index("base") < text.index("HREM, fusion")
    stored = (tmp_path / "results" / "f8k" / "f8k-none-random-0.json").read_text()
    assert "/somewhere" not in stored and json.loads(stored)["dev_by_epoch"] == [1.5, 5.0]
    again = tables.fill(text, results.load(tmp_path / "results"))
    assert again == text


def test_a_file_keeps_the_settings_that_differ_and_gives_back_the_whole_config(tmp_path, monkeypatch):
    run = fake_run(tmp_path / "run", 7, 1.0, "standalone")
    made = results.from_run(run)
    path = results.write(made, tmp_path / "out")
    stored = json.loads(path.read_text())
    assert stored["settings"] == {"graph.interaction": "standalone", "training.seed": 7} and "config" not in stored
    (again,) = results.load(tmp_path / "out")
    assert again["config"] == made["config"] and again["test"] == made["test"]
    # a preset that changes later changes no file
    monkeypatch.setitem(configs.PRESETS, "f8k", {**configs.PRESETS["f8k"], "graph": {"matching": "cosine"}})
    assert configs.preset("f8k").graph.matching == "cosine" != made["config"]["graph"]["matching"]
    assert results.load_file(path)["config"] == made["config"]
    later = results.from_run(fake_run(tmp_path / "later", 8, 1.0))
    assert results.load_file(results.write(later, tmp_path / "out"))["config"] == later["config"]
    (path.parent / "settings.json").unlink()
    with pytest.raises(
        UserError, match=r"random-7\.json: not a result file written by hrem .*settings\.json: not found"
    ):
        results.load_file(path)


def test_files_of_older_versions_are_read(tmp_path):
    """A whole config in each file, all beside each other; without the settings of later versions."""
    made = results.from_run(fake_run(tmp_path / "run", 0, 1.0))
    old = json.loads(json.dumps(made))
    del old["config"]["loss"]["draws"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{made['name']}.json").write_text(json.dumps(old))
    assert results.load(tmp_path / "out") == [old]
    assert results.path_of(tmp_path / "out", "f8k", made["name"]).is_file()


@pytest.mark.parametrize("n", [3, 14])
def test_the_difference_that_so_many_seeds_detect(n):
    """By simulation: with that true difference four of five studies are separated over seeds."""
    rng, spread = np.random.default_rng(0), 3.0
    errors = [
        found.detectable
        for found in (claims.Difference(list(rng.normal(0, spread, n)), (0, 0), (0, 0)) for _ in range(4000))
    ]
    factor = np.sqrt(np.mean(np.square(errors))) / spread * n**0.5  # in true standard errors
    assert factor == pytest.approx({3: 4.303 + 1.061, 14: 2.160 + 0.870}[n], rel=0.03)
    studies = rng.normal(factor * spread / n**0.5, spread, (20_000, n))
    t = studies.mean(1) / studies.std(1, ddof=1) * n**0.5
    assert (t > {3: 4.303, 14: 2.160}[n]).mean() == pytest.approx(0.8, abs=0.06)


def test_neighbor_batches_are_an_arm_of_their_own(tmp_path):
    assert results.from_run(fake_run(tmp_path / "run", 3, 1.0, "standalone", 4))["name"] == "f8k-standalone-neighbor-3"


@pytest.mark.parametrize("preset", ["../X", "..", "mine", "f8k/../../x", ""])
def test_a_preset_cannot_lead_out_of_the_results_folder(tmp_path, preset):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results f8k -->\n<!-- end -->\n")
    run = fake_run(tmp_path / "run", 0, 1.0)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"preset": preset}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"config\.json: got preset .*, wanted one of .*f8k"):
        tables.publish([run], tmp_path / "results", readme)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", ["[]", "{", '{"seed": 1}', "3"])
def test_damaged_figures_of_a_run(tmp_path, content):
    run = fake_run(tmp_path / "run", 0, 1.0)
    (run / "metrics.json").write_text(content)
    with pytest.raises(UserError, match=r"metrics\.json: not "):
        results.from_run(run)


@pytest.mark.parametrize("text", [None, "a page of somebody else\n"])
def test_pages_are_filled_in_the_repository_only(tmp_path, text):
    readme = tmp_path / "README.md"
    if text:
        readme.write_text(text)
    run = fake_run(tmp_path / "run", 0, 1.0)
    for runs in ([], [run]):
        with pytest.raises(UserError, match=r"README\.md: not a page with tables to fill"):
            tables.publish(runs, tmp_path / "results", readme)
    assert not (tmp_path / "results").exists()


def test_the_pages_made_anew_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("<!-- results f8k -->\n<!-- end -->\n")
    assert main(["results", str(fake_run(tmp_path / "run", 0, 1.0))]) == 0
    assert capsys.readouterr().out == "1 runs added to results; tables made anew in README.md\n"


def test_unfinished_run(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.json: not found"):
        results.from_run(tmp_path)


def made_result(arm, seed, i2t, t2i, study="toy"):
    n = len(i2t)
    half = "".join("10"[i % 2] for i in range(n))
    return {
        "name": f"{study}-{arm}-{seed}", "study": study, "arm": arm, "seed": seed,
        "config": {"sampling": {"neighbor_epoch": 0}},
        "ranks": {"i2t": results.pack(np.array(i2t)), "t2i": results.pack(np.array(t2i))},
        "subsets": {"scarce": half, "ambiguous": "1" * n},
    }  # fmt: skip


def test_ranks_as_text():
    ranks = np.array([0, 9, 10, 4, 700])
    assert results.pack(ranks) == "09-4-"
    assert results.unpack("09-4-").tolist() == [0, 9, 10, 4, 10]


def test_difference_is_the_difference_of_rsums_over_seeds_and_subsets():
    rng = np.random.default_rng(0)
    runs, sums = [], {}
    for arm, shift in (("a", 0), ("b", 4)):
        for seed in range(3):
            i2t, t2i = rng.integers(0, 12, 40) + shift, rng.integers(0, 12, 200) + shift
            runs.append(made_result(arm, seed, i2t, t2i))
            sums[arm, seed] = rank_metrics(i2t, t2i)["rSum"]
            own = np.arange(40) % 2 == 0
            sums[arm, seed, "scarce"] = rank_metrics(i2t[own], t2i.reshape(40, 5)[own].ravel())["rSum"]
    found = claims.difference(runs, "toy/a", "toy/b")
    assert found.seeds == pytest.approx([sums["a", s] - sums["b", s] for s in range(3)])
    assert found.mean == pytest.approx(np.mean(found.seeds)) and found.verdict == "more"
    assert claims.difference(runs, "toy/b", "toy/a").verdict == "less"
    apart = claims.difference(runs, "toy/a", "toy/b", "scarce")
    assert apart.seeds == pytest.approx([sums["a", s, "scarce"] - sums["b", s, "scarce"] for s in range(3)])
    deviation = np.std(found.seeds, ddof=1) / 3**0.5
    assert found.runs == pytest.approx((found.mean - 4.3027 * deviation, found.mean + 4.3027 * deviation), abs=1e-3)
    table = tables.subset_table(runs, "toy")
    means = np.mean([sums["a", s, "scarce"] for s in range(3)])
    assert re.search(rf"\| a \| random \| scarce \(20\) \|.*\| {means:.1f} \|", table)


def test_an_arm_is_not_separated_from_another_draw_of_itself():
    verdicts = []
    for draw in range(40):
        rng = np.random.default_rng(draw)
        runs = [made_result(arm, seed, rng.integers(0, 12, 60), rng.integers(0, 12, 300))
                for arm in "ab" for seed in range(3)]  # fmt: skip
        verdicts.append(claims.difference(runs, "toy/a", "toy/b").verdict)
    assert verdicts.count("not separated") >= 36  # both intervals must agree: in less than one of twenty draws


def test_difference_refuses_what_cannot_be_compared():
    runs = [made_result("a", seed, [0, 1], [0] * 10) for seed in (0, 1)] + [made_result("b", 1, [0, 1], [0] * 10)]
    with pytest.raises(UserError, match="got no result files"):
        claims.difference(runs, "toy/a", "toy/c")
    with pytest.raises(UserError, match="got 1 seeds in common"):
        claims.difference(runs, "toy/a", "toy/b")
    del runs[0]["ranks"]
    with pytest.raises(UserError, match="got no test ranks"):
        claims.difference(runs, "toy/a", "toy/b")


def test_stored_figures_follow_from_the_stored_ranks():
    stored = [r for r in results.load(ROOT / "results") if "ranks" in r]
    assert len(stored) >= 18
    for run in stored:
        i2t, t2i = (results.unpack(run["ranks"][side]) for side in ("i2t", "t2i"))
        assert rank_metrics(i2t, t2i)["rSum"] == pytest.approx(run["test"]["rSum"], abs=1e-9), run["name"]
        assert all(len(mask) == len(i2t) for mask in run["subsets"].values())


def test_holm_is_the_closed_test_of_all_families():
    """A hypothesis falls if every set that holds it falls by Bonferroni: the slow form of Holm's steps."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 5):
        for values in rng.uniform(0, 0.2, (20, n)).tolist():
            families = [[i for i in range(n) if chosen >> i & 1] for chosen in range(1, 2**n)]
            slow = [max(min(1.0, len(f) * min(values[j] for j in f)) for f in families if i in f) for i in range(n)]
            assert claims.holm(values) == pytest.approx(slow)
    assert claims.holm([]) == []


def test_p_is_the_luck_of_seeds_and_agrees_with_the_interval():
    rng = np.random.default_rng(0)
    zero = [claims.Difference(list(rng.normal(0, 3, 5)), (0, 0), (0, 0)).p for _ in range(2000)]
    assert np.mean(np.array(zero) < 0.05) == pytest.approx(0.05, abs=0.015)
    runs = [
        made_result(arm, seed, rng.integers(0, 12, 40), rng.integers(0, 12, 200)) for arm in "ab" for seed in range(4)
    ]
    found = claims.difference(runs, "toy/a", "toy/b")
    assert (found.p < 0.05) == (found.runs[0] > 0 or found.runs[1] < 0)


def main_runs(shift, seeds=6):
    """Runs of all arms of two main claims, half the schedule: fusion is better by `shift` ranks, standalone is not."""
    rng, runs = np.random.default_rng(0), []
    for arm, better in (("base", 0), ("fusion, cosine", shift), ("standalone, cosine", 0)):
        for seed in range(seeds):
            i2t, t2i = (np.maximum(rng.integers(0, 14, n) - better, 0) for n in (100, 500))
            runs.append(made_result(arm, seed, i2t, t2i, "f8k-power-short"))
    return runs


def test_main_claims_are_corrected_and_one_not_run_says_so():
    rows = {(row.claim["compared"], row.schedule): row for row in claims.main_claims(main_runs(4))}
    assert len(rows) == 12 and len({row.claim["claim"] for row in rows.values()}) == 8
    fusion, standalone = rows["fusion - base", "half"], rows["standalone - base", "half"]
    assert fusion.verdict == "held" and fusion.p == pytest.approx(2 * fusion.found.p)
    assert standalone.verdict == "not separated" and standalone.p >= fusion.p
    assert [row.verdict for row in rows.values() if row.found is None] == ["not run"] * 10
    (line,) = re.findall(r"(?m)^\| .* \| fusion - base \| half \| .*$", claims.main_table(main_runs(4)))
    assert "| 6 | +" in line and line.endswith("| **held** |")
    swap = {"base": "fusion, cosine", "fusion, cosine": "base"}
    opposite = claims.main_claims([run | {"arm": swap.get(run["arm"], run["arm"])} for run in main_runs(4)])
    assert opposite[0].verdict == "the opposite"


def test_a_main_claim_needs_both_intervals_and_the_corrected_p():
    claim = {"expects": "more"}
    clear = claims.Difference([4.0, 5.0, 6.0], (1.0, 9.0), (2.5, 7.5))
    assert claims.MainClaim(claim, "half", clear, 0.04).verdict == "held"
    assert claims.MainClaim(claim, "half", clear, 0.06).verdict == "not separated"
    assert claims.MainClaim(claim, "half", clear._replace(pictures=(-1.0, 9.0)), 0.04).verdict == "not separated"


def test_claims_name_arms_of_the_grids():
    cells = [cell for grid in grids.GRIDS.glob("*.yaml") for cell in grids.read_grid(grid.stem)]
    arms, stored = {f"{c.study}/{c.arm}" for c in cells}, results.load(ROOT / "results")
    for kind, worlds in (("others", claims.WORLDS), ("main", claims.SCHEDULES)):
        for claim in claims.claims(kind):
            assert claim["expects"] in ("more", "equal") and claim.get("subset", "scarce") in hard_pictures.NAMES
            asked = [claim[world] for world in worlds if world in claim]
            assert asked and all(len(set(pair)) == 2 for pair in asked), claim
            for arm in (arm for pair in asked for arm in pair):  # main claims are older than some of their grids
                assert arm in arms or (kind == "main" and not [r for r in stored if r["study"] == arm.split("/")[0]]), (
                    arm
                )
