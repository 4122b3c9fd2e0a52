"""People and animals of the sample world: joints, poses, and how they are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hrem_lib.sample_world.canvas import COLORS, HAIR, SHOE, SKIN, Canvas, Color, Point, darker, toward

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
    c.stroke([arm[0], arm[1], middle], 0.075 * s, top, outline=True)  # pyright: ignore[reportArgumentType]  # a point


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
