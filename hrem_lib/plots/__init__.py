"""Every figure of the project, by subject. A figure draws what a forward pass computed, never a second computation.

`house` (style, palette, `show`, pipeline map, heat map) · `retrieval` (similarity, strips, ranks, embedding maps) ·
`scenes` (pictures with boxes, features, fragment attention) · `graph` (connection, relevance, interaction) ·
`learning` (negatives, batches, spheres) · `training` (curves) · `evidence` (parity, published figures).
"""

from hrem_lib.plots.house import (
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
