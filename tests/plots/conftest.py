"""Figures in the house style, closed after each test."""

import pytest
from matplotlib import pyplot as plt

from hrem_lib import plots


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")
