"""Answers as pictures: a sheet of them, and a search box for JupyterLab."""

from __future__ import annotations

import base64
import html
import io
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from hrem_lib.errors import UserError
from hrem_lib.search.searcher import UNKNOWN, Hit, Searcher


def contact_sheet(searcher: Searcher, hits: Sequence[Hit], title: str):
    """Figure of the answers' pictures, best first, each with its place and cosine; gray where one is missing.

    Letters that no font of this machine has are boxes, and a line on standard error says so.
    """
    import matplotlib  # only where needed

    from hrem_lib.plots.style import fonts_for
    from hrem_lib.plots.task import gallery

    lines, title = [hit.line for hit in hits], " ".join(title.split())
    families, lacking = fonts_for("".join([title, *lines]))
    if lacking:
        several = f"{lacking[:20]!r}{'...' * (len(lacking) > 20)}"
        print(f"boxes in the pictures' sheet stand for {several}: no font here has them", file=sys.stderr)
    box = dict.fromkeys(map(ord, lacking), "□")
    shown = [searcher.picture(hit) or Image.new("RGB", (160, 120), "lightgrey") for hit in hits]
    names = [f"{place}: {hit.score:.2f}" for place, hit in enumerate(hits, start=1)]
    with matplotlib.rc_context({"font.family": families}):
        return gallery(
            [np.asarray(p) for p in shown],
            [line.translate(box) for line in lines],
            columns=5,
            names=names,
            title=title.translate(box),
        )


def panel(searcher: Searcher, k: int = 10, height: int = 96):
    """A text box for JupyterLab with the best pictures below it, as thumbnails; answers come on Enter.

    What the run cannot find (unknown words) is said above them.
    """
    import ipywidgets

    box = ipywidgets.Text(placeholder="a man riding a wave", description="find", continuous_update=False)
    answers = ipywidgets.HTML()

    def search(change: dict) -> None:
        if not change["new"].strip():
            return
        try:
            hits, unknown = searcher.images(box.value, k), searcher.unknown(box.value)
        except UserError as error:
            answers.value = f"<p>{html.escape(str(error))}</p>"
            return
        note = f"<p>{html.escape(UNKNOWN + ', '.join(unknown))}</p>" if unknown else ""
        answers.value = note + "".join(_thumbnail(searcher.picture(hit), hit, height) for hit in hits)

    box.observe(search, "value")
    return ipywidgets.VBox([box, answers])


def _thumbnail(picture: Image.Image | None, hit: Hit, height: int) -> str:
    name = html.escape(hit.line)
    inner = f"<div style='height:{height}px'>{name}</div>"
    if picture is not None:
        file = io.BytesIO()
        picture.resize((max(1, picture.width * height // picture.height), height)).save(file, "JPEG", quality=80)
        inner = f"<img alt='{name}' src='data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}'>"
    return f"<figure style='display:inline-block;margin:4px'>{inner}<figcaption>{hit.score:.2f}</figcaption></figure>"
