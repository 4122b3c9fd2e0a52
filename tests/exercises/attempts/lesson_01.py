"""Wrong answers to the exercises of lesson 01, written by somebody who had not read the checks."""

# ruff: noqa: F811

from collections import Counter

import torch
from exercises.attempts import attempt
from torch.nn import functional as F

from hrem_lib import text


def tents(low, high, size, cells, stride, samples=2, shift=0.5, stay=True, dtype=torch.float64):
    """Weights of one axis [N,cells,size], with switches for several faults."""
    steps = (torch.arange(samples * cells, dtype=dtype) + 0.5) / (samples * cells)
    places = (low[:, None] + (high - low)[:, None] * steps) / stride - shift
    places = places.clamp(0, size - 1) if stay else places
    weights = (1 - (places[..., None] - torch.arange(size)).abs()).clamp(min=0)
    return weights.unflatten(1, (cells, samples)).mean(2)


def crop(maps, boxes, cells, stride, order="ncij", **switches):
    """RoI align, right without switches."""
    switches = {"dtype": maps.dtype} | switches
    down = tents(boxes[:, 1], boxes[:, 3], maps.shape[1], cells, stride, **switches)
    across = tents(boxes[:, 0], boxes[:, 2], maps.shape[2], cells, stride, **switches)
    return torch.einsum(f"nih,chw,njw->{order}", down, maps, across)


@attempt("01a", "half a pixel off: nothing subtracted")
def roi_align(maps, boxes, cells, stride):
    return crop(maps, boxes, cells, stride, shift=0.0)


@attempt("01a", "x and y of the boxes exchanged")
def roi_align(maps, boxes, cells, stride):
    return crop(maps, boxes[:, [1, 0, 3, 2]], cells, stride)


@attempt("01a", "a stride of 4, whatever the argument says")
def roi_align(maps, boxes, cells, stride):
    return crop(maps, boxes, cells, 4)


@attempt("01a", "no clamp: beyond the border everything is zero")
def roi_align(maps, boxes, cells, stride):
    return crop(maps, boxes, cells, stride, stay=False)


@attempt("01a", "one sample in the middle of each cell, not 2 x 2")
def roi_align(maps, boxes, cells, stride):
    return crop(maps, boxes, cells, stride, samples=1)


@attempt("01a", "rows and columns of the crops exchanged")
def roi_align(maps, boxes, cells, stride):
    return crop(maps, boxes, cells, stride, order="ncji")


@attempt("01a", "the channels come last")
def roi_align(maps, boxes, cells, stride):
    return crop(maps, boxes, cells, stride, order="nijc")


@attempt("01a", "works for square maps only")
def roi_align(maps, boxes, cells, stride):
    down = tents(boxes[:, 1], boxes[:, 3], maps.shape[1], cells, stride, dtype=maps.dtype)
    across = tents(boxes[:, 0], boxes[:, 2], maps.shape[1], cells, stride, dtype=maps.dtype)
    return torch.einsum("nih,chw,njw->ncij", down, maps, across)


@attempt("01a", "the nearest pixel, not a mean of the neighbors")
def roi_align(maps, boxes, cells, stride):
    steps = (torch.arange(2 * cells, dtype=maps.dtype) + 0.5) / (2 * cells)
    out = []
    for x0, y0, x1, y1 in boxes.tolist():
        y = ((y0 + (y1 - y0) * steps) / stride - 0.5).round().clamp(0, maps.shape[1] - 1).long()
        x = ((x0 + (x1 - x0) * steps) / stride - 0.5).round().clamp(0, maps.shape[2] - 1).long()
        out.append(F.avg_pool2d(maps[:, y][:, :, x], 2))
    return torch.stack(out)


@attempt("01a", "float32 weights: crashes for maps in double precision")
def roi_align(maps, boxes, cells, stride):
    return crop(maps, boxes.float(), cells, stride, dtype=torch.float32)


@attempt("01a", "cuts whole pixels out and averages them, as RoI pooling does")
def roi_align(maps, boxes, cells, stride):
    out = []
    for x0, y0, x1, y1 in (boxes / stride).tolist():
        part = maps[:, int(y0) : max(int(y1), int(y0) + 1), int(x0) : max(int(x1), int(x0) + 1)]
        out.append(F.adaptive_avg_pool2d(part, cells))
    return torch.stack(out)


@attempt("01a", "grid_sample with corners aligned, but places scaled as if they were not")
def roi_align(maps, boxes, cells, stride):
    height, width = maps.shape[1:]
    steps = (torch.arange(2 * cells, dtype=maps.dtype) + 0.5) / (2 * cells)
    x = (boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * steps) / stride
    y = (boxes[:, 1:2] + (boxes[:, 3:] - boxes[:, 1:2]) * steps) / stride
    x, y = 2 * x / width - 1, 2 * y / height - 1
    grid = torch.stack([x[:, None].expand(-1, 2 * cells, -1), y[:, :, None].expand(-1, -1, 2 * cells)], -1)
    many = maps.expand(len(boxes), -1, -1, -1)
    sampled = F.grid_sample(many, grid.to(maps.dtype), padding_mode="border", align_corners=True)
    return F.avg_pool2d(sampled, 2)


@attempt("01a", "a box is one pixel wider and higher: x1 - x0 + 1")
def roi_align(maps, boxes, cells, stride):
    wider = boxes + torch.tensor([0, 0, 1, 1], dtype=boxes.dtype)
    return crop(maps, wider, cells, stride)


@attempt("01a", "samples from edge to edge of the box, ends included")
def roi_align(maps, boxes, cells, stride):
    steps = torch.linspace(0, 1, 2 * cells, dtype=maps.dtype)
    matrices = []
    for low, high, size in ((boxes[:, 1], boxes[:, 3], maps.shape[1]), (boxes[:, 0], boxes[:, 2], maps.shape[2])):
        places = ((low[:, None] + (high - low)[:, None] * steps) / stride - 0.5).clamp(0, size - 1)
        weights = (1 - (places[..., None] - torch.arange(size)).abs()).clamp(min=0)
        matrices.append(weights.unflatten(1, (cells, 2)).mean(2))
    return torch.einsum("nih,chw,njw->ncij", matrices[0], maps, matrices[1])


@attempt("01a", "the sum of the 2 x 2 samples, not their mean")
def roi_align(maps, boxes, cells, stride):
    return 4 * crop(maps, boxes, cells, stride)


@attempt("01a", "the stride divides the box, the half pixel is subtracted before")
def roi_align(maps, boxes, cells, stride):
    return crop(maps, boxes - 0.5, cells, stride, shift=0.0)


@attempt("01a", "the gradient to the maps is lost", arguable=True)
def roi_align(maps, boxes, cells, stride):
    return torch.from_numpy(crop(maps.detach(), boxes, cells, stride).numpy())


def counted(captions, words_of=text.split_words):
    """How often each word is seen."""
    return Counter(word for caption in captions for word in words_of(caption))


def ordered(counts, min_count):
    """Words seen often enough, most frequent first, then by the alphabet."""
    return sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))


SPECIAL = ["<pad>", "<start>", "<end>", "<unk>"]


@attempt("01b", "reads all splits: test words leak")
def vocabulary(splits, min_count):
    captions = [caption for split in splits.values() for caption in split]
    return SPECIAL + ordered(counted(captions), min_count)


@attempt("01b", "reads the dev captions, too")
def vocabulary(splits, min_count):
    return SPECIAL + ordered(counted(splits["train"] + splits["dev"]), min_count)


@attempt("01b", "words that are seen exactly min_count times are left out")
def vocabulary(splits, min_count):
    return SPECIAL + ordered(counted(splits["train"]), min_count + 1)


@attempt("01b", "by the alphabet only")
def vocabulary(splits, min_count):
    return SPECIAL + sorted(w for w, n in counted(splits["train"]).items() if n >= min_count)


@attempt("01b", "the rarest word first")
def vocabulary(splits, min_count):
    counts = counted(splits["train"])
    return SPECIAL + sorted((w for w in counts if counts[w] >= min_count), key=lambda w: (counts[w], w))


@attempt("01b", "words of one count from z to a")
def vocabulary(splits, min_count):
    counts = counted(splits["train"])
    return SPECIAL + sorted((w for w in counts if counts[w] >= min_count), key=lambda w: (counts[w], w), reverse=True)


@attempt("01b", "most_common: words of one count as they first appear")
def vocabulary(splits, min_count):
    return SPECIAL + [w for w, n in counted(splits["train"]).most_common() if n >= min_count]


@attempt("01b", "no special words")
def vocabulary(splits, min_count):
    return ordered(counted(splits["train"]), min_count)


@attempt("01b", "the special words in another order: <unk> has id 1")
def vocabulary(splits, min_count):
    return ["<pad>", "<unk>", "<start>", "<end>", *ordered(counted(splits["train"]), min_count)]


@attempt("01b", "the special words at the end: padding is not id 0")
def vocabulary(splits, min_count):
    return ordered(counted(splits["train"]), min_count) + SPECIAL


@attempt("01b", "str.split: capitals and punctuation stay")
def vocabulary(splits, min_count):
    return SPECIAL + ordered(counted(splits["train"], str.split), min_count)


@attempt("01b", "a word counts once a caption")
def vocabulary(splits, min_count):
    return SPECIAL + ordered(counted(splits["train"], lambda c: set(text.split_words(c))), min_count)


@attempt("01b", "min_count is ignored")
def vocabulary(splits, min_count):
    return SPECIAL + ordered(counted(splits["train"]), 1)


@attempt("01b", "a dictionary from word to id, not a list")
def vocabulary(splits, min_count):
    words = SPECIAL + ordered(counted(splits["train"]), min_count)
    return {word: i for i, word in enumerate(words)}


@attempt("01b", "pairs of word and count")
def vocabulary(splits, min_count):
    counts = counted(splits["train"])
    return SPECIAL + [(word, counts[word]) for word in ordered(counts, min_count)]


@attempt("01b", "takes the training captions out of its argument", arguable=True)
def vocabulary(splits, min_count):
    return SPECIAL + ordered(counted(splits.pop("train")), min_count)


def padded(rows):
    """Lists of ids -> ids and mask, right."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    return ids, torch.tensor([[place < len(row) for place in range(longest)] for row in rows])


def cut_right(captions, limit):
    """Captions with at most `limit` tokens, the last one kept."""
    return [row if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in captions]


@attempt("01c", "a long caption loses its last token")
def collate(captions, limit):
    return padded([row[:limit] for row in captions])


@attempt("01c", "a long caption keeps its end and loses its start")
def collate(captions, limit):
    return padded([row[-limit:] for row in captions])


@attempt("01c", "a long caption becomes limit + 1 long")
def collate(captions, limit):
    return padded([row if len(row) <= limit else [*row[:limit], row[-1]] for row in captions])


@attempt("01c", "a long caption becomes limit - 1 long")
def collate(captions, limit):
    return padded([row if len(row) <= limit else [*row[: limit - 2], row[-1]] for row in captions])


@attempt("01c", "every last token becomes 2: right for <end>, wrong for [SEP]")
def collate(captions, limit):
    return padded([row if len(row) <= limit else [*row[: limit - 1], 2] for row in captions])


@attempt("01c", "pads to the limit, not to the longest caption")
def collate(captions, limit):
    ids, mask = padded(cut_right(captions, limit))
    extra = (0, limit - ids.shape[1])
    return F.pad(ids, extra), F.pad(mask, extra)


@attempt("01c", "as wide as the longest caption was before it was cut")
def collate(captions, limit):
    ids, mask = padded(cut_right(captions, limit))
    extra = (0, max(map(len, captions)) - ids.shape[1])
    return F.pad(ids, extra), F.pad(mask, extra)


@attempt("01c", "pads to a multiple of eight")
def collate(captions, limit):
    ids, mask = padded(cut_right(captions, limit))
    extra = (0, -ids.shape[1] % 8)
    return F.pad(ids, extra), F.pad(mask, extra)


@attempt("01c", "pads on the left")
def collate(captions, limit):
    rows = cut_right(captions, limit)
    longest = max(map(len, rows))
    ids = torch.tensor([[*[0] * (longest - len(row)), *row] for row in rows])
    return ids, torch.tensor([[place >= longest - len(row) for place in range(longest)] for row in rows])


@attempt("01c", "True marks the padding")
def collate(captions, limit):
    ids, mask = padded(cut_right(captions, limit))
    return ids, ~mask


@attempt("01c", "the mask holds 0 and 1, not False and True")
def collate(captions, limit):
    ids, mask = padded(cut_right(captions, limit))
    return ids, mask.long()


@attempt("01c", "ids as 32-bit integers")
def collate(captions, limit):
    ids, mask = padded(cut_right(captions, limit))
    return ids.int(), mask


@attempt("01c", "ids as floats: torch.zeros without a dtype")
def collate(captions, limit):
    rows = cut_right(captions, limit)
    ids = torch.zeros(len(rows), max(map(len, rows)))
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, ids != 0


@attempt("01c", "pads with the last token of the caption")
def collate(captions, limit):
    rows = cut_right(captions, limit)
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in rows])
    return ids, padded(rows)[1]


@attempt("01c", "sorts the captions, longest first")
def collate(captions, limit):
    return padded(sorted(cut_right(captions, limit), key=len, reverse=True))


@attempt("01c", "forgets to cut")
def collate(captions, limit):
    return padded(captions)


@attempt("01c", "cuts all captions to the shortest one, so that nothing is padded")
def collate(captions, limit):
    return padded(cut_right(captions, min(limit, *map(len, captions))))


@attempt("01c", "shortens the lists of the caller", arguable=True)
def collate(captions, limit):
    for row in captions:
        if len(row) > limit:
            row[limit - 1 : -1] = []
    return padded(captions)


@attempt("01c", "the mask is ids != 0: a real token with id 0 is lost", arguable=True)
def collate(captions, limit):
    ids = padded(cut_right(captions, limit))[0]
    return ids, ids != 0


@attempt("01d", "all rows through the layers, padding zeroed afterwards")
def project(features, mask, fc, mlp):
    rows = features.flatten(0, 1)
    out = (fc(rows) + mlp(rows)).unflatten(0, mask.shape)
    return torch.where(mask[..., None], out, 0)


@attempt("01d", "padding zeroed before and after, but BatchNorm still sees it")
def project(features, mask, fc, mlp):
    rows = torch.where(mask[..., None], features, 0).flatten(0, 1)
    out = (fc(rows) + mlp(rows)).unflatten(0, mask.shape)
    return torch.where(mask[..., None], out, 0)


@attempt("01d", "the result is as wide as the features: fails where D is not F")
def project(features, mask, fc, mlp):
    out = torch.zeros_like(features)
    out[mask] = fc(features[mask]) + mlp(features[mask])
    return out


@attempt("01d", "forgets the MLP")
def project(features, mask, fc, mlp):
    real = fc(features[mask])
    out = real.new_zeros(*mask.shape, real.shape[-1])
    out[mask] = real
    return out


@attempt("01d", "forgets FC")
def project(features, mask, fc, mlp):
    real = mlp(features[mask])
    out = real.new_zeros(*mask.shape, real.shape[-1])
    out[mask] = real
    return out


@attempt("01d", "masked rows hold the bias of FC, not zero")
def project(features, mask, fc, mlp):
    out = fc(torch.where(mask[..., None], features, 0))
    return out.masked_scatter(mask[..., None], (out[mask] + mlp(features[mask])).to(out.dtype))


@attempt("01d", "takes the mask as a prefix: a hole brings padding in")
def project(features, mask, fc, mlp):
    prefix = torch.arange(mask.shape[1]) < mask.sum(1, keepdim=True)
    real = fc(features[prefix]) + mlp(features[prefix])
    out = real.new_zeros(*mask.shape, real.shape[-1])
    out[prefix] = real
    return out


@attempt("01d", "BatchNorm over one picture at a time")
def project(features, mask, fc, mlp):
    out = []
    for rows, real in zip(features, mask, strict=True):
        some = fc(rows[real]) + mlp(rows[real])
        whole = some.new_zeros(len(rows), some.shape[-1])
        whole[real] = some
        out.append(whole)
    return torch.stack(out)


@attempt("01d", "no gradient reaches the layers")
def project(features, mask, fc, mlp):
    with torch.no_grad():
        real = fc(features[mask]) + mlp(features[mask])
        out = real.new_zeros(*mask.shape, real.shape[-1])
        out[mask] = real
    return out


@attempt("01d", "switches BatchNorm to inference")
def project(features, mask, fc, mlp):
    mlp.eval()
    real = fc(features[mask]) + mlp(features[mask])
    out = real.new_zeros(*mask.shape, real.shape[-1])
    out[mask] = real
    return out


@attempt("01d", "a float32 result: crashes for layers in double precision", arguable=True)
def project(features, mask, fc, mlp):
    real = fc(features[mask]) + mlp(features[mask])
    out = torch.zeros(*mask.shape, real.shape[-1])
    out[mask] = real
    return out


@attempt("01d", "the real rows only, not put back")
def project(features, mask, fc, mlp):
    return fc(features[mask]) + mlp(features[mask])


@attempt("01d", "the MLP gets [B,R,F]: BatchNorm takes the regions for channels")
def project(features, mask, fc, mlp):
    return torch.where(mask[..., None], fc(features) + mlp(features), 0)


@attempt("01d", "the mask is turned round: only padding is projected")
def project(features, mask, fc, mlp):
    real = fc(features[~mask]) + mlp(features[~mask])
    out = real.new_zeros(*mask.shape, real.shape[-1])
    out[~mask] = real
    return out


@attempt("01d", "real rows are packed to the front, holes close up")
def project(features, mask, fc, mlp):
    real = fc(features[mask]) + mlp(features[mask])
    parts = real.split(mask.sum(1).tolist())
    return torch.stack([F.pad(part, (0, 0, 0, mask.shape[1] - len(part))) for part in parts])


@attempt("01d", "runs the MLP twice: BatchNorm's running statistics move twice", arguable=True)
def project(features, mask, fc, mlp):
    width = mlp(features[mask]).shape[-1]
    out = features.new_zeros(*mask.shape, width)
    out[mask] = fc(features[mask]) + mlp(features[mask])
    return out


def agreement(nearest, kinds):
    """Share of regions whose nearest one has the same kind."""
    return sum(kinds[i] == kinds[j] for i, j in enumerate(nearest)) / len(kinds)


@attempt("01e", "each region finds itself")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    return agreement((unit @ unit.T).argmax(1).tolist(), kinds)


@attempt("01e", "inner products, not cosines: the longest vector wins")
def neighbor_agreement(features, kinds):
    products = features @ features.T
    return agreement(products.fill_diagonal_(-torch.inf).argmax(1).tolist(), kinds)


@attempt("01e", "the smallest distance, not the largest cosine")
def neighbor_agreement(features, kinds):
    distances = (features[:, None] - features[None]).norm(dim=-1)
    return agreement(distances.fill_diagonal_(torch.inf).argmin(1).tolist(), kinds)


@attempt("01e", "the least similar region")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    return agreement((unit @ unit.T).argmin(1).tolist(), kinds)


@attempt("01e", "per cent, not a share")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    return 100 * agreement((unit @ unit.T).fill_diagonal_(-torch.inf).argmax(1).tolist(), kinds)


@attempt("01e", "the number of regions, not the share")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    return len(kinds) * agreement((unit @ unit.T).fill_diagonal_(-torch.inf).argmax(1).tolist(), kinds)


@attempt("01e", "0 on the diagonal: a region finds itself if all others point away")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    return agreement((unit @ unit.T).fill_diagonal_(0).argmax(1).tolist(), kinds)


@attempt("01e", "the second of the two best: an equal region in front leaves the region itself")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features.double(), dim=1)
    order = (unit @ unit.T).round(decimals=9).sort(dim=1, descending=True, stable=True).indices
    return agreement(order[:, 1].tolist(), kinds)


@attempt("01e", "indexes a list of names with a tensor")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-torch.inf).argmax(1)
    return (kinds[nearest] == kinds).float().mean().item()


@attempt("01e", "makes the columns one long, not the rows")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=0)
    return agreement((unit @ unit.T).fill_diagonal_(-torch.inf).argmax(1).tolist(), kinds)


@attempt("01e", "looks only at regions that come later")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    later = torch.ones(len(kinds), len(kinds), dtype=torch.bool).triu(1)
    nearest = (unit @ unit.T).masked_fill(~later, -torch.inf).argmax(1).tolist()
    return agreement(nearest, kinds)


@attempt("01e", "the size of the cosine without its sign")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    return agreement((unit @ unit.T).abs().fill_diagonal_(-1).argmax(1).tolist(), kinds)


@attempt("01e", "the mean over kinds, not over regions")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-torch.inf).argmax(1).tolist()
    right = {kind: [] for kind in kinds}
    for i, j in enumerate(nearest):
        right[kinds[i]].append(kinds[j] == kinds[i])
    return sum(sum(each) / len(each) for each in right.values()) / len(right)


@attempt("01e", "any of the three most similar ones may have the kind")
def neighbor_agreement(features, kinds):
    unit = F.normalize(features, dim=1)
    best = (unit @ unit.T).fill_diagonal_(-torch.inf).topk(min(3, len(kinds) - 1), dim=1).indices.tolist()
    return sum(any(kinds[j] == kinds[i] for j in row) for i, row in enumerate(best)) / len(kinds)


@attempt("01e", "makes the rows of its argument one long in place", arguable=True)
def neighbor_agreement(features, kinds):
    features /= features.norm(dim=1, keepdim=True)
    return agreement((features @ features.T).fill_diagonal_(-torch.inf).argmax(1).tolist(), kinds)
