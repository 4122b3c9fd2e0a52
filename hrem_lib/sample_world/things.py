"""Things of the sample world: boards, balls, instruments, furniture, vehicles."""

from __future__ import annotations

import math

from hrem_lib.sample_world.canvas import COLORS, METAL, WOOD, Canvas, Point, darker, toward, turned


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
