"""Places of the sample world: sky, trees, and the ten settings."""

from __future__ import annotations

import math
from random import Random

from hrem_lib.sample_world.canvas import HEIGHT, WIDTH, Canvas, Color


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
