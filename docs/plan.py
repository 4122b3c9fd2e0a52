"""The tables of teaching.md: what is taught when is said here, minutes and exercises come from the lessons' sources.

python docs/plan.py      writes them anew; a test says when that is due
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "teaching.md"
# lesson: sections in class (the others are for home), assignment, reading beside the paper
WEEKS = {
    "00": ("1 2 3 6", "–", "Diao et al., AAAI 2021 (SGRAF)"),
    "01": ("1 2 4 6", "–", "Anderson et al., CVPR 2018 (bottom-up attention)"),
    "02": ("1 2 3 4", "A out", "Chen et al., CVPR 2021 (VSE-infinity)"),
    "03": ("1 2 4 5", "–", "Lee et al., ECCV 2018 (SCAN)"),
    "04": ("1 2 3 6", "A due, B out", "Vaswani et al., NeurIPS 2017 (Transformer)"),
    "05": ("1 3 4 5", "–", "Wu et al., ICCV 2017 (distance-weighted sampling); Faghri et al., BMVC 2018 (VSE++)"),
    "06": ("HREM on two pages, 3 4 5", "B due, C out", "Loshchilov and Hutter, ICLR 2019 (AdamW)"),
    "07": ("1 2 3 5", "–", "McInnes et al., JOSS 2018 (UMAP)"),
    "08": ("2 4 5 6", "C due, D out", "the paper's tables, once more"),
    "09": ("1 3 4 5", "D due a week later", "Hodosh et al., JAIR 2013 (Flickr8k)"),
}
DAY = {
    "00": ("1 2 3", "00a"),
    "02": ("2 4", "02b"),
    "03": ("1 2", "03b"),
    "04": ("2 3", "04a"),
    "05": ("1 4", "–"),
    "06": ("HREM on two pages, 4", "–"),
    "09": ("1 4", "–"),
}


class Lesson:
    """What a lesson's source says of its minutes and exercises."""

    def __init__(self, path: Path):
        text = path.read_text(encoding="utf-8")
        self.link = f"[{path.name[:2]}](../notebooks/{path.stem}.ipynb)"
        listed = re.search(r"\*\*Sections\*\* \(minutes\): (.+)", text)[1].split(" · ")
        found = [re.fullmatch(r"(?:(\d) )?(.+?) \((\d+)(?:;.*)?\)", section).groups() for section in listed]
        self.sections = {number or name: int(minutes) for number, name, minutes in found}  # {"1": 11, "Break it": 4}
        self.minutes = re.search(r"(\d+) to read, (\d+) for the exercises", text).groups()
        self.paper = re.search(r"\*\*Paper\*\*: (.+?) · ", text)[1]
        marks = re.findall(r"### Exercise (\d\d\w)( \(optional\))?.*\n#\n# .*Importance: (\w+) · Minutes: (\d+)", text)
        self.exercises = {name: ("optional" if own else mark, int(minutes)) for name, own, mark, minutes in marks}

    def of(self, mark: str) -> list[str]:
        """Exercises of an importance."""
        return [name for name, (own, _) in self.exercises.items() if own == mark]

    def taught(self, said: str) -> list[str]:
        """Sections that are named, "1 2 3 6"; one without a number by its name."""
        return [name for name in self.sections if name in re.sub(r"\D", "", said) or (len(name) > 1 and name in said)]


def lessons() -> dict[str, Lesson]:
    return {path.name[:2]: Lesson(path) for path in sorted((ROOT / "notebooks" / "source").glob("[0-9][0-9]_*.py"))}


def timed(names: list[str], minutes: dict[str, int]) -> str:
    return f"{', '.join(names)} ({sum(minutes[name] for name in names)})" if names else "–"


def weeks() -> str:
    """The ten weeks."""
    rows = ["| week | lesson | in class | at home | must | may | assignment | reading | head |", "|" + "---|" * 9]
    known = lessons()
    for week, (number, (said, assignment, reading)) in enumerate(WEEKS.items(), 1):
        lesson = known[number]
        taught = lesson.taught(said)
        home = [name for name in lesson.sections if name not in taught]
        minutes = {name: own for name, (_, own) in lesson.exercises.items()}
        cells = [str(week), lesson.link, timed(taught, lesson.sections), timed(home, lesson.sections)]
        cells += [timed(lesson.of("high"), minutes), timed(lesson.of("medium"), minutes), assignment]
        rows.append(f"| {' | '.join([*cells, f'{lesson.paper}; {reading}', ' + '.join(lesson.minutes)])} |")
    return "\n".join(rows)


def day() -> str:
    """The workshop."""
    rows, known, total = ["| lesson | sections | exercise |", "|---|---|---|"], lessons(), [0, 0]
    for number, (said, exercise) in DAY.items():
        lesson = known[number]
        minutes = {name: own for name, (_, own) in lesson.exercises.items()}
        taught, exercises = lesson.taught(said), [exercise] if exercise in minutes else []
        total[0] += sum(lesson.sections[name] for name in taught)
        total[1] += sum(minutes[name] for name in exercises)
        rows.append(f"| {lesson.link} | {timed(taught, lesson.sections)} | {timed(exercises, minutes)} |")
    return "\n".join([*rows, f"| all | ({total[0]}) | ({total[1]}) |"])


def fill(text: str) -> str:
    """The page with its tables as they should be."""
    for name, table in (("weeks", weeks()), ("day", day())):
        text = re.sub(
            rf"(?s)(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, table=table: f"{m[1]}{table}\n{m[2]}", text
        )
    return text


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
