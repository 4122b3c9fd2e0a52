"""A released course and the process that runs students' code, made once."""

import pytest


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A released course in a temporary folder."""
    from assignments.classroom import make_course

    return make_course(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="session")
def workers():
    """The process that forks a session for each submission."""
    from assignments import classroom  # noqa: F401 - puts the course's folder on the path
    from grader import sandbox

    with sandbox.Workers() as made:
        yield made
