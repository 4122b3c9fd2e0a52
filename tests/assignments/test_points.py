"""Wrong answers that must not get full points, what a question takes for granted, and commands for instructors."""

import ast
import contextlib
import functools
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from assignments.classroom import FOLDER, GENERATED, OPEN, SOURCES, run, source
from grader import build

from hrem_lib.errors import UserError

MUTANTS = {  # question -> {what is wrong: (text of the solution, text in its place)}
    "A1": {
        "ties against": ("equal / 2", "equal"),
        "ties for": ("equal / 2", "0 * equal"),
        "rounded down": ("equal / 2", "equal // 2"),
        "from one": ("above + equal", "above + 1 + equal"),
        "own counts as a tie": ("sum(0) - 1", "sum(0)"),
        "nearly equal": ("(similarity == own)", "np.isclose(similarity, own)"),
        "own by place": ("similarity[image_of_caption, np", "similarity[np.arange(len(image_of_caption)) % 3, np"),
        "loses the axis": (
            "return above",
            "return np.squeeze(above)[: len(own)] * 1.0 if len(own) > 2 else above.sum()",
        ),
        "in place": ("return above", "similarity[:] = 0\n    return above"),
    },
    "A2": {
        "lower median": ("np.median(ranks)", "np.sort(ranks)[(len(ranks) - 1) // 2]"),
        "upper median": ("np.median(ranks)", "np.sort(ranks)[len(ranks) // 2]"),
        "rounded": ("float(np.median(ranks))", "round(np.median(ranks))"),
        "from zero": ("dtype=float) + 1", "dtype=float)"),
        "one over the mean": ("(1 / ranks).mean()", "1 / ranks.mean()"),
        "whole ranks": ("np.asarray(ranks, dtype=float)", "np.asarray(ranks).astype(int)"),
        "in place": ("ranks = np.asarray(ranks, dtype=float) + 1", "ranks += 1"),
    },
    "A3": {
        "ties for": ("similarity >= own", "similarity > own"),
        "k too many": ("wrong < k", "wrong <= k"),
        "all queries": ("[asked].mean()", ".mean()"),
        "all compete": (" & gallery[:, None]", ""),
        "a share": ("100 * ", ""),
        "nothing is zero": ('float("nan")', "0.0"),
        "in place": ("own = sim", "similarity[~gallery] = -np.inf\n    own = sim"),
    },
    "A4": {
        "captions": ("np.unique(image_of_caption)", "np.arange(len(values))"),
        "divides by n": ("(n - 1) / n *", "1 / n *"),
        "no spread": ("np.sqrt((n", "((n"),
        "numbers without gaps": ("np.unique(image_of_caption)", "np.arange(image_of_caption.max() + 1)"),
        "in runs": ("np.unique(image_of_caption)", "np.arange(len(set(image_of_caption.tolist())))"),
        "zero for one": ('float("nan")', "0.0"),
        "around the whole mean": ("left - left.mean()", "left - values.mean()"),
        "in place": ("images = ", "values -= 0.5\n    images = "),
    },
    "A5": {
        "times t": ("x / t", "x * t"),
        "NaN stays": ("torch.where(real, x, 0)", "x * real"),
        "padding counts": (".masked_fill(~real, -torch.inf)", ""),
        "no shift": (
            "weights = (x / t).masked_fill(~real, -torch.inf).softmax(1)",
            "weights = (x / t).exp() * real\n    weights = weights / weights.sum(1, keepdim=True)",
        ),
        "one shift for all": (
            "weights = (x / t)",
            "weights = (x / t - (x / t).max()).exp() * real\n"
            "    weights = weights / weights.sum(1, keepdim=True)\n    _ = (x / t)",
        ),
        "detached": ("softmax(1)", "softmax(1).detach()"),
        "over dimensions": ("softmax(1)", "softmax(2)"),
        "value mended only": ("x = torch.where(real, x, 0)", "x = x * 1"),
        "in place": ("x = torch.where(real, x, 0)", "x[~mask] = 0"),
    },
    "A6": {
        "no unit length": (
            "v = torch.nn.functional.normalize(softmax_pool(regions, region_mask, t), dim=-1)",
            "v = softmax_pool(regions, region_mask, t)",
        ),
        "image to text": ("(v @ u.T)", "(u @ v.T)"),
        "R@1": ('["MRR"]', '["MedR"]'),
        "t of one side": ("softmax_pool(words, word_mask, t)", "softmax_pool(words, word_mask, 1.0)"),
        "no mask": ("softmax_pool(regions, region_mask, t)", "softmax_pool(regions, torch.ones_like(region_mask), t)"),
        "fixed t": ("softmax_pool(regions, region_mask, t)", "softmax_pool(regions, region_mask, 0.1)"),
        "words without mask": (
            "softmax_pool(words, word_mask, t)",
            "softmax_pool(words, torch.ones_like(word_mask), t)",
        ),
    },
    "B1": {
        "not squared": (".square().sum(-1)", ".square().sum(-1).sqrt()"),
        "sigma squared": ("/ sigma", "/ sigma**2"),
        "by products": (
            "square = (a[:, None] - b[None]).square().sum(-1)",
            "square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T",
        ),
        "unit vectors only": ("square = (a[:, None] - b[None]).square().sum(-1)", "square = 2 - 2 * a @ b.T"),
        "gradient of the root": (
            "square = (a[:, None] - b[None]).square().sum(-1)",
            "square = (a[:, None] - b[None]).square().sum(-1).sqrt() ** 2",
        ),
        "detached": ("(a[:, None]", "(a.detach()[:, None]"),
        "in place": ("square = ", "a -= a.mean(0)\n    b -= b.mean(0)\n    square = "),
    },
    "B2": {
        "strictly above": ("scores >= threshold", "scores > threshold"),
        "empty rows": ("torch.where(chosen.any(1, keepdim=True), chosen, best)", "chosen"),
        "all that tie": ("highest & (highest.cumsum(1) == 1)", "highest"),
        "the last": (
            "highest & (highest.cumsum(1) == 1)",
            "highest & (highest.cumsum(1) == highest.sum(1, keepdim=True))",
        ),
        "float": ("chosen, best)", "chosen, best).float()"),
        "absolute values": ("scores.amax", "scores.abs().amax"),
        "in place": ("chosen = scores", "scores[scores < threshold] = -1\n    chosen = scores"),
    },
    "B3": {
        "by place": ("whole & whole.T", "whole & torch.cat([torch.cat([i2i.T, t2i], 1), torch.cat([i2t, t2t.T], 1)])"),
        "either": ("whole & whole.T", "whole | whole.T"),
        "no self": (" | torch.eye(len(whole), dtype=torch.bool)", ""),
        "one way": ("whole & whole.T", "whole"),
        "float": (
            "return (whole & whole.T) | torch.eye(len(whole), dtype=torch.bool)",
            "return ((whole & whole.T) | torch.eye(len(whole), dtype=torch.bool)).double()",
        ),
        "texts first": (
            "[torch.cat([i2i, i2t], 1), torch.cat([t2i, t2t], 1)]",
            "[torch.cat([t2t, t2i], 1), torch.cat([i2t, i2i], 1)]",
        ),
        "in place": ("whole = ", "i2i.fill_diagonal_(True)\n    whole = "),
    },
    "B4": {
        "sum": (" - count.log()", ""),
        "best": (
            "(cosine / t).masked_fill(~mask, -torch.inf).logsumexp(axis)",
            "(cosine / t).masked_fill(~mask, -torch.inf).amax(axis)",
        ),
        "padding counts": ("cosine / t).masked_fill(~mask, -torch.inf)", "cosine / t)"),
        "divides by all": ("sum(2) / count_r[:, None]", "mean(2)"),
        "not transposed": ("t2i.T", "t2i"),
        "no cosine": (
            "torch.nn.functional.normalize(torch.where(word_mask[..., None], words, 0), dim=-1)",
            "torch.where(word_mask[..., None], words, 0)",
        ),
        "overflow": (".logsumexp(axis)", ".exp().sum(axis).log()"),
        "in place": ("cosine = ", "regions.zero_()\n    cosine = "),
        "divides texts by all": ("/ count_l[None]", "/ word_mask.size(1)"),
    },
    "B5": {
        "strictly above": (">= edges", "> edges"),
        "padding counts": (" & mask[..., None]", ""),
        "divides by n": ("mask.sum(1)[:, None]", "mask.size(1)"),
        "counts": (" / mask.sum(1)[:, None]", ".double()"),
        "sorted edges": (">= edges", ">= edges.sort().values"),
        "padding as zero": ("(best[..., None] >= edges) & mask[..., None]", "((best * mask)[..., None] >= edges)"),
        "unique edges": (">= edges", ">= edges.unique()"),
        "in place": ("good = ", "best[~mask] = -9\n    good = "),
    },
    "B6": {
        "diagonal": ("links, true = connection & other, truth & other", "links, true = connection, truth"),
        "rows together": ("shares.mean().item()", "(right.sum() / true.sum()).item()"),
        "all rows": ("(right.sum(1) / wanted)[wanted > 0]", "(right.sum(1) / wanted).nan_to_num(0)"),
        "exchanged": ("return precision, shares.mean().item()", "return shares.mean().item(), precision"),
        "zero for nothing": (
            "return precision, shares.mean().item()",
            "return np.nan_to_num(precision), np.nan_to_num(shares.mean().item())",
        ),
        "precision by row": (
            "(right.sum() / links.sum()).item()",
            "(right.sum(1) / links.sum(1))[links.sum(1) > 0].mean().item()",
        ),
        "in place": ("other = ", "connection.fill_diagonal_(False)\n    other = "),
    },
    "C1": {
        "round": ("int(share * scores.size(1) + 1e-9)", "round(share * scores.size(1))"),
        "ceil": ("int(share * scores.size(1) + 1e-9)", "int(np.ceil(share * scores.size(1) - 1e-9))"),
        "none": ("max(1, int(share * scores.size(1) + 1e-9))", "int(share * scores.size(1) + 1e-9)"),
        "one too many": (
            ".scatter_(1, order, True)",
            ".scatter_(1, order, True) | (scores >= scores[:, order[0, -1:]])",
        ),
        "no self": (".fill_diagonal_(torch.inf)", ""),
        "float": ("dtype=torch.bool).scatter_(1, order, True)", "dtype=torch.float).scatter_(1, order, 1.0)"),
        "larger index": (
            ".sort(dim=1, descending=True, stable=True).indices",
            ".flip(1).sort(dim=1, descending=True, stable=True).indices.neg().add(len(scores) - 1)",
        ),
        "two": ("max(1, int(share * scores.size(1) + 1e-9))", "2"),
        "in place": ("scores.clone()", "scores"),
    },
    "C2": {
        "mean": ("strength * relevance", "weights.mean() * relevance"),
        "transposed": ("weights.view(2, 2)", "weights.view(2, 2).T"),
        "NaN": (
            "torch.where(connection, strength * relevance, -torch.inf)",
            "strength * torch.where(connection, relevance, -torch.inf)",
        ),
        "a large number": ("-torch.inf", "-1e9"),
        "not excluded": ("torch.where(connection, strength * relevance, -torch.inf)", "strength * relevance"),
        "not learned": ("weights.view", "weights.detach().view"),
        "zero": ("-torch.inf", "0.0"),
        "in place": (
            "return torch.where(connection, strength * relevance, -torch.inf)",
            "relevance *= strength\n    return torch.where(connection, relevance, -torch.inf)",
        ),
    },
    "C3": {
        "NaN": ("torch.where(empty, 0, bias)", "bias"),
        "mean": ("torch.where(empty, 0, scores.softmax(-1) @ v)", "scores.softmax(-1) @ v"),
        "value mended only": (
            "empty = (bias == -torch.inf).all(-1, keepdim=True)",
            "return ((q @ k.transpose(1, 2) / q.size(-1) ** 0.5 + bias).softmax(-1)).nan_to_num(0) @ v\n    empty = 0",
        ),
        "no root": (" ** 0.5", ""),
        "no scale": (" / q.size(-1) ** 0.5", ""),
        "scale of keys": ("q.size(-1) ** 0.5", "k.size(1) ** 0.5"),
        "bias twice": ("torch.where(empty, 0, bias)", "2 * torch.where(empty, 0, bias)"),
        "no shift": ("scores.softmax(-1)", "(scores.exp() / scores.exp().sum(-1, keepdim=True))"),
        "in place": ("scores = ", "bias.clamp_(min=-1e4)\n    scores = "),
    },
    "C4": {
        "no unit": ("return F.normalize(x + attend(x, x, within), dim=-1)", "return x + attend(x, x, within)"),
        "always simultaneous": ('new_v if order == "images first" else v', "v"),
        "always images first": ('new_v if order == "images first" else v', "new_v"),
        "wrong block": ("bias[half:, :half], bias[half:", "bias[:half, half:], bias[half:"),
        "no residual": ("F.normalize(x + attend(x, x", "F.normalize(attend(x, x"),
        "no scale": (" / x.size(1) ** 0.5", ""),
        "within first": (
            "attend(x, y, across), dim=-1)\n        return F.normalize(x + attend(x, x, within)",
            "attend(x, x, within), dim=-1)\n        return F.normalize(x + attend(x, y, across)",
        ),
        "in place": ("half = len(v)", "half = len(v)\n    v.mul_(1.5)"),
    },
    "C5": {
        "row only": ("    cut[:, j] = False\n", ""),
        "column only": ("    cut[j, :] = False\n", ""),
        "no self": ("    cut[j, j] = True\n", ""),
        "float": ("return cut", "return cut.double()"),
        "removed": ("return cut", "return cut[torch.arange(len(cut)) != j][:, torch.arange(len(cut)) != j]"),
        "self for all": ("cut[j, j] = True", "cut.fill_diagonal_(True)"),
        "in place": ("connection.clone()", "connection"),
    },
    "C6": {
        "sum": (" / size", ""),
        "exchanged": ("[own, partner, same, other]", "[own, other, same, partner]"),
        "partner once": (" + attention[half:, :half].diagonal().sum()", ""),
        "self twice": (" - own", ""),
        "partner twice": (" - partner", ""),
        "of pairs": ("/ size", "/ half"),
        "in place": ("return", "attention.fill_diagonal_(0)\n    return"),
    },
    "C7": {
        "empty rows count": ("sum(int(part.any(1).sum()) for part in parts)", "len(parts) * len(connection)"),
        "halves as rows": ('[connection] if mechanism == "fusion" else ', ""),
        "always fusion": ("[connection[:, :half], connection[:, half:]]", "[connection]"),
        "all entries": ("int(connection.sum())", "connection.numel()"),
        "upper half": ("[connection[:, :half], connection[:, half:]]", "[connection[:half], connection[half:]]"),
        "empty halves count": ("part.any(1).sum()", "connection.any(1).sum()"),
        "in place": (
            "return sum(int(part.any(1).sum()) for part in parts), int(connection.sum())",
            "made = sum(int(part.any(1).sum()) for part in parts), int(connection.sum())\n"
            "    connection.fill_diagonal_(False)\n    return made",
        ),
    },
    "D1": {
        "hardest": ("below = negative & (similarity < own)", "below = negative"),
        "margin included": ("similarity < own)", "similarity <= own)"),
        "no margin": (
            "chosen = torch.where(semi.any(1, keepdim=True), semi, below)",
            "chosen = torch.where(semi.any(1, keepdim=True), semi, negative)",
        ),
        "same picture": ("~positive", "~torch.eye(len(positive), dtype=torch.bool)"),
        "most similar": ("first_best(-similarity, negative)", "first_best(similarity, negative)"),
        "zero for none": (", -1)", ", 0)"),
        "float": ("return torch.where(below", "return 1.0 * torch.where(below"),
        "last of ties": ("best.cumsum(1) == 1", "best.cumsum(1) == best.sum(1, keepdim=True)"),
        "in place": ("negative, own", "similarity[positive] = similarity[positive] - 0.01\n    negative, own"),
    },
    "D2": {
        "whole": ("-(-len(v) // parts)", "len(v)"),
        "floor": ("-(-len(v) // parts)", "max(1, len(v) // parts)"),
        "one way": ("(s, s.T)", "(s, s)"),
        "own pair": (".masked_fill(own, 0)", ""),
        "mean": (".sum()\n    return total", ".mean()\n    return total"),
        "images learn only": ("a @ b.T", "a @ b.detach().T"),
        "texts learn only": ("a @ b.T", "a.detach() @ b.T"),
        "hardest": ("masked_fill(own, 0).sum()", "masked_fill(own, 0).amax(1).sum()"),
        "in place": ("size = ", "v *= 2\n    size = "),
    },
    "D3": {
        "from zero": ("(step + 1)", "step"),
        "one late": ("step < warmup", "step <= warmup"),
        "whole cosine": ("np.pi *", "2 * np.pi *"),
        "to total": ("(step - warmup) / (total_steps - warmup)", "step / total_steps"),
        "last step is zero": ("(total_steps - warmup)", "max(1, total_steps - warmup - 1)"),
        "no half": (") / 2", ")"),
        "rounded": ("return base * (1", "return round(base, 1) * (1"),
    },
    "D4": {
        "repeats": ("piles[c].pop()", "(piles[c].pop(), piles[c] and piles[c][0])[bool(piles[c])]"),
        "stops early": ("< clusters_per_batch:", "<= clusters_per_batch:"),
        "one batch": ("while True:", "for _ in range(1):"),
        "no dice": ("default_rng(seed)", "default_rng(0)"),
        "clock": ("default_rng(seed)", "default_rng()"),
        "numbers without gaps": ("np.unique(labels)", "range(len(set(labels.tolist())))"),
        "one more": ("len(pile) >= images", "len(pile) > images"),
        "same cluster": ("replace=False", "replace=True"),
        "in place": ("dice = ", "labels.sort()\n    dice = "),
    },
    "D6": {
        "base minus changed": ("changed[s] - base[s]", "base[s] - changed[s]"),
        "dev": ("[split]", '["dev"]'),
        "test": ("[split]", '["test"]'),
        "order of the file": ("sorted(set(base) & set(changed))", "[s for s in base if s in changed]"),
        "descending": ("set(changed))", "set(changed), reverse=True)"),
        "by place": (
            "return np",
            "return np.array(list(changed.values())) - np.array(list(base.values()))\n    return np",
        ),
        "all seeds": ("sorted(set(base) & set(changed))", "sorted(base)"),
        "in place": ("base = ", 'runs.sort(key=lambda r: r["seed"])\n    base = '),
    },
    "D7": {
        "one side": ("np.abs(means) >= abs(differences.mean())", "means >= differences.mean()"),
        "strictly": ("- 1e-9", "+ 1e-9"),
        "no rounding": ("- 1e-9", ""),
        "without the observed": ("(np.abs(means)", "(np.abs(means[1:])"),
        "half": ("return float((", "return float(0.5 * ("),
        "dice": (
            "signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)",
            "signs = np.random.default_rng(0).choice([-1, 1], (1000, n))",
        ),
        "in place": ("n = len", "differences -= differences.mean()\n    n = len"),
    },
    "D8": {
        "p": ('sign_flip_p(differences(runs, "dev")) if runs else None', "0.04"),
        "seeds": ('sorted({r["seed"] for r in runs})', "[0, 1]"),
        "dev": (
            '"dev rSum, mean of each arm": [float(np.mean([r["dev"]',
            '"dev rSum, mean of each arm": [float(np.mean([r["test"]',
        ),
        "exchanged": ("(False, True)", "(True, False)"),
        "gap": ('"a laptop with two cores, no GPU, about 4 minutes for six runs"', '""'),
        "rounded": ('float(np.mean([r["test"]', 'round(np.mean([r["test"]'),
    },
}


@functools.cache
def behind(name, seed=None):
    """Names behind all given cells and solutions of an assignment, and the texts of solutions and tests."""
    made = build.notebook(SOURCES[name], seed or build.settings(FOLDER)["course_seed"])[0]
    names, answers, tests = {}, {}, {}
    with contextlib.chdir(FOLDER / "planted" / "D"), contextlib.redirect_stdout(io.StringIO()):
        for cell in made.cells:
            grade = cell.metadata.nbgrader
            if cell.cell_type != "code":
                continue
            if grade.grade:
                tests[grade.grade_id] = cell.source
                continue
            if grade.solution:
                answers[grade.grade_id.removesuffix("-answer")] = build.solved(cell.source)
            if not cell.metadata.get("hrem", {}).get("skip"):
                exec(build.solved(cell.source), names)
    return names, answers, tests


def points(name, question, answer):
    """Points of one answer in a notebook whose other answers are right, hidden tests included; what the tests said."""
    names, _, tests = behind(name)
    names, test = dict(names), ast.parse(tests[question])
    last, said = test.body.pop(), io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(answer, names)
        exec(compile(test, "test", "exec"), names)
        return eval(compile(ast.Expression(last.value), "test", "eval"), names), said.getvalue()


@pytest.mark.parametrize("question", MUTANTS)
def test_wrong_answers_do_not_get_full_points(question):
    answer = behind(question[0])[1][question]
    full = {**build.points(source(question[0]))}[question][0]
    assert points(question[0], question, answer)[0] == full and len(MUTANTS[question]) >= 6
    passed = []
    for wrong, (old, new) in MUTANTS[question].items():
        assert answer.count(old) >= 1, (question, wrong)
        got, said = points(question[0], question, answer.replace(old, new))
        if got >= full:
            passed.append(wrong)
        if wrong == "in place":
            assert "that came in; work on a copy" in said, said
    assert not passed


EMPTY = ("None", "()", "[]", "{}", "torch.empty(0)", "float('nan')", "torch.tensor(float('nan'))", "[[]]", "''")


@pytest.mark.parametrize("question", [question for question in MUTANTS if question != "D8"])  # D8 is no function
def test_answers_without_content_earn_nothing(question):
    """Nothing, empty things and NaN, whatever the arguments: no test may be content with them."""
    name = re.findall(r"^def (\w+)", behind(question[0])[1][question], re.MULTILINE)[-1]
    for value in EMPTY:
        got, said = points(question[0], question, f"def {name}(*args, **keywords):\n    return {value}")
        assert got == 0, (value, said)


RUNS = {  # wrong runs.json of D5, as a change of right ones
    "a seed is missing": "runs.pop()",
    "two seeds": "runs[:] = [r for r in runs if r['seed'] != 2]",
    "chosen on test": "runs[0]['selected_on'] = 'test'",
    "another section": "for r in runs:\n    r['change'] = {'training.epochs': 9} if r['change'] else {}",
    "two settings": "for r in runs:\n    r['change'] = {**r['change'], 'model.dropout': 0.1} if r['change'] else {}",
    "no base": "for r in runs:\n    r['change'] = r['change'] or {'model.heads': 2}",
    "the sum is another": "runs[3]['dev']['rSum'] += 1",
    "copied": "runs[1]['test'] = runs[0]['test']",
    "no such recall": "runs[2]['test']['i2t']['R@1'] += 0.3\nruns[2]['test']['rSum'] += 0.3",
    "more than all": "gain = 200 - runs[2]['test']['i2t']['R@10']\nruns[2]['test']['i2t']['R@10'] = 200.0\n"
    "runs[2]['test']['rSum'] += gain",
}


@pytest.mark.parametrize("wrong", RUNS)
def test_wrong_runs_do_not_get_full_points(wrong):
    right = "import copy\nruns = copy.deepcopy(runs)\n"
    assert points("D", "D5", right)[0] == 4
    assert points("D", "D5", right + RUNS[wrong])[0] < 4


# ---- premises


PREMISE = """# %% given="setup"
SEED = {{data_seed}}

# %% premise="X1"
found = {"seed": SEED}
assert SEED % 3 == REST, "X1: the curve is flat"

# %% [markdown] manual="X1" points=3
# ### BEGIN SOLUTION
# With {{found["seed"]}}.
# ### END SOLUTION
"""


def test_a_premise_takes_the_next_seed_or_refuses():
    seeds = []
    for rest in range(3):
        (setup, question), _ = build._notebook(PREMISE.replace("REST", str(rest)), "X", "s")[0].cells, None
        seeds.append(int(setup.source.split()[-1]))
        assert seeds[-1] % 3 == rest and f"With {seeds[-1]}." in question.source
    assert len(set(seeds)) == 3 and build.seed_of("s", "X", "data") in seeds  # the first one, where it holds
    with pytest.raises(UserError, match="assignment X: X1: the curve is flat, for 10 data seeds; change"):
        build._notebook(PREMISE.replace("REST", "3"), "X", "s")


def test_premises_refuse_flat_data():
    """What C8 takes for granted fails where nothing depends on the strengths."""
    text = SOURCES["C"].read_text(encoding="utf-8")
    flat = text.replace("block_mask(A, S, weights)", "block_mask(A, S, torch.ones(4))")
    assert flat != text
    with pytest.raises(UserError, match="C8: raising i2i from 0 to 6 moves the partner's share from"):
        build._notebook(flat, "C", "change me")


@pytest.mark.parametrize("name", "ABC")
def test_premises_hold_for_many_seeds(name):
    for number in range(12):
        build.notebook(SOURCES[name], f"seed {number}")


# ---- commands


@pytest.fixture
def copied(tmp_path):
    """The course's folder, not released."""
    ignored = shutil.ignore_patterns("*.ipynb", "__pycache__", "gradebook.db*", *GENERATED)
    course = Path(shutil.copytree(FOLDER, tmp_path / "course", ignore=ignored))
    if OPEN:
        change(course / "course.toml", 'jail = "strong"', 'jail = "weak"')
    return course


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_check_finds_what_is_wrong_with_a_task(copied):
    (path,) = (copied / "source" / "C").glob("*.py")
    change(path, "max(1, int(share * scores.size(1) + 1e-9))", "round(share * scores.size(1))")
    change(path, "if not whole.all():", "if whole.all():")
    done = run(copied, ("check", "A", "C"))
    assert done.returncode == 1, done.stderr
    assert "A: solution 32 of 32, stub 0, premises hold\n" in done.stdout
    assert "C: C1: the solution gets 1 of 4; C5: the solution gets 2 of 3\n" in done.stdout
    done = run(copied, ("check", "E"))
    assert done.returncode == 2 and "got 'E', wanted one of" in done.stderr


def test_rerun_tells_made_up_figures(copied):
    (path,) = (copied / "source" / "D").glob("*.py")
    folder = copied / "submitted" / "ann" / "D"
    folder.mkdir(parents=True)
    runs = json.loads((FOLDER / "planted" / "D" / "runs.json").read_text())
    truth = copied / "truth.json"  # in place of half a minute of training
    truth.write_text(json.dumps(runs[1]))
    begin = "    settings = config.preset("
    change(path, begin, f"    return json.loads(Path({str(truth)!r}).read_text())\n{begin}")
    (folder / "runs.json").write_text(json.dumps(runs))
    (folder / "train_once.py").write_text("raise SystemExit('the code of a student ran')")
    done = run(copied, ("rerun", "D", "ann", "--run", "2"), ("rerun", "D", "ann"))
    assert done.returncode == 0, done.stderr
    same, other = re.findall(r"^(?:equal|different).*", done.stdout, re.MULTILINE)
    assert same == "equal: all 14 figures" and other.startswith("different: test rSum by 9.0.")
    for text, wanted in (("{", "(JSONDecodeError)"), ("[1]", "(TypeError)"), ("[]", "--run: got 1, wanted")):
        (folder / "runs.json").write_text(text)
        done = run(copied, ("rerun", "D", "ann"))
        assert done.returncode == 2 and wanted in done.stderr and "Traceback" not in done.stderr
    (folder / "runs.json").write_text(json.dumps([{**runs[0], "change": {"training.epochs": 10**6}}]))
    done = run(copied, ("rerun", "D", "ann"), ("rerun", "D", "bob"))
    assert done.returncode == 2 and "one setting as D5 asks" in done.stderr and "bob: no runs.json" in done.stderr
