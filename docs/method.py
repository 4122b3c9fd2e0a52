"""Draws `method.png` from the sample data and the trained model that comes with the project: python docs/method.py"""

from pathlib import Path

from hrem_lib import plots
from hrem_lib.plots import method

plots.use_style()
method.overview().savefig(Path(__file__).with_suffix(".png"), dpi=110)
