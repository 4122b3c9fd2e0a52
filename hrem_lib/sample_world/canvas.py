"""The canvas on which the sample world is drawn, and its colors.

Everything is drawn four times too large on whole numbers and averaged down, so edges are smooth and the
pixels are the same on every machine. Each shape counts toward the box of the entity named by `Canvas.owner`.
No section of the paper: it uses photographs (choice of this project).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

WIDTH, HEIGHT, OVERSAMPLE = 192, 144, 4

Point = tuple[float, float]
Color = tuple[int, int, int]

COLORS: dict[str, Color] = {
    "red": (214, 40, 40), "blue": (38, 84, 200), "green": (30, 132, 60), "yellow": (250, 208, 40),
    "orange": (244, 128, 24), "purple": (128, 52, 160), "pink": (246, 130, 180), "white": (244, 244, 244),
    "black": (40, 40, 46), "brown": (130, 82, 44), "gray": (140, 144, 150),
}  # fmt: skip
SKIN: tuple[Color, ...] = ((246, 206, 170), (224, 172, 128), (160, 108, 72), (112, 74, 50))
HAIR: tuple[Color, ...] = ((50, 34, 26), (112, 66, 30), (222, 178, 84), (30, 28, 30))
WOOD, METAL, SHOE = (150, 98, 54), (96, 100, 108), (58, 46, 42)


def darker(color: Color, share: int = 62) -> Color:
    """The color for outlines: `share` hundredths of the fill."""
    return tuple(channel * share // 100 for channel in color)  # pyright: ignore[reportReturnType]  # three channels


def toward(point: Point, angle: float, length: float, facing: int = 1) -> Point:
    """The point `length` away; 0 degrees is down, 90 forward, 180 up."""
    turn = math.radians(angle)
    return point[0] + facing * length * math.sin(turn), point[1] + length * math.cos(turn)


class Canvas:
    """A picture in the making: coordinates are final pixels, shapes are drawn `OVERSAMPLE` times larger."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH * OVERSAMPLE, HEIGHT * OVERSAMPLE))
        self.pen = ImageDraw.Draw(self.image)
        self.owner: str | None = None
        self.extents: dict[str, list[float]] = {}

    def _mark(self, points: Sequence[Point], margin: float = 0.0) -> list[tuple[int, int]]:
        if self.owner is not None:
            xs, ys = [p[0] for p in points], [p[1] for p in points]
            new = [min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin]
            old = self.extents.get(self.owner, new)
            self.extents[self.owner] = [min(a, b) for a, b in zip(old[:2], new[:2], strict=True)] + [
                max(a, b) for a, b in zip(old[2:], new[2:], strict=True)
            ]
        return [(round(x * OVERSAMPLE), round(y * OVERSAMPLE)) for x, y in points]

    def polygon(self, points: Sequence[Point], fill: Color, outline: bool = True) -> None:
        """A filled polygon, with a thin darker outline."""
        corners = self._mark(points)
        self.pen.polygon(corners, fill=fill)
        if outline:
            self.pen.line([*corners, corners[0], corners[1]], fill=darker(fill), width=3, joint="curve")

    def disk(self, center: Point, radius: float, fill: Color, outline: bool = True, ry: float = 0.0) -> None:
        """A filled circle, or an ellipse where `ry` gives another vertical radius."""
        (x, y), high = center, ry or radius
        (x0, y0), (x1, y1) = self._mark([(x - radius, y - high), (x + radius, y + high)])
        self.pen.ellipse((x0, y0, x1, y1), fill=fill, outline=darker(fill) if outline else None, width=3)

    def ring(self, center: Point, radius: float, color: Color, width: float) -> None:
        """A circle's outline."""
        (x, y) = center
        (x0, y0), (x1, y1) = self._mark([(x - radius, y - radius), (x + radius, y + radius)])
        self.pen.ellipse((x0, y0, x1, y1), outline=color, width=round(width * OVERSAMPLE))

    def stroke(self, points: Sequence[Point], width: float, color: Color, outline: bool = False) -> None:
        """A thick line with round ends and joints."""
        dots = self._mark(points, width / 2)
        for extra, ink in ((6, darker(color)), (0, color)) if outline else ((0, color),):
            wide = round(width * OVERSAMPLE) + extra
            self.pen.line(dots, fill=ink, width=wide, joint="curve")
            for x, y in dots:
                r = wide // 2
                self.pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: Color, outline: bool = True) -> None:
        """A filled upright rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, outline)

    def box(self, owner: str) -> list[int]:
        """The entity's box x0 y0 x1 y1, whole pixels inside the picture."""
        x0, y0, x1, y1 = self.extents[owner]
        x0, y0 = max(0, math.floor(x0)), max(0, math.floor(y0))
        return [x0, y0, min(WIDTH, math.ceil(x1)), min(HEIGHT, math.ceil(y1))]

    def finish(self) -> Image.Image:
        """The picture at its final size: every pixel the mean of a 4 x 4 square."""
        return self.image.reduce(OVERSAMPLE)


def turned(points: list[Point], x: float, y: float, angle: float, facing: int = 1) -> list[Point]:
    """Points of a shape, turned by `angle` degrees (clockwise when facing right) and moved to x, y."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return [(x + facing * (px * cos - py * sin), y + px * sin + py * cos) for px, py in points]
