"""docs/teaching.md: its minutes and exercises are those of the lessons."""

import importlib.util
from pathlib import Path

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
    assert set(known) <= set(plan.WEEKS) and set(plan.DAY) <= set(known)
    for said in (plan.WEEKS, plan.DAY):
        for number, (sections, *_) in said.items():
            if number in known:
                lesson = known[number]
                named = [part.strip() for part in sections.split(",") if not part.strip()[:1].isdigit()]
                digits = "".join(c for c in sections if c.isdigit())
                assert sorted(lesson.taught(sections)) == sorted([*digits, *filter(None, named)]), (number, sections)
    for number, lesson in known.items():
        read, exercises = map(int, lesson.minutes)
        assert abs(sum(lesson.sections.values()) - read) <= 0.1 * read, number
        assert lesson.of("high") and all(name.startswith(number) for name in lesson.exercises)
        assert abs(sum(m for mark, m in lesson.exercises.values() if mark != "optional") - exercises) <= 0.1 * exercises
    assert all(name == "–" or name in known[number].exercises for number, (_, name) in plan.DAY.items())
