"""Right answers in other forms than the solutions' (those are run with their notebooks): none may be refused."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from hrem_lib import attention, exercises, text

RIGHT = []


def right(exercise, form):
    """The decorated function is a right answer."""

    def keep(function):
        RIGHT.append((exercise, form, function))
        return function

    return keep


# ---- lesson 00 ------------------------------------------------------------------------------------------------


@right("00a", "loops, a list")
def ranks_as_a_list(similarity, image_of_caption):
    ranks = []
    for i, row in enumerate(similarity.tolist()):
        best = max(s for s, owner in zip(row, image_of_caption, strict=True) if owner == i)
        ranks.append(sum(s >= best for s, owner in zip(row, image_of_caption, strict=True) if owner != i))
    return ranks


@right("00a", "sorted strangers and searchsorted")
def ranks_by_searchsorted(similarity, image_of_caption):
    ranks = []
    for i, row in enumerate(similarity):
        strangers = np.sort(row[image_of_caption != i])
        ranks.append(len(strangers) - np.searchsorted(strangers, row[image_of_caption == i].max(), side="left"))
    return np.array(ranks, dtype=np.int32)


@right("00a", "torch in float64")
def ranks_in_torch(similarity, image_of_caption):
    s, owner = torch.as_tensor(similarity).double(), torch.as_tensor(image_of_caption)
    own = torch.arange(len(s))[:, None] == owner
    best = s.masked_fill(~own, -torch.inf).amax(1, keepdim=True)
    return ((s >= best) & ~own).sum(1)


@right("00b", "own picture above the k-th stranger")
def recall_by_the_kth_stranger(similarity, image_of_caption, k):
    found = []
    for j, i in enumerate(image_of_caption):
        strangers = np.sort(np.delete(similarity[:, j], i))[::-1]
        found.append(k > len(strangers) or similarity[i, j] > strangers[k - 1])
    return 100 * sum(found) / len(found)


@right("00b", "torch, a tensor with one number")
def recall_in_torch(similarity, image_of_caption, k):
    s, owner = torch.as_tensor(similarity), torch.as_tensor(image_of_caption)
    own = s[owner, torch.arange(len(owner))]
    return 100 * ((s >= own).sum(0) <= k).double().mean()


@right("00c", "from the two other exercises")
def report_from_ranks(similarity, image_of_caption):
    ranks = np.array(ranks_as_a_list(similarity, image_of_caption))
    t2i = recall_by_the_kth_stranger(similarity, image_of_caption, 1)
    return {"t2i": t2i, "i2t": float(np.mean(ranks == 0) * 100)}


@right("00d", "a loop")
def folds_by_a_loop(ranks, folds):
    return sum(100 * ((folds - 1) / folds) ** int(rank) for rank in ranks) / len(ranks)


@right("00d", "counts of each rank")
def folds_by_counts(ranks, folds):
    values, counts = np.unique(ranks, return_counts=True)
    return 100 * np.average(np.power(1 - 1 / folds, values), weights=counts)


@right("00e", "a loop with a default for no wrong picture")
def twins_by_a_loop(similarity, fits):
    columns = zip(similarity.T, fits.T, strict=True)
    return 100 * np.mean([s[fit].max() > max(s[~fit], default=-np.inf) for s, fit in columns])


@right("00e", "no wrong picture at or above the best")
def twins_by_counting(similarity, fits):
    best = np.max(similarity, axis=0, where=fits, initial=-np.inf)
    return 100 * float((~((similarity >= best) & ~fits).any(0)).mean())


# ---- lesson 01 ------------------------------------------------------------------------------------------------


@right("01a", "the loops of the lesson, in numpy")
def roi_align_by_loops(maps, boxes, cells, stride):
    values, out = maps.numpy(), np.zeros((len(boxes), len(maps), cells, cells))
    for n, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        for i, j, a, b in np.ndindex(cells, cells, 2, 2):
            y = np.clip((y0 + (y1 - y0) * (i + 0.25 + a / 2) / cells) / stride - 0.5, 0, values.shape[1] - 1)
            x = np.clip((x0 + (x1 - x0) * (j + 0.25 + b / 2) / cells) / stride - 0.5, 0, values.shape[2] - 1)
            top, left = int(y), int(x)
            low, right_ = min(top + 1, values.shape[1] - 1), min(left + 1, values.shape[2] - 1)
            upper = values[:, top, left] * (1 - (x - left)) + values[:, top, right_] * (x - left)
            lower = values[:, low, left] * (1 - (x - left)) + values[:, low, right_] * (x - left)
            out[n, :, i, j] += (upper * (1 - (y - top)) + lower * (y - top)) / 4
    return out


@right("01a", "grid_sample")
def roi_align_by_grid_sample(maps, boxes, cells, stride):
    steps = (torch.arange(2 * cells, dtype=maps.dtype) + 0.5) / (2 * cells)
    x = 2 * (boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * steps) / stride / maps.shape[2] - 1
    y = 2 * (boxes[:, 1:2] + (boxes[:, 3:] - boxes[:, 1:2]) * steps) / stride / maps.shape[1] - 1
    grid = torch.stack([x[:, None].expand(-1, 2 * cells, -1), y[:, :, None].expand(-1, -1, 2 * cells)], -1)
    many = maps.expand(len(boxes), -1, -1, -1)
    return F.avg_pool2d(F.grid_sample(many, grid, padding_mode="border", align_corners=False), 2)


@right("01b", "two stable sorts, a tuple")
def vocabulary_by_two_sorts(splits, min_count):
    counts = Counter(word for caption in splits["train"] for word in text.split_words(caption))
    by_alphabet = sorted(word for word in counts if counts[word] >= min_count)
    return ("<pad>", "<start>", "<end>", "<unk>", *sorted(by_alphabet, key=counts.get, reverse=True))


@right("01b", "the library's own class")
def vocabulary_of_the_library(splits, min_count):
    return text.Vocabulary.build(splits["train"], min_count).words


@right("01c", "pad_sequence, a list of two")
def collate_by_pad_sequence(captions, limit):
    cut = [torch.tensor(row if len(row) <= limit else row[: limit - 1] + row[-1:]) for row in captions]
    mask = pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in cut], batch_first=True)
    return [pad_sequence(cut, batch_first=True), mask]


@right("01c", "mask from ids, as 0 is no word")
def collate_with_mask_from_ids(captions, limit):
    length = min(limit, max(map(len, captions)))
    ids = np.zeros((len(captions), length), dtype=np.int64)
    for row, caption in zip(ids, captions, strict=True):
        row[: len(caption)] = caption if len(caption) <= limit else [*caption[: limit - 1], caption[-1]]
    return torch.from_numpy(ids), torch.from_numpy(ids != 0)


@right("01d", "torch.zeros with the features' type")
def project_into_zeros(features, mask, fc, mlp):
    real = features[mask]
    out = torch.zeros(*mask.shape, fc.out_features, dtype=features.dtype)
    out[mask] = fc(real) + mlp(real)
    return out


@right("01d", "masked_scatter")
def project_by_masked_scatter(features, mask, fc, mlp):
    rows = features.flatten(0, 1)[mask.flatten().nonzero().squeeze(1)]
    real = mlp(rows) + fc(rows)
    return real.new_zeros(*mask.shape, real.shape[1]).masked_scatter(mask[..., None], real)


@right("01e", "numpy, a number of numpy")
def agreement_in_numpy(features, kinds):
    x = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    cosines = x @ x.T - 9 * np.eye(len(x))
    names = np.array(kinds)
    return (names[cosines.argmax(1)] == names).mean()


@right("01e", "cosine_similarity one by one, a tensor")
def agreement_one_by_one(features, kinds):
    same = []
    for i, one in enumerate(features):
        cosines = F.cosine_similarity(one[None], features)
        cosines[i] = -2
        same.append(kinds[i] == kinds[int(cosines.argmax())])
    return torch.tensor(same).float().mean()


# ---- lesson 02 ------------------------------------------------------------------------------------------------


@right("02a", "the specification")
def mean_by_a_loop(x, mask):
    return torch.stack([x[b][mask[b]].mean(0) for b in range(len(x))])


@right("02a", "nanmean")
def mean_by_nanmean(x, mask):
    return x.masked_fill(~mask[..., None], torch.nan).nanmean(1)


@right("02a", "a matrix product with weights")
def mean_by_a_product(x, mask):
    weights = mask.to(x.dtype) / mask.sum(1, keepdim=True)
    return torch.einsum("bn,bnd->bd", weights, x.masked_fill(~mask[..., None], 0))


@right("02b", "the specification")
def max_k_by_a_loop(x, mask, k):
    pooled = []
    for rows, real in zip(x, mask, strict=True):
        pooled.append(rows[real].sort(dim=0, descending=True).values[:k].mean(0))
    return torch.stack(pooled)


@right("02b", "a sort of all, cumulative sums")
def max_k_by_sums(x, mask, k):
    ordered = x.masked_fill(~mask[..., None], -torch.inf).sort(dim=1, descending=True).values
    sums = ordered.masked_fill(ordered == -torch.inf, 0).cumsum(1)
    count = mask.sum(1).clamp(max=k)
    return sums[torch.arange(len(x)), count - 1] / count[:, None]


@right("02c", "drawn from the global generator, a bool of torch")
def padding_matters_in_torch(encode):
    torch.manual_seed(3)
    x, mask = torch.randn(4, 5, 5), torch.arange(5) < torch.tensor([5, 3, 4, 5])[:, None]
    alone = encode(x, mask)
    padded = encode(torch.cat([x, torch.randn(4, 7, 5)], 1), F.pad(mask, (0, 7)))
    mates = encode(torch.cat([torch.randn(2, 5, 5), x]), torch.cat([torch.arange(5).expand(2, 5) < 1, mask]))[2:]
    return ((padded - alone).abs() > 1e-4).any() | ((mates - alone).abs() > 1e-4).any()


@right("02c", "allclose, each picture alone and in the batch")
def padding_matters_by_allclose(encode):
    x = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(4) < torch.tensor([1, 4, 2, 4, 3, 4])[:, None]
    together = encode(x, mask)
    alone = torch.cat([encode(x[i : i + 1, : mask[i].sum()], mask[i : i + 1, : mask[i].sum()]) for i in range(6)])
    return not np.allclose(together, alone, atol=1e-3)


@right("02d", "weight by weight, with names of the arguments")
def layer_weight_by_weight(theirs):
    ours = attention.EncoderLayer(
        dim=theirs.norm1.normalized_shape[0],
        heads=theirs.self_attn.num_heads,
        hidden=theirs.linear2.in_features,
        dropout=theirs.dropout.p,
    )
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(theirs.get_parameter(name))
    ours.train(False)
    return ours


@right("02d", "a deep copy of the weights, theirs in inference, too")
def layer_by_deep_copy(theirs):
    theirs.eval()
    sizes = theirs.linear1.in_features, theirs.self_attn.num_heads, theirs.linear1.out_features
    ours = attention.EncoderLayer(*sizes, 0.0)
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()), strict=True)
    return ours.eval()


@right("02e", "a loop over the samples")
def sorted_pool_by_a_loop(x, mask, logits):
    pooled = []
    for rows, real in zip(x, mask, strict=True):
        ordered = rows[real].sort(dim=0, descending=True).values
        pooled.append(logits[: len(ordered)].softmax(0) @ ordered)
    return torch.stack(pooled)


@right("02e", "topk of all, exponentials")
def sorted_pool_by_exponentials(x, mask, logits):
    ordered = x.masked_fill(~mask[..., None], -torch.inf).topk(x.shape[1], dim=1).values
    places = torch.arange(x.shape[1]) < mask.sum(1, keepdim=True)
    weights = (logits - logits.max()).exp() * places
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("bn,bnd->bd", weights, ordered.masked_fill(~places[..., None], 0))


@pytest.mark.parametrize(("exercise", "form", "answer"), RIGHT, ids=[f"{e} {form}" for e, form, _ in RIGHT])
def test_another_form_is_right(exercise, form, answer):
    kind, sentence = exercises.judge(exercise, answer)
    assert kind == "right", sentence
