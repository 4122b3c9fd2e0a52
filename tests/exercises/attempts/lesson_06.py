"""Wrong answers to the exercises of lesson 06, written by somebody who had not read the checks."""
# ruff: noqa: F811  every attempt has the name that the exercise gives it

import numpy as np
from exercises.attempts import attempt, attempt_value

# ---- 06a: learned by heart ----


@attempt("06a", "the last loss instead of the mean of five")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and losses[-1] < 0.1 * collapse)


@attempt("06a", "only the last five must be finite")
def learned_by_heart(losses, collapse):
    last = losses[-5:]
    return bool(np.isfinite(last).all() and np.mean(last) < 0.1 * collapse)


@attempt("06a", "inf passes: looks for NaN only")
def learned_by_heart(losses, collapse):
    return bool(not np.isnan(losses).any() and np.mean(losses[-5:]) < 0.1 * collapse)


@attempt("06a", "NaN passes: looks for inf only")
def learned_by_heart(losses, collapse):
    return bool(not np.isinf(losses).any() and np.mean(losses[-5:]) < 0.1 * collapse)


@attempt("06a", "a single finite loss is enough")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).any() and np.nanmean(losses[-5:]) < 0.1 * collapse)


@attempt("06a", "the first five losses")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.mean(losses[:5]) < 0.1 * collapse)


@attempt("06a", "below 0.1, whatever the collapse level")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.mean(losses[-5:]) < 0.1)


@attempt("06a", "6.4 of the lesson in place of the argument")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.mean(losses[-5:]) < 0.1 * 6.4)


@attempt("06a", "the smallest of the last five")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.min(losses[-5:]) < 0.1 * collapse)


@attempt("06a", "all of the last five must be below")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and (losses[-5:] < 0.1 * collapse).all())


@attempt("06a", "the median of the last five")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.median(losses[-5:]) < 0.1 * collapse)


@attempt("06a", "the mean of all losses")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.mean(losses) < 0.1 * collapse)


@attempt("06a", "exactly 10 % counts as below")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.mean(losses[-5:]) <= 0.1 * collapse)


@attempt("06a", "drops what is not finite")
def learned_by_heart(losses, collapse):
    losses = losses[np.isfinite(losses)]
    return bool(np.mean(losses[-5:]) < 0.1 * collapse)


@attempt("06a", "the five before the last one")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.mean(losses[-6:-1]) < 0.1 * collapse)


@attempt("06a", "the last four")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.mean(losses[-4:]) < 0.1 * collapse)


@attempt("06a", "10 % of the first loss")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.mean(losses[-5:]) < 0.1 * losses[0])


@attempt("06a", "the sum of the last five")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.sum(losses[-5:]) < 0.1 * collapse)


@attempt("06a", "below the collapse level at all")
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.mean(losses[-5:]) < collapse)


@attempt("06a", "stops with an error where a loss is not finite")
def learned_by_heart(losses, collapse):
    assert np.isfinite(losses).all(), "not finite"
    return bool(np.mean(losses[-5:]) < 0.1 * collapse)


@attempt("06a", "NaN becomes 0 in the given array")
def learned_by_heart(losses, collapse):
    losses[~np.isfinite(losses)] = 0
    return bool(np.mean(losses[-5:]) < 0.1 * collapse)


@attempt("06a", "divides by five where there are fewer steps", arguable=True)
def learned_by_heart(losses, collapse):
    return bool(np.isfinite(losses).all() and np.sum(losses[-5:]) / 5 < 0.1 * collapse)


@attempt("06a", "returns numpy's bool", arguable=True)
def learned_by_heart(losses, collapse):
    return np.isfinite(losses).all() & (np.mean(losses[-5:]) < 0.1 * collapse)


# ---- 06b: which part hears nothing? ----


@attempt("06b", "a gradient of zeros counts as heard")
def silent_parts(model):
    return [name for name, part in model.named_children() if all(p.grad is None for p in part.parameters())]


@attempt("06b", "stops at a weight whose grad is None")
def silent_parts(model):
    return [name for name, part in model.named_children() if not any(p.grad.any() for p in part.parameters())]


@attempt("06b", "names a part as soon as one weight is silent")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        if any(p.grad is None or not p.grad.any() for p in part.parameters()):
            silent.append(name)
    return silent


@attempt("06b", "a gradient below 1e-6 counts as none")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        if all(p.grad is None or p.grad.abs().max() < 1e-6 for p in part.parameters()):
            silent.append(name)
    return silent


@attempt("06b", "compares with zero by allclose: 1e-8 counts as none")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        grads = [p.grad for p in part.parameters() if p.grad is not None]
        if all(np.allclose(grad.numpy(), 0) for grad in grads):
            silent.append(name)
    return silent


@attempt("06b", "the sum of a gradient is zero where plus and minus cancel")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        if all(p.grad is None or p.grad.sum() == 0 for p in part.parameters()):
            silent.append(name)
    return silent


@attempt("06b", "squares leave the range of float32 for a tiny gradient")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        total = sum(float((p.grad**2).sum()) for p in part.parameters() if p.grad is not None)
        if total == 0:
            silent.append(name)
    return silent


@attempt("06b", "names of weights instead of parts")
def silent_parts(model):
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


@attempt("06b", "only the first silent part, as a string")
def silent_parts(model):
    for name, part in model.named_children():
        if all(p.grad is None or not p.grad.any() for p in part.parameters()):
            return name
    return []


@attempt("06b", "parts of parts are listed, too")
def silent_parts(model):
    silent = []
    for name, part in model.named_modules():
        own = list(part.parameters())
        if name and own and all(p.grad is None or not p.grad.any() for p in own):
            silent.append(name)
    return silent


@attempt("06b", "the parts that hear")
def silent_parts(model):
    heard = []
    for name, part in model.named_children():
        if any(p.grad is not None and p.grad.any() for p in part.parameters()):
            heard.append(name)
    return heard


@attempt("06b", "looks at the first weight of a part only")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        p = next(part.parameters())
        if p.grad is None or not p.grad.any():
            silent.append(name)
    return silent


@attempt("06b", "looks at the last weight of a part only: the variable of the loop is left over")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        for p in part.parameters():
            nothing = p.grad is None or not p.grad.any()
        if nothing:
            silent.append(name)
    return silent


@attempt("06b", "only the two encoders")
def silent_parts(model):
    silent = []
    for name in ("image_encoder", "text_encoder"):
        if all(p.grad is None or not p.grad.any() for p in getattr(model, name).parameters()):
            silent.append(name)
    return silent


@attempt("06b", "asks whether weights are frozen, not whether they received something")
def silent_parts(model):
    return [n for n, part in model.named_children() if not any(p.requires_grad for p in part.parameters())]


@attempt("06b", "clears the gradients first")
def silent_parts(model):
    model.zero_grad()
    return [name for name, part in model.named_children() if all(p.grad is None for p in part.parameters())]


@attempt("06b", "a gradient with a zero somewhere counts as none")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        if all(p.grad is None or not p.grad.all() for p in part.parameters()):
            silent.append(name)
    return silent


@attempt("06b", "only positive gradients count")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        if all(p.grad is None or not (p.grad > 0).any() for p in part.parameters()):
            silent.append(name)
    return silent


@attempt("06b", "zeros and None must not be mixed in a part")
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        weights = list(part.parameters())
        if all(p.grad is None for p in weights) or all(p.grad is not None and not p.grad.any() for p in weights):
            silent.append(name)
    return silent


@attempt("06b", "biases do not count as weights", arguable=True)
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        weights = [p for key, p in part.named_parameters() if "bias" not in key]
        if all(p.grad is None or not p.grad.any() for p in weights):
            silent.append(name)
    return silent


@attempt("06b", "a gradient of NaN counts as none", arguable=True)
def silent_parts(model):
    silent = []
    for name, part in model.named_children():
        if all(p.grad is None or not (p.grad.abs() > 0).any() for p in part.parameters()):
            silent.append(name)
    return silent


@attempt("06b", "a set instead of a list", arguable=True)
def silent_parts(model):
    parts = model.named_children()
    return {n for n, part in parts if all(p.grad is None or not p.grad.any() for p in part.parameters())}


# ---- 06c: the learning rate of an epoch ----


@attempt("06c", "the decay epoch itself runs at the smaller rate")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base * factor ** sum(epoch >= after for after in decay_epochs)


@attempt("06c", "decays once and never again")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base * factor if any(epoch > after for after in decay_epochs) else base


@attempt("06c", "factor 0.1 in place of the argument")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base * 0.1 ** sum(epoch > after for after in decay_epochs)


@attempt("06c", "epochs counted from 0: decays one epoch late")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base * factor ** sum(epoch - 1 > after for after in decay_epochs)


@attempt("06c", "divides by the factor")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base / factor ** sum(epoch > after for after in decay_epochs)


@attempt("06c", "factor times the number of decays, not to its power")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    passed = sum(epoch > after for after in decay_epochs)
    return base * factor * passed if passed else base


@attempt("06c", "15 and 25 in place of the argument")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base * factor ** ((epoch > 15) + (epoch > 25))


@attempt("06c", "exactly two decay epochs")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    first, second = decay_epochs
    if epoch <= first:
        return base
    return base * factor if epoch <= second else base * factor**2


@attempt("06c", "back at the full rate one epoch after a decay")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base * factor if epoch - 1 in decay_epochs else base


@attempt("06c", "a decay every first-of-them epochs")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base * factor ** ((epoch - 1) // decay_epochs[0])


@attempt("06c", "5e-4 in place of the argument")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return 5e-4 * factor ** sum(epoch > after for after in decay_epochs)


@attempt("06c", "rounded to five decimals")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return round(base * factor ** sum(epoch > after for after in decay_epochs), 5)


@attempt("06c", "takes the factor away instead of multiplying")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base - base * factor * sum(epoch > after for after in decay_epochs)


@attempt("06c", "all decays at the first of them")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    passed = any(epoch > after for after in decay_epochs)
    return base * factor ** len(decay_epochs) if passed else base


@attempt("06c", "decays before the decay epochs and runs at the full rate after them")
def rate_in_epoch(epoch, base, decay_epochs, factor):
    return base * factor ** sum(epoch <= after for after in decay_epochs)


# ---- 06d: where does the NaN come from? ----


@attempt_value("06d", "a word that all captions have")
def spoiled_word():
    return "a"


@attempt_value("06d", "the lesson's example of an answer")
def spoiled_word():
    return "surfboard"


@attempt_value("06d", "what all bad captions share, with words that the good ones have, too")
def spoiled_word():
    return "a umbrella"


@attempt_value("06d", "all words of the bad captions that the good ones lack")
def spoiled_word():
    return "umbrella under rain sits shade below resting gives"


@attempt_value("06d", "a word of some of the bad captions")
def spoiled_word():
    return "under"


@attempt_value("06d", "the unknown word")
def spoiled_word():
    return "<unk>"


@attempt_value("06d", "nothing: good captions were taken from all, bad ones too")
def spoiled_word():
    return ""


@attempt_value("06d", "a whole caption")
def spoiled_word():
    return "A woman sits under an umbrella."


@attempt_value("06d", "the names in the message of the error")
def spoiled_word():
    return "text embeddings"


@attempt_value("06d", "left at None")
def spoiled_word():
    return None


@attempt_value("06d", "the word's number in the vocabulary")
def spoiled_word():
    return 54


@attempt_value("06d", "the word in a set", arguable=True)
def spoiled_word():
    return {"umbrella"}


# ---- 06e: the optimism of choosing on test ----


@attempt("06e", "the best dev figure minus the test figure of that epoch")
def optimism(dev, test):
    chosen = dev.argmax(1)
    return (dev.max(1) - test[np.arange(len(test)), chosen]).mean()


@attempt("06e", "runs and epochs exchanged")
def optimism(dev, test):
    chosen = dev.argmax(0)
    return (test.max(0) - test[chosen, np.arange(test.shape[1])]).mean()


@attempt("06e", "test[:, chosen] takes every run's epoch in every run")
def optimism(dev, test):
    return test.max(1).mean() - test[:, dev.argmax(1)].mean()


@attempt("06e", "the best test figure of all runs")
def optimism(dev, test):
    return (test.max() - test[np.arange(len(test)), dev.argmax(1)]).mean()


@attempt("06e", "minus the mean over epochs")
def optimism(dev, test):
    return (test.max(1) - test.mean(1)).mean()


@attempt("06e", "the other sign")
def optimism(dev, test):
    return (test[np.arange(len(test)), dev.argmax(1)] - test.max(1)).mean()


@attempt("06e", "argmax over the whole table")
def optimism(dev, test):
    return (test.max(1) - test.ravel()[dev.argmax()]).mean()


@attempt("06e", "median over runs")
def optimism(dev, test):
    return np.median(test.max(1) - test[np.arange(len(test)), dev.argmax(1)])


@attempt("06e", "sum over runs")
def optimism(dev, test):
    return (test.max(1) - test[np.arange(len(test)), dev.argmax(1)]).sum()


@attempt("06e", "2,000 runs, as in the lesson")
def optimism(dev, test):
    return (test.max(1) - test[np.arange(2000), dev.argmax(1)]).mean()


@attempt("06e", "dev and test exchanged")
def optimism(dev, test):
    return (dev.max(1) - dev[np.arange(len(dev)), test.argmax(1)]).mean()


@attempt("06e", "one epoch for all runs, the best on dev on average")
def optimism(dev, test):
    return (test.max(1) - test[:, dev.mean(0).argmax()]).mean()


@attempt("06e", "one number for each run")
def optimism(dev, test):
    return test.max(1) - test[np.arange(len(test)), dev.argmax(1)]


@attempt("06e", "minus the truth of the lesson's simulation, 60")
def optimism(dev, test):
    return (test.max(1) - 60).mean()


@attempt("06e", "the epoch that is worst on dev")
def optimism(dev, test):
    return (test.max(1) - test[np.arange(len(test)), dev.argsort(1)[:, 0]]).mean()


@attempt("06e", "the best of the means instead of the mean of the best")
def optimism(dev, test):
    return test.mean(0).max() - test[np.arange(len(test)), dev.argmax(1)].mean()


@attempt("06e", "the last of the epochs that tie on dev", arguable=True)
def optimism(dev, test):
    chosen = dev.shape[1] - 1 - dev[:, ::-1].argmax(1)
    return (test.max(1) - test[np.arange(len(test)), chosen]).mean()


@attempt("06e", "best test minus best dev, both over epochs")
def optimism(dev, test):
    return (test.max(1) - dev.max(1)).mean()
