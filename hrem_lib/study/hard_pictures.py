"""Scarce and ambiguous test pictures (the claims of Fig. 1), told apart by captions alone; no model decides.

Choice of this project; the paper shows examples and gives no rule. A picture stands for its captions together, as a
TF-IDF vector; its likeness to another picture is the cosine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHARE = 0.25  # of the test pictures in either set; a picture may be in both
NEAREST = 10  # training pictures that say how scarce a picture is
NAMES = ("scarce", "ambiguous")


def find(
    train_captions: Sequence[str], captions: Sequence[str], per_image: int, train_per_image: int | None = None
) -> dict[str, np.ndarray]:
    """Masks [n] over the pictures of a split (Sec 1, Fig. 1).

    scarce: the quarter with the lowest mean likeness to their 10 nearest training pictures.
    ambiguous: the quarter with the highest likeness to their nearest other picture of the split.

    Args:
        captions: of the split, in order, `per_image` for each picture
        train_captions: the same, `train_per_image` for each picture; None: as many
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second to import: only where needed

    def documents(lines: Sequence[str], count: int) -> list[str]:
        return [" ".join(lines[at : at + count]) for at in range(0, len(lines), count)]

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"[^\W_]+", dtype=np.float32)  # pyright: ignore[reportArgumentType]  # the stub has the default's type
    train = vectorizer.fit_transform(documents(train_captions, train_per_image or per_image))
    own = vectorizer.transform(documents(captions, per_image))
    to_train = (own @ train.T).toarray()
    known = np.sort(to_train, axis=1)[:, -NEAREST:].mean(1)
    to_others = (own @ own.T).toarray()  # pyright: ignore[reportAttributeAccessIssue]  # a sparse matrix
    np.fill_diagonal(to_others, -1)
    twin = to_others.max(1)
    count = max(1, round(SHARE * len(known)))
    masks = {name: np.zeros(len(known), bool) for name in NAMES}
    masks["scarce"][np.argsort(known, kind="stable")[:count]] = True
    masks["ambiguous"][np.argsort(-twin, kind="stable")[:count]] = True
    return masks
