"""Every figure of the project, a module a notebook. A figure draws what a forward pass computed, never a second one.

`style` (palette, `show`, pipeline map, heat map) · `method` (the whole method: README, 00) · `task` (00) ·
`features` (01) · `fragments` (02) · `graph` (03) · `interaction` (04) · `losses` (05) · `training` (06, and a run's
curves) · `retrieval`, `photographs` (07) · `reproduction` (08) · `evidence` (09).
"""

from hrem_lib.plots.style import (
    ERROR,
    EXTRA,
    GREY,
    IMAGE,
    RELATION,
    ROW,
    SINGLE,
    TEXT,
    heat_map,
    load_pictures,
    picture,
    pipeline_map,
    show,
    thumbnails,
    use_style,
)

__all__ = [
    "ERROR", "EXTRA", "GREY", "IMAGE", "RELATION", "ROW", "SINGLE", "TEXT",
    "heat_map", "load_pictures", "picture", "pipeline_map", "show", "thumbnails", "use_style",
]  # fmt: skip
