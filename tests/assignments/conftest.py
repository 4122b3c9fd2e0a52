"""A released course and the process that runs students' code, made once."""

import pytest


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A released course in a temporary folder."""
    from assignments.classroom import make_course

    return make_course(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="session")
def workers():
    """Processes for students' code, in a jail where this machine has one."""
    from assignments.classroom import FOLDER, OPEN
    from grader import sandbox

    with sandbox.Workers(FOLDER, weak=bool(OPEN)) as made:
        yield made
