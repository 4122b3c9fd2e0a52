"""Wrong answers to the exercises of lesson 02, written by somebody who had not read the checks."""

# ruff: noqa: F811

import torch
from exercises.attempts import attempt
from torch.nn import functional as F

from hrem_lib import attention


@attempt("02a", "multiplies by the mask: NaN in the padding stays NaN")
def masked_mean(x, mask):
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


@attempt("02a", "the mean of all rows, padding included")
def masked_mean(x, mask):
    return x.mean(1)


@attempt("02a", "padding zeroed, but divided by n")
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).mean(1)


@attempt("02a", "takes the mask as a prefix: wrong with holes")
def masked_mean(x, mask):
    count = mask.sum(1, keepdim=True)
    real = torch.arange(x.shape[1]) < count
    return torch.where(real[..., None], x, 0).sum(1) / count


@attempt("02a", "works only if all samples have the same number of fragments")
def masked_mean(x, mask):
    return x[mask].view(len(x), -1, x.shape[-1]).mean(1)


@attempt("02a", "the sum, not the mean")
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).sum(1)


@attempt("02a", "divides every sample by the number of fragments in the batch")
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).sum(1) / mask.sum()


@attempt("02a", "divides every sample by the longest one's number of fragments")
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).sum(1) / mask.sum(1).max()


@attempt("02a", "squeeze() loses a batch of one")
def masked_mean(x, mask):
    weights = mask / mask.sum(1, keepdim=True)
    return (weights[:, None].to(x.dtype) @ torch.where(mask[..., None], x, 0)).squeeze()


@attempt("02a", "the mean over D, not over the fragments")
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).mean(2)


@attempt("02a", "the count has no axis of its own: an error, or with B = D samples divided by each other's counts")
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).sum(1) / mask.sum(1)


@attempt("02a", "one is added to the count against a division by zero")
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).sum(1) / (mask.sum(1, keepdim=True) + 1)


@attempt("02a", "averages the values that are not zero: a real 0 is not counted")
def masked_mean(x, mask):
    real = torch.where(mask[..., None], x, 0)
    return real.sum(1) / (real != 0).sum(1).clamp(min=1)


@attempt("02a", "writes zeros into the padding of its argument", arguable=True)
def masked_mean(x, mask):
    x[~mask] = 0
    return x.sum(1) / mask.sum(1, keepdim=True)


@attempt("02a", "nan_to_num hides NaN of real fragments, too", arguable=True)
def masked_mean(x, mask):
    return (torch.nan_to_num(x) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


@attempt("02a", "goes through numpy: the gradient is lost", arguable=True)
def masked_mean(x, mask):
    real = torch.where(mask[..., None], x, 0).detach().numpy()
    return torch.from_numpy(real.sum(1) / mask.sum(1, keepdim=True).numpy().astype(real.dtype))


def largest_of(x, mask, k, hidden=-torch.inf):
    """The k largest of each dimension [B,k,D] and which of them are real [B,k]."""
    k = min(k, x.shape[1])
    top = x.masked_fill(~mask[..., None], hidden).topk(k, dim=1).values
    return top, torch.arange(k) < mask.sum(1, keepdim=True)


def mean_of(top, real):
    """Mean of the real ones: [B,k,D], [B,k] -> [B,D]."""
    return torch.where(real[..., None], top, 0).sum(1) / real.sum(1, keepdim=True)


@attempt("02b", "hides padding with -10000: in half precision smaller values exist")
def masked_max_k(x, mask, k):
    return mean_of(*largest_of(x, mask, k, hidden=-10000))


@attempt("02b", "hides padding with 0: negative values lose against it")
def masked_max_k(x, mask, k):
    return mean_of(*largest_of(x, mask, k, hidden=0))


@attempt("02b", "crashes where k is larger than n")
def masked_max_k(x, mask, k):
    top = x.masked_fill(~mask[..., None], -torch.inf).topk(k, dim=1).values
    return mean_of(top, torch.arange(k) < mask.sum(1, keepdim=True))


@attempt("02b", "divides by k where a sample has fewer fragments")
def masked_max_k(x, mask, k):
    top, real = largest_of(x, mask, k)
    return torch.where(real[..., None], top, 0).sum(1) / k


@attempt("02b", "the shortest sample of the batch sets k for all")
def masked_max_k(x, mask, k):
    return mean_of(*largest_of(x, mask, min(k, int(mask.sum(1).min()))))


@attempt("02b", "the released code's fault: a short sample lowers k for all that follow it")
def masked_max_k(x, mask, k):
    pooled = []
    for rows, real in zip(x, mask, strict=True):
        k = min(k, int(real.sum()))
        pooled.append(rows[real].topk(k, dim=0).values.mean(0))
    return torch.stack(pooled)


@attempt("02b", "-inf for a sample with fewer than k fragments")
def masked_max_k(x, mask, k):
    return largest_of(x, mask, k)[0].mean(1)


@attempt("02b", "NaN for a sample with fewer than k fragments: 0 times -inf")
def masked_max_k(x, mask, k):
    top, real = largest_of(x, mask, k)
    return (top * real[..., None]).sum(1) / real.sum(1, keepdim=True)


@attempt("02b", "adds (1 - mask) times -inf: NaN everywhere")
def masked_max_k(x, mask, k):
    hidden = x + (1 - mask[..., None].to(x.dtype)) * -torch.inf
    k = min(k, x.shape[1])
    return mean_of(hidden.topk(k, dim=1).values, torch.arange(k) < mask.sum(1, keepdim=True))


@attempt("02b", "the k longest fragments as a whole, not the k largest values of each dimension")
def masked_max_k(x, mask, k):
    k = min(k, x.shape[1])
    norms, index = x.norm(dim=2).masked_fill(~mask, -torch.inf).topk(k, dim=1)
    rows = x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
    return mean_of(rows, norms > -torch.inf)


@attempt("02b", "the maximum, whatever k is")
def masked_max_k(x, mask, k):
    return x.masked_fill(~mask[..., None], -torch.inf).amax(1)


@attempt("02b", "the k smallest: sorted the wrong way")
def masked_max_k(x, mask, k):
    ordered = x.masked_fill(~mask[..., None], torch.inf).sort(dim=1).values[:, :k]
    return mean_of(ordered, torch.arange(ordered.shape[1]) < mask.sum(1, keepdim=True))


@attempt("02b", "the k-th largest value, not the mean of the k largest")
def masked_max_k(x, mask, k):
    top, real = largest_of(x, mask, k)
    last = real.sum(1) - 1
    return top[torch.arange(len(x)), last]


@attempt("02b", "takes the mask as a prefix: wrong with holes")
def masked_max_k(x, mask, k):
    prefix = torch.arange(x.shape[1]) < mask.sum(1, keepdim=True)
    return mean_of(*largest_of(x, prefix, k))


@attempt("02b", "a real 0 among the largest is not counted")
def masked_max_k(x, mask, k):
    top = largest_of(x, mask, k)[0]
    top = torch.where(top == -torch.inf, 0, top)
    return top.sum(1) / (top != 0).sum(1).clamp(min=1)


@attempt("02b", "looks for the largest along D")
def masked_max_k(x, mask, k):
    return x.masked_fill(~mask[..., None], -torch.inf).topk(min(k, x.shape[2]), dim=2).values.mean(2)


@attempt("02b", "k = 2, whatever the argument says")
def masked_max_k(x, mask, k):
    return mean_of(*largest_of(x, mask, 2))


@attempt("02b", "padding is not hidden at all")
def masked_max_k(x, mask, k):
    return x.topk(min(k, x.shape[1]), dim=1).values.mean(1)


@attempt("02b", "squeeze() loses a batch of one")
def masked_max_k(x, mask, k):
    return mean_of(*largest_of(x, mask, k)).squeeze()


@attempt("02b", "writes -inf into the padding of its argument", arguable=True)
def masked_max_k(x, mask, k):
    x[~mask] = -torch.inf
    return mean_of(*largest_of(x, mask, k))


@attempt("02b", "the result is float32 whatever comes in", arguable=True)
def masked_max_k(x, mask, k):
    return mean_of(*largest_of(x.float(), mask, k))


@attempt("02b", "the gradient is lost", arguable=True)
def masked_max_k(x, mask, k):
    return mean_of(*largest_of(x.detach(), mask, k))


def sample(count=3):
    """Regions and a mask without padding."""
    x = torch.randn(count, 6, 5, generator=torch.Generator().manual_seed(0))
    return x, torch.ones(count, 6, dtype=torch.bool)


def with_padding(x, mask, rows=4):
    """Rows of padding added to each sample."""
    return F.pad(x, (0, 0, 0, rows)), F.pad(mask, (0, rows))


def with_mates(x, mask):
    """A sample with a single region in front of the others."""
    short = torch.arange(6)[None] < 1
    return torch.cat([x[:1], x]), torch.cat([short, mask])


def farthest(encode, x, mask):
    """Largest changes by padding and by batch mates."""
    alone = encode(x, mask)
    by_padding = (encode(*with_padding(x, mask)) - alone).abs().max()
    return by_padding, (encode(*with_mates(x, mask))[1:] - alone).abs().max()


@attempt("02c", "tests padding only, no batch mates")
def padding_matters(encode):
    return bool(farthest(encode, *sample())[0] > 1e-4)


@attempt("02c", "tests batch mates only, no padding")
def padding_matters(encode):
    return bool(farthest(encode, *sample())[1] > 1e-4)


@attempt("02c", "both must change, one is not enough")
def padding_matters(encode):
    return all(change > 1e-4 for change in farthest(encode, *sample()))


@attempt("02c", "exactly equal or not: a good encoder that rounds is called faulty")
def padding_matters(encode):
    return any(bool(change > 0) for change in farthest(encode, *sample()))


@attempt("02c", "torch.allclose with its default tolerance, tighter than what a good encoder may round", arguable=True)
def padding_matters(encode):
    x, mask = sample()
    alone = encode(x, mask)
    padded, together = encode(*with_padding(x, mask)), encode(*with_mates(x, mask))[1:]
    return not (torch.allclose(alone, padded) and torch.allclose(alone, together))


@attempt("02c", "compares shapes only: never True")
def padding_matters(encode):
    x, mask = sample()
    return encode(*with_padding(x, mask)).shape != encode(x, mask).shape


@attempt("02c", "always True")
def padding_matters(encode):
    return True


@attempt("02c", "batch mates with as many regions, no short one")
def padding_matters(encode):
    x, mask = sample()
    alone = encode(x, mask)
    padded = encode(*with_padding(x, mask))
    together = encode(torch.cat([x[1:], x]), torch.cat([mask[1:], mask]))[2:]
    return bool(max((padded - alone).abs().max(), (together - alone).abs().max()) > 1e-4)


@attempt("02c", "the short batch mate stands last, where it lowers nobody's k")
def padding_matters(encode):
    x, mask = sample()
    alone = encode(x, mask)
    padded = encode(*with_padding(x, mask))
    together = encode(torch.cat([x, x[:1]]), torch.cat([mask, torch.arange(6)[None] < 1]))[:-1]
    return bool(max((padded - alone).abs().max(), (together - alone).abs().max()) > 1e-4)


@attempt("02c", "a tolerance of 10: nothing is ever larger")
def padding_matters(encode):
    return any(bool(change > 10) for change in farthest(encode, *sample()))


@attempt("02c", "the answer turned round: True for a good encoder")
def padding_matters(encode):
    return all(bool(change < 1e-4) for change in farthest(encode, *sample()))


@attempt("02c", "calls the added rows real: good encoders change as well")
def padding_matters(encode):
    x, mask = sample()
    longer = F.pad(x, (0, 0, 0, 4))
    change = encode(longer, torch.ones(longer.shape[:2], dtype=torch.bool)) - encode(x, mask)
    return bool(change.abs().max() > 1e-4)


@attempt("02c", "no absolute value: a change downward is not seen")
def padding_matters(encode):
    x, mask = sample()
    alone = encode(x, mask)
    padded, together = encode(*with_padding(x, mask)), encode(*with_mates(x, mask))[1:]
    return bool((padded - alone).max() > 1e-4 or (together - alone).max() > 1e-4)


@attempt("02c", "regions of zeros: nothing can change")
def padding_matters(encode):
    _, mask = sample()
    return any(bool(change > 1e-4) for change in farthest(encode, torch.zeros(3, 6, 5), mask))


@attempt("02c", "compares cosines: a change of the length is not seen")
def padding_matters(encode):
    x, mask = sample()
    alone = encode(x, mask)
    others = encode(*with_padding(x, mask)), encode(*with_mates(x, mask))[1:]
    return any(bool((F.cosine_similarity(alone, other) < 0.9999).any()) for other in others)


@attempt("02c", "compares the mean of all values: changes up and down cancel")
def padding_matters(encode):
    x, mask = sample()
    alone = encode(x, mask)
    others = encode(*with_padding(x, mask)), encode(*with_mates(x, mask))[1:]
    return any(abs(float(other.mean() - alone.mean())) > 1e-2 for other in others)


@attempt("02c", "gives a single sample without the batch axis")
def padding_matters(encode):
    x, mask = sample()
    alone = encode(x[0], mask[0])
    return bool((encode(F.pad(x[0], (0, 0, 0, 4)), F.pad(mask[0], (0, 4))) - alone).abs().max() > 1e-4)


@attempt("02c", "compares with the batch mate, too: its row is not cut off")
def padding_matters(encode):
    x, mask = sample()
    together = encode(*with_mates(x, mask))[:-1]
    return bool((together - encode(x, mask)).abs().max() > 1e-4)


@attempt("02c", "hides rows of the sample instead of adding padding: good encoders change as well")
def padding_matters(encode):
    x, mask = sample()
    shorter = mask.clone()
    shorter[:, 3:] = False
    return bool((encode(x, shorter) - encode(x, mask)).abs().max() > 1e-4)


@attempt("02c", "asks only whether the result is finite")
def padding_matters(encode):
    return not bool(encode(*with_padding(*sample())).isfinite().all())


@attempt("02c", "returns the difference, not True or False: a little rounding is truthy")
def padding_matters(encode):
    return max(float(change) for change in farthest(encode, *sample()))


@attempt("02c", "draws from the global random state, so that other notebook cells change", arguable=True)
def padding_matters(encode):
    torch.manual_seed(0)
    x = torch.randn(3, 6, 5)
    return any(bool(change > 1e-4) for change in farthest(encode, x, sample()[1]))


def ours_like(theirs, **changes):
    """An EncoderLayer with the sizes of theirs, weights not yet copied."""
    sizes = {"dim": theirs.linear1.in_features, "heads": theirs.self_attn.num_heads}
    return attention.EncoderLayer(**sizes | {"hidden": theirs.linear1.out_features} | changes)


@attempt("02d", "the sizes only: weights stay random")
def copy_layer(theirs):
    return ours_like(theirs).eval()


@attempt("02d", "stays in training mode: dropout changes the numbers")
def copy_layer(theirs):
    ours = ours_like(theirs)
    ours.load_state_dict(theirs.state_dict())
    return ours


@attempt("02d", "puts theirs into inference, not ours")
def copy_layer(theirs):
    ours = ours_like(theirs)
    ours.load_state_dict(theirs.state_dict())
    theirs.eval()
    return ours


@attempt("02d", "a single head: all weights fit, the numbers do not")
def copy_layer(theirs):
    ours = ours_like(theirs, heads=1)
    ours.load_state_dict(theirs.state_dict())
    return ours.eval()


@attempt("02d", "eight heads, as in the trained model")
def copy_layer(theirs):
    ours = ours_like(theirs, heads=8)
    ours.load_state_dict(theirs.state_dict())
    return ours.eval()


@attempt("02d", "a feed-forward part of width D: fails for another width")
def copy_layer(theirs):
    ours = ours_like(theirs, hidden=theirs.linear1.in_features)
    ours.load_state_dict(theirs.state_dict())
    return ours.eval()


@attempt("02d", "heads and hidden exchanged")
def copy_layer(theirs):
    sizes = theirs.linear1.in_features, theirs.linear1.out_features, theirs.self_attn.num_heads
    ours = attention.EncoderLayer(*sizes)
    ours.load_state_dict(theirs.state_dict())
    return ours.eval()


@attempt("02d", "gives theirs back")
def copy_layer(theirs):
    return theirs.eval()


@attempt("02d", "copies the attention only")
def copy_layer(theirs):
    ours = ours_like(theirs)
    ours.self_attn.load_state_dict(theirs.self_attn.state_dict())
    return ours.eval()


@attempt("02d", "forgets the weights of the two norms")
def copy_layer(theirs):
    ours = ours_like(theirs)
    state = {name: value for name, value in theirs.state_dict().items() if "norm" not in name}
    ours.load_state_dict(state, strict=False)
    return ours.eval()


@attempt("02d", "forgets the biases")
def copy_layer(theirs):
    ours = ours_like(theirs)
    state = {name: value for name, value in theirs.state_dict().items() if not name.endswith("bias")}
    ours.load_state_dict(state, strict=False)
    return ours.eval()


@attempt("02d", "renamed keys with strict=False: nothing is loaded")
def copy_layer(theirs):
    ours = ours_like(theirs)
    ours.load_state_dict({f"layer.{name}": value for name, value in theirs.state_dict().items()}, strict=False)
    return ours.eval()


@attempt("02d", "exchanges the two norms")
def copy_layer(theirs):
    ours = ours_like(theirs)
    state = theirs.state_dict()
    for part in ("weight", "bias"):
        state[f"norm1.{part}"], state[f"norm2.{part}"] = state[f"norm2.{part}"], state[f"norm1.{part}"]
    ours.load_state_dict(state)
    return ours.eval()


@attempt("02d", "queries and values exchanged")
def copy_layer(theirs):
    ours, state = ours_like(theirs), theirs.state_dict()
    for name in ("self_attn.in_proj_weight", "self_attn.in_proj_bias"):
        q, k, v = state[name].chunk(3)
        state[name] = torch.cat([v, k, q])
    ours.load_state_dict(state)
    return ours.eval()


@attempt("02d", "the output matrix of the attention transposed")
def copy_layer(theirs):
    ours, state = ours_like(theirs), theirs.state_dict()
    state["self_attn.out_proj.weight"] = state["self_attn.out_proj.weight"].T
    ours.load_state_dict(state)
    return ours.eval()


@attempt("02d", "half precision on the way: off by more than 0.00001")
def copy_layer(theirs):
    ours = ours_like(theirs)
    ours.load_state_dict({name: value.half() for name, value in theirs.state_dict().items()})
    return ours.eval()


@attempt("02d", "the parts of theirs, shared and not copied", arguable=True)
def copy_layer(theirs):
    ours = ours_like(theirs)
    ours.self_attn.load_state_dict(theirs.self_attn.state_dict())
    for name in ("linear1", "linear2", "norm1", "norm2"):
        setattr(ours, name, getattr(theirs, name))
    return ours.eval()


@attempt("02d", "dropout 0, but left in training mode", arguable=True)
def copy_layer(theirs):
    ours = ours_like(theirs, dropout=0.0)
    ours.load_state_dict(theirs.state_dict())
    return ours


def in_order(x, mask):
    """Each dimension largest first [B,n,D], padding zeroed; which places are real [B,n]."""
    ordered = x.masked_fill(~mask[..., None], -torch.inf).sort(dim=1, descending=True).values
    places = torch.arange(x.shape[1]) < mask.sum(1, keepdim=True)
    return torch.where(places[..., None], ordered, 0), places


def weights_of(logits, places):
    """Softmax of the first logits of each sample [B,n]."""
    return logits.expand_as(places).masked_fill(~places, -torch.inf).softmax(1)


def weighted(weights, ordered):
    """Weighted sum over the places."""
    return (weights[..., None] * ordered).sum(1)


@attempt("02e", "softmax over all n logits: weights of a short sample add up to less than 1")
def sorted_pool(x, mask, logits):
    return weighted(logits.softmax(0).expand_as(mask), in_order(x, mask)[0])


@attempt("02e", "the smallest value first")
def sorted_pool(x, mask, logits):
    ordered = x.masked_fill(~mask[..., None], torch.inf).sort(dim=1).values
    places = in_order(x, mask)[1]
    return weighted(weights_of(logits, places), torch.where(places[..., None], ordered, 0))


@attempt("02e", "the last logits, not the first, for a short sample")
def sorted_pool(x, mask, logits):
    ordered, n = in_order(x, mask)[0], len(logits)
    weights = [F.pad(logits[n - m :].softmax(0), (0, n - m)) for m in mask.sum(1).tolist()]
    return weighted(torch.stack(weights), ordered)


@attempt("02e", "hides padding with 0: it stands before negative values")
def sorted_pool(x, mask, logits):
    ordered = x.masked_fill(~mask[..., None], 0).sort(dim=1, descending=True).values
    places = in_order(x, mask)[1]
    return weighted(weights_of(logits, places), ordered)


@attempt("02e", "NaN for short samples: 0 times -inf")
def sorted_pool(x, mask, logits):
    ordered = x.masked_fill(~mask[..., None], -torch.inf).sort(dim=1, descending=True).values
    return weighted(weights_of(logits, in_order(x, mask)[1]), ordered)


@attempt("02e", "orders whole fragments by their length, not each dimension")
def sorted_pool(x, mask, logits):
    index = x.norm(dim=2).masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True)
    ordered = x.gather(1, index[..., None].expand_as(x))
    places = in_order(x, mask)[1]
    return weighted(weights_of(logits, places), torch.where(places[..., None], ordered, 0))


@attempt("02e", "does not sort: a logit belongs to a fragment, not to a place in the order")
def sorted_pool(x, mask, logits):
    return weighted(weights_of(logits, mask), torch.where(mask[..., None], x, 0))


@attempt("02e", "masks the logits by fragment: with holes in the mask the wrong ones are left")
def sorted_pool(x, mask, logits):
    return weighted(weights_of(logits, mask), in_order(x, mask)[0])


@attempt("02e", "the logits themselves as weights, no softmax")
def sorted_pool(x, mask, logits):
    return weighted(logits.expand_as(mask), in_order(x, mask)[0])


@attempt("02e", "sigmoid, not softmax")
def sorted_pool(x, mask, logits):
    return weighted(logits.sigmoid().expand_as(mask), in_order(x, mask)[0])


@attempt("02e", "the first sample's length for all")
def sorted_pool(x, mask, logits):
    ordered, places = in_order(x, mask)
    return weighted(weights_of(logits, places[:1].expand_as(places)), ordered)


@attempt("02e", "sorts along D, not along the fragments")
def sorted_pool(x, mask, logits):
    places = in_order(x, mask)[1]
    ordered = torch.where(mask[..., None], x, 0).sort(dim=2, descending=True).values
    return weighted(weights_of(logits, places), ordered)


@attempt("02e", "no gradient reaches the logits, which are to be learned")
def sorted_pool(x, mask, logits):
    ordered, places = in_order(x, mask)
    return weighted(weights_of(logits.detach(), places), ordered)


@attempt("02e", "weights divided by m: a mean of weighted values, not a weighted sum")
def sorted_pool(x, mask, logits):
    ordered, places = in_order(x, mask)
    return weighted(weights_of(logits, places), ordered) / mask.sum(1, keepdim=True)


@attempt("02e", "hidden logits become 0, not -inf, before the softmax")
def sorted_pool(x, mask, logits):
    ordered, places = in_order(x, mask)
    return weighted((logits * places).softmax(1), ordered)


@attempt("02e", "the logits sorted as well: the largest value always gets the largest weight")
def sorted_pool(x, mask, logits):
    ordered, places = in_order(x, mask)
    return weighted(weights_of(logits.sort(descending=True).values, places), ordered)


@attempt("02e", "softmax over the batch, not over the places")
def sorted_pool(x, mask, logits):
    ordered, places = in_order(x, mask)
    return weighted(logits.expand_as(places).softmax(0) * places, ordered)
