"""docs/teaching.md: its minutes and exercises are those of the lessons. What D's model answer quotes is so."""

import importlib.util
import json
import re
from pathlib import Path

from hrem_lib.study import claims

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("plan", ROOT / "docs" / "plan.py")
plan = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plan)


def test_the_tables_are_made_from_the_lessons():
    text = plan.PAGE.read_text(encoding="utf-8")
    assert plan.fill(text) == text, "a lesson changed: run python docs/plan.py"
    assert all(f"marks-A{name}.csv" in text for name in ("", "-canvas", "-moodle"))


def test_the_plan_has_every_lesson_and_only_sections_that_are_there():
    known = plan.lessons()
    assert set(known) == set(plan.WEEKS) and set(plan.DAY) <= set(known)
    for said in (plan.WEEKS, plan.DAY):
        for number, (sections, *_) in said.items():
            named = [part.strip() for part in sections.split(",") if not part.strip()[:1].isdigit()]
            digits = [letter for letter in sections if letter.isdigit()]
            assert sorted(known[number].taught(sections)) == sorted([*digits, *named]), (number, sections)
    for number, lesson in known.items():
        read, exercises = map(int, lesson.minutes)
        assert abs(sum(lesson.sections.values()) - read) <= 0.1 * read, number
        assert lesson.of("high") and all(name.startswith(number) for name in lesson.exercises)
        assert abs(sum(m for mark, m in lesson.exercises.values() if mark != "optional") - exercises) <= 0.1 * exercises
    assert all(name == "–" or name in known[number].exercises for number, (_, name) in plan.DAY.items())


def test_the_model_answer_of_d_quotes_its_runs_and_the_results():
    """Assignment D marks an ablation against the evidence pages; its rubric's numbers are those of the planted runs."""
    folder = ROOT / "notebooks" / "assignments"
    text = (folder / "source" / "D" / "D_sampling_and_training.py").read_text(encoding="utf-8")
    runs = json.loads((folder / "planted" / "D" / "runs.json").read_text(encoding="utf-8"))
    runs = [{**r, "name": "", "study": "own", "arm": "changed" if r["change"] else "base"} for r in runs]
    found = claims.difference(runs, "own/changed", "own/base")
    for low, high in (found.pictures, found.runs):
        assert text.count(f"{low:+.1f} to {high:+.1f}") == 2  # model answer and rubric
    assert f"by {found.mean:+.1f} (95 %" in text and f"can detect {found.detectable:.1f} at best" in text
    for seconds, kind in re.findall(r"about (\d+) seconds a run with the part, (\d+) without", text):
        means = [sum(r["seconds"] for r in runs if r["arm"] == arm) / 3 for arm in ("base", "changed")]
        assert [round(mean) for mean in means] == [int(seconds), int(kind)]
    rows = (ROOT / "results" / "claims.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"is (\+0\.9) \(pictures (.+?), seeds (.+?)\): not separated", text)
    assert f"| fusion - base | {row[0]}: not separated (pictures {row[1]}; 3 seeds {row[2]}, " in rows
    assert "| fusion - base with more epochs | -7.2: " in rows and "At equal training time it is -7.2." in text
