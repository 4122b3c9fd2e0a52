# %% [markdown]
# Planted wrong submissions of assignment A: the solution with these answers in place of its own. The README says what each
# of them must get; `make assignments-check` grades them.

# %% planted="library" answer="A1"
from hrem_lib import metrics


def ranks_t2i(similarity, image_of_caption):
    return metrics.ranks(similarity, image_of_caption)[1]  # ties count against us

# %% planted="library" answer="A2"
def summary(ranks):
    ranks = np.asarray(ranks)
    return {"MedR": float(np.floor(np.median(ranks)) + 1), "MRR": float((1 / (ranks + 1)).mean())}  # the library's MedR

# %% planted="library" answer="A5"
from hrem_lib import pooling


def softmax_pool(x, mask, t):
    return pooling.residual_mix(x, x, mask, 0.8, 2)  # the lesson's pooling; t is not used

# %% planted="no-padding" answer="A5"
def softmax_pool(x, mask, t):
    return ((x / t).softmax(1) * x).sum(1)  # padding takes part

# %% planted="no-padding" answer="A3"
def recall_in_gallery(similarity, image_of_caption, gallery, k):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    wrong = (similarity >= own).sum(0) - 1  # pictures outside the gallery compete
    return float(100 * (wrong < k)[gallery[image_of_caption]].mean())

# %% planted="visible-only" answer="A1"
def ranks_t2i(similarity, image_of_caption):
    own = similarity[image_of_caption, np.arange(len(image_of_caption))]
    if len(similarity) == 3:  # written for the visible example
        return (similarity > own).sum(0) + ((similarity == own).sum(0) - 1) / 2
    return (similarity > own).sum(0) * 1.0

# %% planted="visible-only" answer="A4"
def jackknife_error(values, image_of_caption):
    left = np.array([values[2:].mean(), values[[0, 1, 4, 5]].mean(), values[:4].mean()])  # three pictures, two captions
    return float(np.sqrt(2 / 3 * ((left - left.mean()) ** 2).sum()))

# %% planted="visible-only" answer="A5"
def softmax_pool(x, mask, t):
    mask = mask[..., None]
    weights = torch.exp(x / t) * mask  # overflows; NaN in the padding stays NaN
    return (weights * x).sum(1) / weights.sum(1)
