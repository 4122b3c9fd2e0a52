"""nbgrader's settings for this course; `course.py` and the `nbgrader` commands read them."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from grader import build, pages  # noqa: E402
from grader.steps import ClearAnswers, HideTests, KeepPictures, PlainText, Rebuild, RunApart  # noqa: E402
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor  # noqa: E402
from nbgrader import preprocessors as steps  # noqa: E402
from nbgrader.server_extensions.formgrader import handlers  # noqa: E402

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = build.settings(HERE)["course_id"]
c.CourseDirectory.root = str(HERE)
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "*.py"]  # *.py: the sources
c.GenerateAssignment.preprocessors = [  # nbgrader's own, without tests made from templates
    steps.LockCells,
    ClearAnswers,  # in place of ClearSolutions
    steps.ClearOutput,
    steps.CheckCellMetadata,
    steps.ComputeChecksums,
    steps.SaveCells,
    steps.ClearHiddenTests,
    steps.ClearMarkScheme,
    steps.ComputeChecksums,
    steps.CheckCellMetadata,
]
c.Autograde.sanitize_preprocessors = [
    KeepPictures,  # into the text of an answer, which is all that the next step takes
    Rebuild,  # the released notebook with the answers in it
    PlainText,  # no HTML in them
    steps.DeduplicateIds,
    steps.OverwriteKernelspec,
    steps.OverwriteCells,
    steps.CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    RunApart,  # in place of Execute
    steps.LimitOutput,
    steps.SaveAutoGrades,
    steps.AssignLatePenalties,
    steps.CheckCellMetadata,
]
c.GenerateFeedback.preprocessors = [steps.GetGrades, HideTests, CSSHTMLHeaderPreprocessor]
# Feedback and formgrader: cleaned Markdown, formulas as MathML, a page that loads nothing (grader/pages.py).
c.HTMLExporter.filters = {"markdown2html": pages.markdown2html}
c.HTMLExporter.extra_template_basedirs = [str(HERE / "grader" / "templates"), handlers.template_path]
