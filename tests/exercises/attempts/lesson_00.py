"""Wrong answers to the exercises of lesson 00, written by somebody who had not read the checks."""

# ruff: noqa: F811

import numpy as np
from exercises.attempts import attempt

image_of_caption_of_notebook = np.arange(1000) // 5  # the notebook's own `image_of_caption`


@attempt("00a", "a tie counts for us")
def ranks_i2t(similarity, image_of_caption):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    best = np.where(own, similarity, -np.inf).max(1, keepdims=True)
    return ((similarity > best) & ~own).sum(1)


@attempt("00a", "takes it that five captions in a row belong to a picture")
def ranks_i2t(similarity, image_of_caption):
    ranks = []
    for i, row in enumerate(similarity):
        best = row[5 * i : 5 * i + 5].max(initial=-np.inf)
        others = np.delete(row, np.arange(5 * i, min(5 * i + 5, len(row))))
        ranks.append((others >= best).sum())
    return np.array(ranks)


@attempt("00a", "reads the notebook's image_of_caption in place of the argument")
def ranks_i2t(similarity, image_of_caption):
    owner = image_of_caption_of_notebook[: similarity.shape[1]]
    own = np.arange(len(similarity))[:, None] == owner
    best = np.where(own, similarity, -np.inf).max(1, keepdims=True)
    return ((similarity >= best) & ~own).sum(1)


@attempt("00a", "a second own caption that ties with the best one counts as a wrong one")
def ranks_i2t(similarity, image_of_caption):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    best = np.where(own, similarity, -np.inf).max(1, keepdims=True)
    return (similarity >= best).sum(1) - 1


@attempt("00a", "ranks start at 1")
def ranks_i2t(similarity, image_of_caption):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    best = np.where(own, similarity, -np.inf).max(1, keepdims=True)
    return ((similarity >= best) & ~own).sum(1) + 1


@attempt("00a", "sorts, and the order of the file decides a tie")
def ranks_i2t(similarity, image_of_caption):
    order = np.argsort(-similarity, axis=1, kind="stable")
    right = image_of_caption[order] == np.arange(len(similarity))[:, None]
    return right.argmax(1)


@attempt("00a", "the worst own caption counts, not the best")
def ranks_i2t(similarity, image_of_caption):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    worst = np.where(own, similarity, np.inf).min(1, keepdims=True)
    return ((similarity >= worst) & ~own).sum(1)


@attempt("00a", "the mean of the own captions counts, not the best")
def ranks_i2t(similarity, image_of_caption):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    mean = (similarity * own).sum(1, keepdims=True) / own.sum(1, keepdims=True)
    return ((similarity >= mean) & ~own).sum(1)


@attempt("00a", "hides other captions with 0, so a negative own similarity loses")
def ranks_i2t(similarity, image_of_caption):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    best = (similarity * own).max(1, keepdims=True)
    return ((similarity >= best) & ~own).sum(1)


@attempt("00a", "the first own caption counts, not the best")
def ranks_i2t(similarity, image_of_caption):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    first = own.argmax(1)
    score = similarity[np.arange(len(similarity)), first]
    return ((similarity >= score[:, None]) & ~own).sum(1)


@attempt("00a", "the wrong direction: ranks of text to image")
def ranks_i2t(similarity, image_of_caption):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return (similarity >= own).sum(0) - 1


@attempt("00a", "pictures in the order in which their captions first appear")
def ranks_i2t(similarity, image_of_caption):
    ranks = []
    for i in dict.fromkeys(np.asarray(image_of_caption).tolist()):
        own = image_of_caption == i
        ranks.append((similarity[i, ~own] >= similarity[i, own].max()).sum())
    return np.array(ranks)


@attempt("00a", "what is lower by less than 0.01 counts as a tie")
def ranks_i2t(similarity, image_of_caption):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    best = np.where(own, similarity, -np.inf).max(1, keepdims=True)
    return ((similarity > best - 0.01) & ~own).sum(1)


@attempt("00a", "overwrites the similarities of own captions in its argument", arguable=True)
def ranks_i2t(similarity, image_of_caption):
    ranks = []
    for i, row in enumerate(similarity):
        best = row[image_of_caption == i].max()
        row[image_of_caption == i] = -np.inf
        ranks.append((row >= best).sum())
    return np.array(ranks)


@attempt("00b", "a tie counts for us: a collapsed model gets 100")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return 100 * np.mean((similarity > own).sum(0) < k)


@attempt("00b", "sorts, and the order of the pictures decides a tie")
def t2i_recall(similarity, image_of_caption, k):
    top = np.argsort(-similarity, axis=0, kind="stable")[:k]
    return 100 * np.mean((top == image_of_caption).any(0))


@attempt("00b", "rank k counts as found, too")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return 100 * np.mean((similarity >= own).sum(0) - 1 <= k)


@attempt("00b", "the own picture counts as one above itself")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return 100 * np.mean((similarity >= own).sum(0) < k)


@attempt("00b", "a share, not per cent")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return np.mean((similarity >= own).sum(0) - 1 < k)


@attempt("00b", "divides by the number of pictures")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return 100 * ((similarity >= own).sum(0) - 1 < k).sum() / len(similarity)


@attempt("00b", "always the first place, whatever k is")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return 100 * np.mean((similarity >= own).sum(0) == 1)


@attempt("00b", "the other direction, image to text")
def t2i_recall(similarity, image_of_caption, k):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    best = np.where(own, similarity, -np.inf).max(1, keepdims=True)
    return 100 * np.mean(((similarity >= best) & ~own).sum(1) < k)


@attempt("00b", "caption j belongs to picture j // 5, whatever image_of_caption says")
def t2i_recall(similarity, image_of_caption, k):
    n, m = similarity.shape
    own = similarity[np.arange(m) * n // m, np.arange(m)]
    return 100 * np.mean((similarity >= own).sum(0) - 1 < k)


@attempt("00b", "breaks ties at random: a collapsed model gets what chance gives")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    above = (similarity > own).sum(0)
    ties = (similarity == own).sum(0) - 1
    return 100 * np.mean(np.random.default_rng(0).integers(above, above + ties + 1) < k)


@attempt("00b", "crashes where k is the number of pictures or more")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    first_left_out = np.sort(similarity, axis=0)[::-1][k]
    return 100 * np.mean(own > first_left_out)


@attempt("00b", "whole per cents, rounded down")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    found = int(((similarity >= own).sum(0) - 1 < k).sum())
    return 100 * found // len(own)


@attempt("00b", "an answer for each caption, no mean")
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return 100 * ((similarity >= own).sum(0) - 1 < k)


@attempt("00b", "rounded to one decimal", arguable=True)
def t2i_recall(similarity, image_of_caption, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    return round(float(100 * np.mean((similarity >= own).sum(0) - 1 < k)), 1)


def hits(similarity, image_of_caption):
    """What the colleague computes: a hit or none for each picture and for each caption."""
    n, m = similarity.shape
    own = np.arange(n)[:, None] == image_of_caption
    score = similarity[image_of_caption, np.arange(m)]
    best = np.where(own, similarity, -np.inf).max(1)
    of_pictures = ((similarity >= best[:, None]) & ~own).sum(1) < 1
    of_captions = ((similarity >= score[None, :]) & ~own).sum(0) < 1
    return of_pictures, of_captions


@attempt("00c", "the colleague's report as it was")
def report(similarity, image_of_caption):
    of_pictures, of_captions = hits(similarity, image_of_caption)
    return {"i2t": 100 * np.mean(of_captions), "t2i": 100 * np.mean(of_pictures)}


@attempt("00c", "shares, not per cent")
def report(similarity, image_of_caption):
    of_pictures, of_captions = hits(similarity, image_of_caption)
    return {"i2t": np.mean(of_pictures), "t2i": np.mean(of_captions)}


@attempt("00c", "repairs i2t only, t2i keeps the wrong number")
def report(similarity, image_of_caption):
    of_pictures, _ = hits(similarity, image_of_caption)
    return {"i2t": 100 * np.mean(of_pictures), "t2i": 100 * np.mean(of_pictures)}


@attempt("00c", "divides by the number of queries of the other direction")
def report(similarity, image_of_caption):
    n, m = similarity.shape
    of_pictures, of_captions = hits(similarity, image_of_caption)
    return {"i2t": 100 * of_pictures.sum() / m, "t2i": 100 * of_captions.sum() / n}


@attempt("00c", "thinks that the tie rule was the mistake and leaves the names")
def report(similarity, image_of_caption):
    own = np.arange(len(similarity))[:, None] == image_of_caption
    score = similarity[image_of_caption, np.arange(similarity.shape[1])]
    best = np.where(own, similarity, -np.inf).max(1, keepdims=True)
    for_columns, for_rows = (similarity > score).sum(0), (similarity > best).sum(1)
    return {"i2t": 100 * np.mean(for_columns < 1), "t2i": 100 * np.mean(for_rows < 1)}


@attempt("00c", "by argmax: the first of two equal ones wins")
def report(similarity, image_of_caption):
    i2t = image_of_caption[similarity.argmax(1)] == np.arange(len(similarity))
    t2i = similarity.argmax(0) == image_of_caption
    return {"i2t": 100 * np.mean(i2t), "t2i": 100 * np.mean(t2i)}


@attempt("00c", "the two numbers of the text, typed in the right order")
def report(similarity, image_of_caption):
    return {"i2t": 60.5, "t2i": 47.3}


@attempt("00c", "other names in the report")
def report(similarity, image_of_caption):
    of_pictures, of_captions = hits(similarity, image_of_caption)
    return {"image_to_text": 100 * np.mean(of_pictures), "text_to_image": 100 * np.mean(of_captions)}


@attempt("00c", "turns the matrix in place of the names; fails, for image_of_caption counts columns")
def report(similarity, image_of_caption):
    of_pictures, of_captions = hits(similarity.T, image_of_caption)
    return {"i2t": 100 * np.mean(of_captions), "t2i": 100 * np.mean(of_pictures)}


@attempt("00c", "i2t asks each caption, not each picture, whether it beats the strangers in its row")
def report(similarity, image_of_caption):
    m = len(image_of_caption)
    own = np.arange(len(similarity))[:, None] == image_of_caption
    score = similarity[image_of_caption, np.arange(m)]
    strangers = np.where(own, -np.inf, similarity).max(1)
    _, of_captions = hits(similarity, image_of_caption)
    return {"i2t": 100 * np.mean(score > strangers[image_of_caption]), "t2i": 100 * np.mean(of_captions)}


@attempt("00c", "rounded to whole per cents")
def report(similarity, image_of_caption):
    of_pictures, of_captions = hits(similarity, image_of_caption)
    return {"i2t": round(100 * np.mean(of_pictures)), "t2i": round(100 * np.mean(of_captions))}


@attempt("00d", "the probability to stay, not to be elsewhere")
def predict_folds(ranks, folds):
    return 100 * np.mean((1 / folds) ** ranks)


@attempt("00d", "a share, not per cent")
def predict_folds(ranks, folds):
    return np.mean((1 - 1 / folds) ** ranks)


@attempt("00d", "takes ranks that count from 1")
def predict_folds(ranks, folds):
    return 100 * np.mean((1 - 1 / folds) ** (ranks - 1.0))


@attempt("00d", "the power of the mean rank, not the mean of the powers")
def predict_folds(ranks, folds):
    return 100 * (1 - 1 / folds) ** np.mean(ranks)


@attempt("00d", "divides the rank by the number of folds")
def predict_folds(ranks, folds):
    return 100 * np.mean(np.asarray(ranks) // folds < 1)


@attempt("00d", "draws the folds once instead of the expected value")
def predict_folds(ranks, folds):
    return 100 * np.mean(np.random.default_rng(0).binomial(ranks, 1 / folds) == 0)


@attempt("00d", "exp(-rank / F), a rough approximation")
def predict_folds(ranks, folds):
    return 100 * np.mean(np.exp(-np.asarray(ranks) / folds))


@attempt("00d", "base and exponent exchanged")
def predict_folds(ranks, folds):
    return 100 * np.mean(np.asarray(ranks, float) ** (1 - 1 / folds))


@attempt("00d", "five folds, whatever the argument says")
def predict_folds(ranks, folds):
    return 100 * np.mean(0.8 ** np.asarray(ranks))


@attempt("00d", "integer division: every stranger is elsewhere")
def predict_folds(ranks, folds):
    return 100 * np.mean((1 - 1 // folds) ** np.asarray(ranks))


@attempt("00d", "multiplies over the captions")
def predict_folds(ranks, folds):
    return 100 * np.prod((1 - 1 / folds) ** np.asarray(ranks))


@attempt("00d", "each different rank counts once")
def predict_folds(ranks, folds):
    return 100 * np.mean((1 - 1 / folds) ** np.unique(ranks))


@attempt("00d", "only one stranger is asked: captions with a stranger above are found with 1 - 1/F")
def predict_folds(ranks, folds):
    return 100 * np.mean(np.where(np.asarray(ranks) == 0, 1, 1 - 1 / folds))


@attempt("00d", "by logarithms: NaN for a single fold", arguable=True)
def predict_folds(ranks, folds):
    with np.errstate(all="ignore"):
        return 100 * np.mean(np.exp(np.asarray(ranks) * np.log(1 - 1 / folds)))


@attempt("00e", "a tie with a wrong picture counts for us")
def recall_with_twins(similarity, fits):
    best = np.where(fits, similarity, -np.inf).max(0)
    wrong = np.where(fits, -np.inf, similarity).max(0)
    return 100 * np.mean(wrong <= best)


@attempt("00e", "hides wrong pictures with 0: fails where fitting ones are negative")
def recall_with_twins(similarity, fits):
    best = (similarity * fits).max(0)
    wrong = np.where(fits, -np.inf, similarity).max(0)
    return 100 * np.mean(wrong < best)


@attempt("00e", "hides fitting pictures with 0: fails where all similarities are negative")
def recall_with_twins(similarity, fits):
    best = np.where(fits, similarity, -np.inf).max(0)
    wrong = np.where(fits, 0, similarity).max(0)
    return 100 * np.mean(wrong < best)


@attempt("00e", "by argmax: the first of two equal ones wins")
def recall_with_twins(similarity, fits):
    return 100 * np.mean(fits[similarity.argmax(0), np.arange(similarity.shape[1])])


@attempt("00e", "asks the pictures, not the captions")
def recall_with_twins(similarity, fits):
    best = np.where(fits, similarity, -np.inf).max(1)
    wrong = np.where(fits, -np.inf, similarity).max(1)
    return 100 * np.mean(wrong < best)


@attempt("00e", "all fitting pictures must beat the wrong ones")
def recall_with_twins(similarity, fits):
    worst = np.where(fits, similarity, np.inf).min(0)
    wrong = np.where(fits, -np.inf, similarity).max(0)
    return 100 * np.mean(wrong < worst)


@attempt("00e", "the mean of the fitting pictures must beat the wrong ones")
def recall_with_twins(similarity, fits):
    mean = (similarity * fits).sum(0) / fits.sum(0)
    wrong = np.where(fits, -np.inf, similarity).max(0)
    return 100 * np.mean(wrong < mean)


@attempt("00e", "crashes where every picture fits")
def recall_with_twins(similarity, fits):
    found = [max(s[f]) > max(s[~f]) for s, f in zip(similarity.T, fits.T, strict=True)]
    return 100 * np.mean(found)


@attempt("00e", "NaN where every picture fits, so the caption counts as lost")
def recall_with_twins(similarity, fits):
    best = np.where(fits, similarity, -np.inf).max(0)
    hidden = np.where(fits, np.nan, similarity)
    wrong = np.array([np.nan if np.isnan(column).all() else np.nanmax(column) for column in hidden.T])
    return 100 * np.mean(wrong < best)


@attempt("00e", "counts a second fitting picture at the same height as a wrong one")
def recall_with_twins(similarity, fits):
    best = np.where(fits, similarity, -np.inf).max(0)
    return 100 * np.mean((similarity >= best).sum(0) == 1)


@attempt("00e", "only the first fitting picture of a caption is right")
def recall_with_twins(similarity, fits):
    own = similarity[fits.argmax(0), np.arange(fits.shape[1])]
    wrong = np.where(fits, -np.inf, similarity).max(0)
    return 100 * np.mean(wrong < own)


@attempt("00e", "the share of fitting pairs that beat the wrong ones")
def recall_with_twins(similarity, fits):
    wrong = np.where(fits, -np.inf, similarity).max(0)
    return 100 * ((similarity > wrong) & fits).sum() / fits.sum()


@attempt("00e", "a share, not per cent")
def recall_with_twins(similarity, fits):
    best = np.where(fits, similarity, -np.inf).max(0)
    wrong = np.where(fits, -np.inf, similarity).max(0)
    return np.mean(wrong < best)


@attempt("00e", "writes into the similarities that it was given", arguable=True)
def recall_with_twins(similarity, fits):
    best = np.where(fits, similarity, -np.inf).max(0)
    similarity[fits] = -np.inf
    return 100 * np.mean(similarity.max(0) < best)
