"""Drawing for the sample world: a canvas, a figure with posed limbs, things, animals and settings.

Everything is drawn four times too large on whole numbers and averaged down, so edges are smooth and the
pixels are the same on every machine. Each shape counts toward the box of the entity named by `Canvas.owner`.
No section of the paper: it uses photographs (choice of this project).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

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
    return tuple(channel * share // 100 for channel in color)


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

    def _mark(self, points: list[Point], margin: float = 0.0) -> list[tuple[int, int]]:
        if self.owner is not None:
            xs, ys = [p[0] for p in points], [p[1] for p in points]
            new = [min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin]
            old = self.extents.get(self.owner, new)
            self.extents[self.owner] = [min(a, b) for a, b in zip(old[:2], new[:2], strict=True)] + [
                max(a, b) for a, b in zip(old[2:], new[2:], strict=True)
            ]
        return [(round(x * OVERSAMPLE), round(y * OVERSAMPLE)) for x, y in points]

    def polygon(self, points: list[Point], fill: Color, outline: bool = True) -> None:
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

    def stroke(self, points: list[Point], width: float, color: Color, outline: bool = False) -> None:
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


# ---------------------------------------------------------------------------------------------- people


@dataclass(frozen=True)
class Look:
    """How a person looks: `kind` man, woman, boy or girl; color names of clothes; hat or None."""

    kind: str
    top: str
    bottom: str
    hat: str | None
    skin: int
    hair: int
    helmet: bool = False
    skirt: bool = False


# Pose: lean of the trunk, then (upper, lower) angles of near arm, far arm, near leg, far leg.
POSES: dict[str, tuple[float, Point, Point, Point, Point]] = {
    "stand": (0, (14, 20), (-14, -6), (7, 5), (-9, -5)),
    "walk": (4, (-28, -6), (28, 48), (28, 8), (-20, -36)),
    "run": (16, (-58, 20), (48, 128), (66, -10), (-22, -92)),
    "crouch": (30, (60, 90), (-60, -80), (100, -28), (62, -40)),
    "kneel": (22, (50, 70), (35, 60), (88, 0), (-2, -88)),
    "sit": (0, (30, 70), (20, 60), (88, 4), (80, -6)),
    "lie": (90, (78, 110), (100, 75), (-92, -88), (-84, -96)),
    "glide": (12, (82, 96), (-78, -92), (40, -12), (-34, 10)),
    "ski": (28, (50, 80), (40, 85), (52, -28), (30, -36)),
    "jump": (8, (120, 140), (-120, -140), (92, -24), (48, -62)),
    "kick": (-14, (-62, -50), (70, 88), (64, 58), (-12, -22)),
    "throw": (-6, (-150, 168), (78, 92), (34, 6), (-26, -30)),
    "reach": (0, (62, 82), (50, 72), (8, 5), (-10, -6)),
    "raise": (0, (150, 172), (-150, -172), (12, 8), (-14, -9)),
    "swing": (14, (58, 66), (74, 62), (34, 2), (-30, -10)),
}


@dataclass
class Body:
    """A person's joints in the picture; hands and feet can be moved before `draw_person`."""

    look: Look
    size: float
    facing: int
    hip: Point
    neck: Point
    arms: list[list[Point]] = field(default_factory=list)  # near, far: shoulder, elbow, hand
    legs: list[list[Point]] = field(default_factory=list)  # near, far: hip, knee, foot

    @property
    def hand(self) -> Point:
        """The near hand."""
        return self.arms[0][2]

    def head(self) -> tuple[Point, float]:
        """Center and radius of the head."""
        small = self.look.kind in ("boy", "girl")
        radius = self.size * (0.125 if small else 0.1)
        dx, dy = self.neck[0] - self.hip[0], self.neck[1] - self.hip[1]
        long = math.hypot(dx, dy)
        flat = abs(dx) > abs(dy)  # a lying person lifts the head
        rise = (0.5, -0.6) if flat else (dx / long, dy / long)
        sign = math.copysign(1, dx) if flat else 1
        gap = radius * 1.12
        return (self.neck[0] + sign * rise[0] * gap, self.neck[1] + rise[1] * gap), radius

    def move_hand(self, which: int, target: Point, elbow: int = 1) -> None:
        """Bend arm `which` (0 near, 1 far) so that the hand reaches `target`."""
        self.arms[which] = two_link(self.arms[which][0], target, 0.19 * self.size, 0.18 * self.size,
                                    -elbow * self.facing)  # fmt: skip

    def move_foot(self, which: int, target: Point) -> None:
        """Bend leg `which` so that the foot reaches `target`."""
        self.legs[which] = two_link(self.legs[which][0], target, 0.25 * self.size, 0.24 * self.size, self.facing)


def two_link(start: Point, target: Point, upper: float, lower: float, side: int) -> list[Point]:
    """Start, joint and end of two links that reach for `target` (as near as they can); `side` bends the joint."""
    dx, dy = target[0] - start[0], target[1] - start[1]
    reach = min(max(math.hypot(dx, dy), abs(upper - lower) + 0.1), upper + lower - 0.1)
    angle = math.atan2(dy, dx)
    bend = math.acos((upper * upper + reach * reach - lower * lower) / (2 * upper * reach)) * side
    joint = (start[0] + upper * math.cos(angle - bend), start[1] + upper * math.sin(angle - bend))
    return [start, joint, (start[0] + reach * math.cos(angle), start[1] + reach * math.sin(angle))]


def pose_person(look: Look, pose: str, x: float, ground: float, facing: int, seat: float | None = None) -> Body:
    """A body in `pose`; its lowest point stands on `ground`, or its hip is at height `seat`."""
    size = {"man": 70.0, "woman": 66.0, "boy": 50.0, "girl": 48.0}[look.kind]
    lean, *limbs = POSES[pose]
    hip = (x, 0.0)
    neck = toward(hip, 180 - lean, 0.31 * size, facing)
    body = Body(look, size, facing, hip, neck)
    shoulder = toward(hip, 180 - lean, 0.285 * size, facing)
    for upper, lower in limbs[:2]:
        elbow = toward(shoulder, upper, 0.19 * size, facing)
        body.arms.append([shoulder, elbow, toward(elbow, lower, 0.18 * size, facing)])
    for upper, lower in limbs[2:]:
        knee = toward(hip, upper, 0.25 * size, facing)
        body.legs.append([hip, knee, toward(knee, lower, 0.24 * size, facing)])
    lowest = max(p[1] for leg in body.legs for p in leg) + 0.04 * size
    drop = ground - lowest if seat is None else seat
    body.hip, body.neck = (x, drop), (neck[0], neck[1] + drop)
    body.arms = [[(px, py + drop) for px, py in arm] for arm in body.arms]
    body.legs = [[(px, py + drop) for px, py in leg] for leg in body.legs]
    return body


def draw_person(c: Canvas, body: Body, bare: bool = False) -> None:
    """Draw far limbs, trunk, head, near limbs in that order; `bare` leaves legs and feet naked."""
    look, s, f = body.look, body.size, body.facing
    top, bottom, skin = COLORS[look.top], COLORS[look.bottom], SKIN[look.skin]
    woman = look.kind in ("woman", "girl")
    leg_color = skin if (look.skirt or bare) else bottom
    draw_arm(c, body, 1)
    draw_leg(c, body, 1, darker(leg_color, 84), bare)
    draw_leg(c, body, 0, leg_color, bare)
    if look.skirt:
        knees = sorted((leg[1] for leg in body.legs), key=lambda p: p[0])
        wide = 0.06 * s
        hem = [(knees[1][0] + wide, knees[1][1]), (knees[0][0] - wide, knees[0][1])]
        c.polygon([(body.hip[0] - wide, body.hip[1] - wide), (body.hip[0] + wide, body.hip[1] - wide), *hem], bottom)
    elif bare:
        for leg in body.legs:
            mid = ((leg[0][0] + leg[1][0]) / 2, (leg[0][1] + leg[1][1]) / 2)
            c.stroke([leg[0], mid], 0.11 * s, bottom, outline=True)
    c.stroke([body.hip, body.neck], (0.17 if woman else 0.2) * s, top, outline=True)
    (hx, hy), r = body.head()
    hair = HAIR[look.hair]
    if woman:  # long hair falls behind the head
        c.polygon([(hx + f * r * 0.5, hy - r * 0.9), (hx - f * r * 1.0, hy - r * 0.6),
                   (hx - f * r * 1.75, hy + r * 1.5), (hx - f * r * 0.3, hy + r * 1.4)], hair)  # fmt: skip
    c.disk((hx, hy), r, skin)
    crown = [(hx + f * r * math.cos(a / 6), hy - r * math.sin(a / 6)) for a in range(1, 25)]
    c.polygon([*crown, (hx - f * r * 0.35, hy - r * 0.1), (hx + f * r * 0.2, hy - r * 0.5)], hair, outline=False)
    c.disk((hx + f * r * 0.55, hy - r * 0.05), r * 0.13, (30, 26, 26), outline=False)
    c.stroke([(hx + f * r * 0.4, hy + r * 0.5), (hx + f * r * 0.75, hy + r * 0.42)], 0.7, (170, 60, 60))
    if look.hat:
        color = COLORS[look.hat]
        dome = [(hx + r * 1.08 * math.cos(a / 6), hy - r * 0.3 - r * 0.85 * math.sin(a / 6)) for a in range(0, 20)]
        c.polygon(dome, color)
        if look.helmet:
            c.stroke([(hx - f * r * 0.1, hy - r * 0.2), (hx + f * r * 0.2, hy + r * 0.9)], 0.8, darker(color))
        else:
            c.stroke([(hx, hy - r * 0.35), (hx + f * r * 1.6, hy - r * 0.3)], r * 0.3, color, outline=True)
    draw_arm(c, body, 0)


def draw_arm(c: Canvas, body: Body, which: int) -> None:
    """One arm: a sleeve of the top's color to the elbow and beyond, a hand of skin."""
    s, top = body.size, COLORS[body.look.top]
    top = darker(top, 92 if which == 0 else 78)
    arm, skin = body.arms[which], SKIN[body.look.skin]
    c.stroke([arm[1], arm[2]], 0.062 * s, skin, outline=True)
    c.disk(arm[2], 0.042 * s, skin)
    middle = tuple((2 * a + b) / 3 for a, b in zip(arm[1], arm[2], strict=True))
    c.stroke([arm[0], arm[1], middle], 0.075 * s, top, outline=True)


def draw_leg(c: Canvas, body: Body, which: int, color: Color, bare: bool) -> None:
    """One leg and its shoe (or bare foot); the foot is square to the shin."""
    s, (hip, knee, foot) = body.size, body.legs[which]
    dx, dy = foot[0] - knee[0], foot[1] - knee[1]
    long = math.hypot(dx, dy)
    toe = (foot[0] + body.facing * dy / long * 0.075 * s, foot[1] - body.facing * dx / long * 0.075 * s)
    c.stroke([foot, toe], 0.07 * s, SKIN[body.look.skin] if bare else SHOE)
    c.stroke([hip, knee, foot], 0.095 * s, color, outline=True)


# --------------------------------------------------------------------------------------------- animals


def draw_dog(c: Canvas, x: float, ground: float, facing: int, color: str, run: bool = False) -> Point:
    """A dog, about 34 x 26 pixels; returns its neck (for a leash)."""
    f, coat = facing, COLORS[color]
    y = ground - (15 if run else 14)
    feet = ((-20, -5), (-10, 0), (12, -1), (21, -4)) if run else ((-11, 0), (-7, 0), (8, 0), (11, 0))
    for (dx, lift), at in zip(feet, (-9, -8, 8, 9), strict=True):
        c.stroke([(x + f * at, y + 2), (x + f * dx, ground + lift - 1)], 3.2, coat, outline=True)
    c.stroke([(x - f * 11, y - 1), (x - f * 16, y - 6), (x - f * 18, y - 12)], 2.4, coat, outline=True)
    c.stroke([(x - f * 9, y), (x + f * 9, y - 1)], 9.5, coat, outline=True)
    c.stroke([(x + f * 10, y - 3), (x + f * 14, y - 9)], 6, coat, outline=True)
    c.stroke([(x + f * 15, y - 10), (x + f * 21, y - 8.5)], 5, coat, outline=True)
    c.disk((x + f * 15, y - 11), 5, coat)
    c.stroke([(x + f * 12, y - 14), (x + f * 10.5, y - 8)], 3.2, darker(coat, 70))
    c.disk((x + f * 16.5, y - 12), 0.9, (20, 20, 20) if color != "black" else (240, 240, 240), outline=False)
    c.disk((x + f * 23, y - 9.5), 1.4, (20, 20, 20), outline=False)
    c.stroke([(x + f * 10, y - 6), (x + f * 13, y - 3)], 1.6, (200, 40, 40))
    return x + f * 11, y - 5


def draw_cat(c: Canvas, x: float, ground: float, facing: int, color: str, run: bool = False) -> None:
    """A sitting or running cat, about 20 pixels, with pointed ears and a long tail."""
    f, coat = facing, COLORS[color]
    if run:
        y = ground - 10
        for at, dx in ((-7, -14), (-6, -6), (6, 8), (7, 15)):
            c.stroke([(x + f * at, y), (x + f * dx, ground - 2)], 2.4, coat, outline=True)
        c.stroke([(x - f * 7, y), (x + f * 7, y)], 7, coat, outline=True)
        c.stroke([(x - f * 9, y - 1), (x - f * 16, y - 5), (x - f * 20, y - 11)], 2, coat, outline=True)
        head = (x + f * 12, y - 5)
    else:
        c.stroke([(x - f * 6, ground - 2), (x - f * 12, ground - 3), (x - f * 13, ground - 10)], 2, coat, outline=True)
        c.disk((x, ground - 7), 7, coat, ry=7.5)
        c.stroke([(x + f * 4, ground - 8), (x + f * 5, ground - 1)], 2.8, coat, outline=True)
        head = (x + f * 3, ground - 17)
    hx, hy = head
    for side in (-1, 1):
        c.polygon([(hx + side * 5, hy - 2), (hx + side * 4.4, hy - 8.5), (hx + side * 0.8, hy - 4)], coat)
    c.disk(head, 5.2, coat)
    eye = (60, 190, 90) if color == "black" else (20, 60, 30)
    for side in (-1, 1):
        c.disk((hx + side * 2 + f * 0.8, hy - 0.5), 0.9, eye, outline=False)
    for side in (-1, 1):
        c.stroke([(hx + side * 2.5, hy + 2.4), (hx + side * 8, hy + 1.6)], 0.4, (90, 90, 90))


def draw_horse(c: Canvas, x: float, ground: float, facing: int, color: str, run: bool = False) -> tuple[Point, Point]:
    """A horse, about 70 x 58 pixels; returns the seat on its back and its mouth."""
    f, coat = facing, COLORS[color]
    mane = (30, 26, 24) if color != "black" else (90, 90, 96)
    y = ground - 32
    bends = ((-28, -8, -34, -4), (-16, 2, -20, 0), (30, -12, 22, -6), (26, 0, 38, -8)) if run else (
        (-17, 0, -17, 0), (-13, 0, -12, 0), (15, 0, 15, 0), (19, 0, 20, 0))  # fmt: skip
    for (kx, ky, fx, fy), at in zip(bends, (-16, -14, 15, 17), strict=True):
        c.stroke([(x + f * at, y + 6), (x + f * kx, y + 18 + ky / 2), (x + f * fx, ground - 2 + fy)], 4.4, coat,
                 outline=True)  # fmt: skip
        c.stroke([(x + f * fx, ground - 2 + fy), (x + f * (fx + 2), ground - 2 + fy)], 4.4, (44, 36, 32))
    c.stroke([(x - f * 21, y - 3), (x - f * 28, y + 4), (x - f * 30, y + 18)], 4.4, mane)
    c.stroke([(x - f * 14, y), (x + f * 14, y)], 18, coat, outline=True)
    c.stroke([(x + f * 17, y - 4), (x + f * 28, y - 20)], 10, coat, outline=True)
    c.stroke([(x + f * 28, y - 22), (x + f * 39, y - 15)], 7.4, coat, outline=True)
    c.polygon([(x + f * 26, y - 25), (x + f * 27, y - 31), (x + f * 30, y - 26)], coat)
    c.stroke([(x + f * 12, y - 10), (x + f * 19, y - 18), (x + f * 25, y - 27)], 4, mane)
    c.disk((x + f * 31, y - 23), 1.1, (16, 16, 16) if color != "black" else (240, 240, 240), outline=False)
    c.disk((x + f * 41, y - 15), 0.8, (16, 16, 16), outline=False)
    return (x - f * 2, y - 10), (x + f * 40, y - 13)


def draw_bird(c: Canvas, x: float, y: float, size: float) -> None:
    """A flying bird: two wings and a body."""
    ink = (50, 54, 66)
    c.stroke([(x - 2 * size, y - size * 0.7), (x - size * 0.8, y - size), (x, y), (x + size * 0.8, y - size),
              (x + 2 * size, y - size * 0.7)], 1.5, ink)  # fmt: skip
    c.disk((x, y), size * 0.55, ink, outline=False, ry=size * 0.35)


# ---------------------------------------------------------------------------------------------- things


def turned(points: list[Point], x: float, y: float, angle: float, facing: int = 1) -> list[Point]:
    """Points of a shape, turned by `angle` degrees (clockwise when facing right) and moved to x, y."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return [(x + facing * (px * cos - py * sin), y + px * sin + py * cos) for px, py in points]


def draw_surfboard(c: Canvas, x: float, y: float, angle: float, facing: int, color: str) -> None:
    """A board of 58 x 9 pixels, pointed, with a stripe."""
    shape = [
        (29, 0),
        (20, -3.4),
        (6, -4.6),
        (-14, -4.6),
        (-25, -3.2),
        (-29, 0),
        (-25, 3.2),
        (-14, 4.6),
        (6, 4.6),
        (20, 3.4),
    ]
    c.polygon(turned(shape, x, y, angle, facing), COLORS[color])
    stripe = COLORS["white"] if color not in ("white", "yellow") else COLORS["red"]
    c.stroke(turned([(-24, 0), (24, 0)], x, y, angle, facing), 1.5, stripe)


def draw_bicycle(c: Canvas, x: float, ground: float, facing: int, color: str) -> dict[str, Point]:
    """A bicycle of 62 x 40 pixels; returns saddle, handlebar, pedals."""
    f, paint = facing, COLORS[color]
    rear, front = (x - f * 18, ground - 13), (x + f * 19, ground - 13)
    for hub in (rear, front):
        c.ring(hub, 12.5, (40, 40, 44), 2.0)
        for turn in range(0, 180, 45):
            c.stroke([toward(hub, turn, 11), toward(hub, turn + 180, 11)], 0.4, (170, 170, 176))
        c.disk(hub, 1.8, METAL)
    crank, seat, steer = (x - f * 1, ground - 12), (x - f * 7, ground - 33), (x + f * 14, ground - 33)
    for a, b in ((rear, crank), (crank, seat), (rear, (seat[0], seat[1] + 4)), (crank, steer),
                 ((seat[0] + f, seat[1] + 5), steer), (steer, front)):  # fmt: skip
        c.stroke([a, b], 2.2, paint, outline=True)
    c.stroke([(seat[0] - f * 5, seat[1] - 1), (seat[0] + f * 4, seat[1] - 1)], 3, (36, 34, 38))
    bar = (steer[0] + f * 3, steer[1] - 6)
    c.stroke([steer, bar, (bar[0] - f * 5, bar[1] + 1)], 2, (60, 60, 66))
    c.disk(crank, 3.2, METAL)
    return {"seat": (seat[0], seat[1] - 3), "bar": bar, "near": (crank[0] + f * 4, crank[1] + 5),
            "far": (crank[0] - f * 4, crank[1] - 5)}  # fmt: skip


def draw_skateboard(c: Canvas, x: float, y: float, angle: float, facing: int, color: str) -> None:
    """A skateboard of 38 pixels with two pairs of wheels; `y` is the deck."""
    c.stroke(turned([(-19, -3), (-14, 0), (14, 0), (19, -3)], x, y, angle, facing), 3.4, COLORS[color], outline=True)
    for at in (-11, 11):
        c.disk(turned([(at, 4)], x, y, angle, facing)[0], 2.8, (60, 60, 66))


def draw_ball(c: Canvas, x: float, y: float, color: str, radius: float = 6.5) -> None:
    """A ball with a seam and a light spot."""
    c.disk((x, y), radius, COLORS[color])
    if radius > 4:
        c.stroke([(x - radius * 0.8, y + radius * 0.2), (x, y + radius * 0.5), (x + radius * 0.8, y + radius * 0.2)],
                 0.8, darker(COLORS[color], 55))  # fmt: skip
        c.disk((x - radius * 0.3, y - radius * 0.4), radius * 0.2, (255, 255, 255), outline=False)


def draw_umbrella(c: Canvas, x: float, y: float, color: str, pole: float, radius: float = 24) -> None:
    """An open umbrella: `x, y` is the foot of its pole."""
    top = y - pole
    c.stroke([(x, y), (x, top - 2)], 1.8, (70, 60, 56))
    paint = COLORS[color]
    dome = [(x + radius * math.cos(math.radians(a)), top + 9 - radius * 0.72 * math.sin(math.radians(a)))
            for a in range(0, 181, 15)]  # fmt: skip
    scallop = [(x - radius + radius * k / 4, top + 9 - (2.5 if k % 2 else 0)) for k in range(1, 8)]
    c.polygon(dome + scallop, paint)
    for share in (-0.5, 0.0, 0.5):
        c.stroke([(x, top - 8), (x + radius * share, top + 8)], 0.8, darker(paint))


def draw_kite(c: Canvas, x: float, y: float, color: str, size: float = 15) -> None:
    """A diamond kite with a tail of bows."""
    paint = COLORS[color]
    c.stroke([(x, y + size), (x - 5, y + size + 7), (x + 3, y + size + 13), (x - 3, y + size + 19)], 0.9, (90, 90, 96))
    for dx, dy in ((-5, 7), (3, 13), (-3, 19)):
        c.disk((x + dx, y + size + dy), 1.8, paint)
    c.polygon(
        [(x, y - size), (x + size * 0.72, y - size * 0.15), (x, y + size), (x - size * 0.72, y - size * 0.15)], paint
    )
    c.stroke([(x, y - size), (x, y + size)], 0.9, darker(paint))
    c.stroke([(x - size * 0.7, y - size * 0.15), (x + size * 0.7, y - size * 0.15)], 0.9, darker(paint))


def draw_guitar(c: Canvas, x: float, y: float, angle: float, facing: int, color: str) -> None:
    """A guitar of 46 pixels, its body at x, y."""
    paint = COLORS[color]
    c.stroke(turned([(6, 0), (31, 0)], x, y, angle, facing), 2.6, WOOD, outline=True)
    c.stroke(turned([(31, 0), (35, 0)], x, y, angle, facing), 4, darker(WOOD, 80), outline=True)
    for at, radius in ((-5, 8.4), (5.5, 6.4)):
        c.disk(turned([(at, 0)], x, y, angle, facing)[0], radius, paint)
    c.stroke(turned([(-4, 0), (5, 0)], x, y, angle, facing), 9, paint)
    c.disk(turned([(2, 0)], x, y, angle, facing)[0], 2.7, (40, 30, 26), outline=False)
    c.stroke(turned([(-9, 0), (31, 0)], x, y, angle, facing), 0.5, (235, 230, 220))


def draw_book(c: Canvas, x: float, y: float, color: str) -> None:
    """An open book seen from behind its covers."""
    paint = COLORS[color]
    c.polygon([(x, y + 1), (x - 9, y - 3), (x - 9, y + 8), (x, y + 12), (x + 9, y + 8), (x + 9, y - 3)], paint)
    c.polygon([(x, y + 1), (x - 8, y - 4.5), (x, y - 2), (x + 8, y - 4.5)], (250, 248, 240))
    c.stroke([(x, y), (x, y + 12)], 1, darker(paint))


def draw_cake(c: Canvas, x: float, y: float, color: str) -> None:
    """A cake with icing and three candles on a plate; `y` is the plate."""
    c.disk((x, y), 12.5, (235, 238, 244), ry=2.4)
    c.rectangle(x - 9, y - 10, x + 9, y - 1, COLORS[color])
    c.rectangle(x - 9, y - 11, x + 9, y - 7, (255, 250, 244))
    for dx in (-5, 0, 5):
        c.stroke([(x + dx, y - 11), (x + dx, y - 15)], 1.2, (90, 140, 220))
        c.disk((x + dx, y - 17), 1.3, (255, 170, 40), outline=False)


def draw_table(c: Canvas, x: float, ground: float, wide: float = 62, high: float = 30) -> float:
    """A wooden table; returns the height of its top."""
    top = ground - high
    for side in (-1, 1):
        c.rectangle(x + side * (wide / 2 - 5) - 2, top, x + side * (wide / 2 - 5) + 2, ground, darker(WOOD, 84))
    c.rectangle(x - wide / 2, top - 2, x + wide / 2, top + 3, WOOD)
    return top - 2


def draw_bench(c: Canvas, x: float, ground: float, wide: float = 56) -> float:
    """A park bench; returns the height of its seat."""
    for side in (-1, 1):
        c.stroke([(x + side * (wide / 2 - 6), ground - 32), (x + side * (wide / 2 - 6), ground)], 2.6, METAL)
    for y in (30, 25):
        c.stroke([(x - wide / 2, ground - y), (x + wide / 2, ground - y)], 3, WOOD, outline=True)
    c.stroke([(x - wide / 2, ground - 15), (x + wide / 2, ground - 15)], 4, WOOD, outline=True)
    return ground - 16


def draw_sofa(c: Canvas, x: float, ground: float, color: str, wide: float = 84) -> float:
    """A sofa; returns the height of its seat."""
    paint = COLORS[color]
    c.rectangle(x - wide / 2 + 4, ground - 40, x + wide / 2 - 4, ground - 12, darker(paint, 88))
    c.rectangle(x - wide / 2 + 4, ground - 20, x + wide / 2 - 4, ground - 5, paint)
    c.stroke([(x, ground - 20), (x, ground - 6)], 0.8, darker(paint))
    for side in (-1, 1):
        c.stroke(
            [(x + side * (wide / 2 - 4), ground - 26), (x + side * (wide / 2 - 4), ground - 8)], 9, paint, outline=True
        )
        c.stroke([(x + side * (wide / 2 - 6), ground - 4), (x + side * (wide / 2 - 6), ground)], 3, WOOD)
    return ground - 20


def draw_chair(c: Canvas, x: float, ground: float, facing: int, color: str) -> float:
    """A chair seen from the side; returns the height of its seat."""
    f, paint = facing, COLORS[color]
    for at in (-8, 8):
        c.stroke([(x + f * at, ground - 17), (x + f * at, ground)], 2.2, darker(paint, 80))
    c.stroke([(x - f * 8, ground - 17), (x - f * 10, ground - 38)], 3, paint, outline=True)
    c.stroke([(x - f * 8, ground - 18), (x + f * 9, ground - 18)], 3.6, paint, outline=True)
    return ground - 20


def draw_sled(c: Canvas, x: float, ground: float, facing: int, color: str) -> None:
    """A sled of 46 pixels with a curved runner."""
    f = facing
    c.stroke([(x - f * 22, ground - 1), (x + f * 16, ground - 1), (x + f * 23, ground - 6), (x + f * 22, ground - 11)],
             2, (90, 66, 50))  # fmt: skip
    for at in (-14, 8):
        c.stroke([(x + f * at, ground - 1), (x + f * at, ground - 8)], 2, (90, 66, 50))
    c.stroke([(x - f * 21, ground - 9), (x + f * 15, ground - 9)], 4.4, COLORS[color], outline=True)


def draw_skis(c: Canvas, x: float, y: float, angle: float, facing: int, color: str) -> None:
    """A pair of skis of 60 pixels with turned-up tips."""
    for off, shade in ((-2.4, 80), (0, 100)):
        shape = [(-28, off), (24, off), (29, off - 2.5), (31, off - 6)]
        c.stroke(turned(shape, x, y, angle, facing), 2.2, darker(COLORS[color], shade), outline=True)


def draw_stick(c: Canvas, kind: str, hand: Point, angle: float, facing: int, color: str = "brown") -> Point:
    """A hockey stick, cricket bat, polo mallet, baseball bat or racket from the hand along `angle`; returns its end."""
    long = {"hockey stick": 37, "cricket bat": 30, "mallet": 46, "baseball bat": 30, "racket": 20}[kind]
    start, end = toward(hand, angle + 180, 4, facing), toward(hand, angle, long, facing)
    paint = COLORS[color]
    if kind == "hockey stick":
        c.stroke([start, end, toward(end, 84, 11, facing)], 2.6, paint, outline=True)
        return toward(end, 84, 9, facing)
    if kind == "cricket bat":
        c.stroke([start, toward(hand, angle, 8, facing)], 2, (40, 40, 46))
        c.stroke([toward(hand, angle, 10, facing), end], 6.4, (200, 148, 92), outline=True)
    elif kind == "mallet":
        c.stroke([start, end], 1.7, (190, 150, 96), outline=True)
        c.stroke([toward(end, angle + 90, 7, facing), toward(end, angle - 90, 7, facing)], 4.4, paint, outline=True)
    elif kind == "baseball bat":
        c.stroke([start, toward(hand, angle, 12, facing)], 2, paint, outline=True)
        c.stroke([toward(hand, angle, 12, facing), end], 4, paint, outline=True)
    else:
        c.stroke([start, toward(hand, angle, 10, facing)], 2.2, (50, 50, 56))
        head = toward(hand, angle, 19, facing)
        c.disk(head, 9, (232, 236, 224), outline=False)
        for off in (-4, 0, 4):
            c.stroke([(head[0] + off, head[1] - 7), (head[0] + off, head[1] + 7)], 0.4, (150, 150, 150))
            c.stroke([(head[0] - 7, head[1] + off), (head[0] + 7, head[1] + off)], 0.4, (150, 150, 150))
        c.ring(head, 9.6, paint, 1.8)
        return head
    return end


def draw_car(c: Canvas, x: float, ground: float, facing: int, color: str) -> None:
    """A small car, 62 x 26 pixels."""
    f, paint = facing, COLORS[color]
    c.polygon([(x - f * 31, ground - 6), (x - f * 30, ground - 15), (x - f * 20, ground - 17),
               (x - f * 13, ground - 27), (x + f * 8, ground - 27), (x + f * 17, ground - 17),
               (x + f * 29, ground - 14), (x + f * 31, ground - 6)],
              paint)  # fmt: skip
    glass = (196, 226, 240)
    c.polygon(
        [(x - f * 15, ground - 18), (x - f * 10, ground - 24), (x - f * 3, ground - 24), (x - f * 3, ground - 18)],
        glass,
    )
    c.polygon([(x, ground - 18), (x, ground - 24), (x + f * 7, ground - 24), (x + f * 12, ground - 18)], glass)
    for at in (-18, 18):
        c.disk((x + at, ground - 5), 6, (34, 34, 38))
        c.disk((x + at, ground - 5), 2.4, (190, 190, 196))


def draw_tree(c: Canvas, x: float, ground: float, high: float, leaf: Color = (54, 128, 62), pine: bool = False) -> None:
    """A tree with a round crown, or a pine."""
    c.rectangle(x - high * 0.05, ground - high * 0.4, x + high * 0.05, ground, (110, 76, 48))
    if pine:
        for k in range(3):
            y, wide = ground - high * (0.2 + 0.25 * k), high * (0.28 - 0.06 * k)
            c.polygon([(x - wide, y), (x, y - high * 0.38), (x + wide, y)], leaf)
        return
    for dx, dy, r in ((-0.17, 0.55, 0.18), (0.17, 0.55, 0.18), (0, 0.75, 0.22)):
        c.disk((x + dx * high, ground - dy * high), r * high, leaf)
    c.disk((x, ground - 0.58 * high), 0.17 * high, leaf, outline=False)


# -------------------------------------------------------------------------------------------- settings


def draw_sky(c: Canvas, rng: Random, horizon: float, color: Color = (186, 222, 246), rain: bool = False) -> None:
    """Sky with a sun or clouds; gray, without a sun, in the rain."""
    c.rectangle(0, 0, WIDTH, horizon, (176, 188, 202) if rain else color, outline=False)
    if rng.random() < 0.5 and not rain:
        c.disk((rng.choice((22, 168)), 18), 8, (255, 222, 90), outline=False)
    for _ in range(rng.randrange(3)):
        x, y = rng.randrange(20, 172), rng.randrange(10, 30)
        for dx, r in ((-8, 4), (0, 6), (8, 4)):
            c.disk((x + dx, y), r, (250, 252, 255), outline=False, ry=r * 0.7)


def draw_setting(c: Canvas, rng: Random, name: str, rain: bool = False) -> None:
    """Fill the whole picture with the setting `name`."""
    c.owner = None
    if name == "beach":
        draw_sky(c, rng, 58)
        c.rectangle(0, 56, WIDTH, 92, (70, 156, 204), outline=False)
        for y in (63, 72, 80):
            for x in range(rng.randrange(-20, 0), WIDTH, 34):
                c.stroke([(x, y), (x + 7, y - 2), (x + 14, y)], 1, (206, 232, 244))
        c.polygon([(0, 86), (60, 83), (130, 88), (192, 84), (192, 144), (0, 144)], (240, 220, 164), outline=False)
        for _ in range(14):
            c.disk((rng.randrange(WIDTH), rng.randrange(94, 144)), 0.8, (214, 190, 132), outline=False)
    elif name == "sea":
        draw_sky(c, rng, 60)
        c.rectangle(0, 54, WIDTH, HEIGHT, (44, 128, 188), outline=False)
        side = rng.choice((-1, 1))
        crest = [(96 + side * (k * 12 - 96), 92 - 30 * math.exp(-(((k - 5) / 4.5) ** 2))) for k in range(17)]
        c.polygon([*crest, (96 + side * 96, 144), (96 - side * 96, 144)], (92, 178, 220), outline=False)
        c.stroke(crest[1:13], 4, (240, 250, 254))
        for x, y in crest[2:12]:
            c.disk((x + rng.randrange(-3, 4), y + 2), rng.randrange(2, 5), (240, 250, 254), outline=False)
        for _ in range(9):
            x, y = rng.randrange(WIDTH), rng.randrange(112, 142)
            c.stroke([(x, y), (x + 8, y - 2), (x + 16, y)], 1, (216, 238, 248))
    elif name == "park":
        draw_sky(c, rng, 66, rain=rain)
        c.rectangle(0, 64, WIDTH, HEIGHT, (148, 200, 104), outline=False)
        c.polygon([(0, 106), (192, 100), (192, 128), (0, 134)], (222, 204, 164), outline=False)
        for x in (14, 62, 118, 178):
            if rng.random() < 0.7:
                draw_tree(c, x + rng.randrange(-8, 9), 78, rng.randrange(44, 62), (72, 146, 74))
        for _ in range(12):
            x, y = rng.randrange(WIDTH), rng.choice((rng.randrange(82, 98), rng.randrange(137, 144)))
            c.disk((x, y), 1.2, rng.choice(((250, 230, 120), (250, 250, 250))), outline=False)
    elif name == "street":
        draw_sky(c, rng, 60, rain=rain)
        x = rng.randrange(-24, 0)
        while x < WIDTH:
            wide, high = rng.randrange(36, 56), rng.randrange(54, 84)
            wall = rng.choice(((206, 150, 124), (226, 206, 168), (180, 186, 198), (196, 170, 150)))
            c.rectangle(x, 92 - high, x + wide, 92, wall)
            for wy in range(92 - high + 7, 74, 16):
                for wx in range(x + 7, x + wide - 8, 13):
                    c.rectangle(wx, wy, wx + 6, wy + 9, (136, 176, 204))
            x += wide
        c.rectangle(0, 92, WIDTH, 118, (206, 204, 200), outline=False)
        c.rectangle(0, 117, WIDTH, 120, (160, 160, 160), outline=False)
        c.rectangle(0, 120, WIDTH, HEIGHT, (112, 114, 120), outline=False)
        for x in range(rng.randrange(0, 20), WIDTH, 40):
            c.rectangle(x, 138, x + 20, 140, (240, 240, 230), outline=False)
    elif name == "snow":
        draw_sky(c, rng, 90, (176, 208, 236))
        c.polygon(
            [(0, 66), (40, 36), (76, 64), (120, 30), (192, 70), (192, 100), (0, 100)], (206, 220, 236), outline=False
        )
        c.polygon([(0, 74), (192, 84), (192, 144), (0, 144)], (238, 243, 250), outline=False)
        for x in (10, 44, 150, 182):
            if rng.random() < 0.75:
                draw_tree(c, x + rng.randrange(-8, 9), 88, rng.randrange(36, 54), (44, 104, 84), pine=True)
        for _ in range(8):
            x, y = rng.randrange(WIDTH), rng.randrange(100, 142)
            c.stroke([(x, y), (x + 14, y + 1)], 1, (212, 222, 236))
    elif name == "field":
        draw_sky(c, rng, 62)
        c.rectangle(0, 50, WIDTH, 64, (96, 112, 150), outline=False)
        for x in range(2, WIDTH, 6):
            c.disk((x, 53 + rng.randrange(3)), 2, rng.choice(((220, 120, 110), (230, 220, 200), (120, 150, 210))),
                   outline=False)  # fmt: skip
        for k in range(6):
            c.rectangle(k * 32, 64, k * 32 + 32, HEIGHT, (104, 182, 84) if k % 2 else (118, 194, 96), outline=False)
        c.stroke([(0, 78), (192, 78)], 1.4, (244, 250, 240))
        c.stroke([(0, 139), (192, 139)], 1.6, (244, 250, 240))
    elif name == "meadow":
        draw_sky(c, rng, 70)
        c.polygon([(0, 70), (60, 50), (120, 68), (192, 52), (192, 90), (0, 90)], (130, 174, 110), outline=False)
        c.rectangle(0, 76, WIDTH, HEIGHT, (168, 202, 98), outline=False)
        for y in (74, 81):
            c.stroke([(0, y), (192, y)], 2, (170, 130, 88))
        for x in range(rng.randrange(4, 14), WIDTH, 26):
            c.rectangle(x, 68, x + 4, 90, (150, 110, 72))
        for _ in range(16):
            x, y = rng.randrange(WIDTH), rng.randrange(96, 142)
            c.stroke([(x, y), (x + 1, y - 4)], 1, (112, 160, 66))
    elif name == "rink":
        c.rectangle(0, 0, WIDTH, 58, (74, 82, 112), outline=False)
        for y in (12, 26, 40):
            for x in range(rng.randrange(3, 9), WIDTH, 11):
                c.disk((x, y), 3.4, rng.choice(((196, 96, 92), (216, 206, 188), (106, 136, 198), (150, 150, 160))),
                       outline=False)  # fmt: skip
        c.rectangle(0, 52, WIDTH, 74, (248, 248, 250))
        c.rectangle(0, 68, WIDTH, 74, (246, 204, 60), outline=False)
        c.rectangle(0, 74, WIDTH, HEIGHT, (222, 238, 248), outline=False)
        c.polygon([(92, 74), (100, 74), (104, 144), (92, 144)], (214, 90, 90), outline=False)
        c.disk((40, 112), 22, (150, 180, 226), outline=False, ry=8)
        c.disk((40, 112), 20, (222, 238, 248), outline=False, ry=6.6)
    elif name == "kitchen":
        c.rectangle(0, 0, WIDTH, 104, (250, 238, 206), outline=False)
        for x in range(6, 96, 30):
            c.rectangle(x, 8, x + 28, 38, (190, 142, 92))
            c.disk((x + 23, 30), 1.4, (90, 70, 50), outline=False)
        c.rectangle(122, 12, 164, 46, (176, 216, 240))
        c.stroke([(143, 12), (143, 46)], 1.6, (255, 255, 255))
        c.rectangle(0, 72, WIDTH, 106, (214, 220, 222))
        c.rectangle(0, 68, WIDTH, 74, (140, 128, 120))
        for x in range(0, WIDTH, 38):
            c.stroke([(x, 76), (x, 104)], 0.8, (170, 176, 180))
        c.rectangle(0, 106, WIDTH, HEIGHT, (226, 210, 190), outline=False)
        for x in range(-40, WIDTH + 40, 28):
            c.stroke([(x + 20, 106), (x, 144)], 0.7, (196, 178, 158))
        c.stroke([(0, 122), (192, 122)], 0.7, (196, 178, 158))
    elif name == "room":
        wall = rng.choice(((214, 226, 206), (236, 222, 204), (206, 218, 232)))
        c.rectangle(0, 0, WIDTH, 100, wall, outline=False)
        c.rectangle(0, 97, WIDTH, 101, (250, 250, 246), outline=False)
        c.rectangle(0, 101, WIDTH, HEIGHT, (196, 152, 106), outline=False)
        for y in (110, 121, 133):
            c.stroke([(0, y), (192, y)], 0.7, (168, 126, 84))
        x = rng.choice((24, 128))
        c.rectangle(x, 14, x + 40, 54, (178, 218, 242))
        c.stroke([(x + 20, 14), (x + 20, 54)], 1.6, (255, 255, 255))
        c.stroke([(x, 34), (x + 40, 34)], 1.6, (255, 255, 255))
        c.rectangle(86, 20, 112, 40, (250, 246, 236))
        c.polygon([(89, 38), (96, 28), (102, 34), (106, 29), (110, 38)], (120, 150, 110), outline=False)
    else:
        raise ValueError(f"setting {name!r} is not known")


SETTINGS = ("beach", "sea", "park", "street", "snow", "field", "meadow", "rink", "kitchen", "room")
