"""Wrong answers to the exercises of lesson 07, written by somebody who had not read the checks."""
# ruff: noqa: F811  every attempt has the name that the exercise gives it

import numpy as np
from exercises.attempts import attempt

from hrem_lib.plots import retrieval
from hrem_lib.sample_world import catalog

# ---- 07a: the search engine ----

v = np.eye(3)  # stands for the pictures that the lesson's cells have left behind


@attempt("07a", "worst first")
def search(query, stored, k):
    similarity = stored @ query
    best = np.argsort(similarity, kind="stable")[:k]
    return best, similarity[best]


@attempt("07a", "sorted upward and turned around: ties stand by number from the end")
def search(query, stored, k):
    similarity = stored @ query
    best = np.argsort(similarity, kind="stable")[::-1][:k]
    return best, similarity[best]


@attempt("07a", "sort without kind: many ties in any order")
def search(query, stored, k):
    similarity = stored @ query
    best = np.argsort(-similarity)[:k]
    return best, similarity[best]


@attempt("07a", "the k best in any order")
def search(query, stored, k):
    similarity = stored @ query
    best = np.argpartition(similarity, -k)[-k:]
    return best, similarity[best]


@attempt("07a", "fails when all items are asked for")
def search(query, stored, k):
    similarity = stored @ query
    best = np.sort(np.argpartition(-similarity, k)[:k])
    best = best[np.argsort(-similarity[best], kind="stable")]
    return best, similarity[best]


@attempt("07a", "of items that tie at the last place, any may be taken")
def search(query, stored, k):
    similarity = stored @ query
    best = np.sort(np.argpartition(similarity, len(stored) - k)[len(stored) - k :])
    best = best[np.argsort(-similarity[best], kind="stable")]
    return best, similarity[best]


@attempt("07a", "numbers alone")
def search(query, stored, k):
    return np.argsort(-(stored @ query), kind="stable")[:k]


@attempt("07a", "similarities of the first k items, not of the best")
def search(query, stored, k):
    similarity = stored @ query
    return np.argsort(-similarity, kind="stable")[:k], similarity[:k]


@attempt("07a", "similarities before numbers")
def search(query, stored, k):
    similarity = stored @ query
    best = np.argsort(-similarity, kind="stable")[:k]
    return similarity[best], best


@attempt("07a", "distances in place of similarities")
def search(query, stored, k):
    distance = np.linalg.norm(stored - query, axis=1)
    best = np.argsort(distance, kind="stable")[:k]
    return best, distance[best]


@attempt("07a", "similarities with the other sign")
def search(query, stored, k):
    negative = -(stored @ query)
    best = np.argsort(negative, kind="stable")[:k]
    return best, negative[best]


@attempt("07a", "leaves out the best one, as if it were the query itself")
def search(query, stored, k):
    similarity = stored @ query
    best = np.argsort(-similarity, kind="stable")[1 : k + 1]
    return best, similarity[best]


@attempt("07a", "one item too few")
def search(query, stored, k):
    similarity = stored @ query
    best = np.argsort(-similarity, kind="stable")[: k - 1]
    return best, similarity[best]


@attempt("07a", "query @ stored: fails unless there are as many items as dimensions")
def search(query, stored, k):
    similarity = query @ stored
    best = np.argsort(-similarity, kind="stable")[:k]
    return best, similarity[best]


@attempt("07a", "items that tie become one")
def search(query, stored, k):
    similarity = stored @ query
    _, first = np.unique(-similarity, return_index=True)
    return first[:k], similarity[first[:k]]


@attempt("07a", "compares two decimals")
def search(query, stored, k):
    similarity = (stored @ query).round(2)
    best = np.argsort(-similarity, kind="stable")[:k]
    return best, similarity[best]


@attempt("07a", "always five answers")
def search(query, stored, k):
    similarity = stored @ query
    best = np.argsort(-similarity, kind="stable")[:5]
    return best, similarity[best]


@attempt("07a", "searches the lesson's v, not the argument")
def search(query, stored, k):
    similarity = v @ query
    best = np.argsort(-similarity, kind="stable")[:k]
    return best, similarity[best]


@attempt("07a", "the absolute value: opposite items come first")
def search(query, stored, k):
    similarity = np.abs(stored @ query)
    best = np.argsort(-similarity, kind="stable")[:k]
    return best, similarity[best]


@attempt("07a", "negative similarities count as 0 and tie")
def search(query, stored, k):
    similarity = np.maximum(stored @ query, 0)
    best = np.argsort(-similarity, kind="stable")[:k]
    return best, similarity[best]


@attempt("07a", "the k best in order of number")
def search(query, stored, k):
    similarity = stored @ query
    best = np.sort(np.argsort(-similarity, kind="stable")[:k])
    return best, similarity[best]


@attempt("07a", "the places of the items instead of their numbers")
def search(query, stored, k):
    similarity = stored @ query
    place = np.argsort(np.argsort(-similarity, kind="stable"), kind="stable")
    return place[:k], -np.sort(-similarity)[:k]


@attempt("07a", "lists of Python numbers", arguable=True)
def search(query, stored, k):
    similarity = (stored @ query).tolist()
    best = sorted(range(len(similarity)), key=lambda i: -similarity[i])[:k]
    return best, [similarity[i] for i in best]


@attempt("07a", "numbers as floats, which cannot be used as an index", arguable=True)
def search(query, stored, k):
    pairs = sorted(enumerate(stored @ query), key=lambda pair: -pair[1])[:k]
    table = np.array(pairs, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@attempt("07a", "cosine, although the lengths are part of the inner product", arguable=True)
def search(query, stored, k):
    similarity = stored @ query / (np.linalg.norm(stored, axis=1) * np.linalg.norm(query))
    best = np.argsort(-similarity, kind="stable")[:k]
    return best, similarity[best]


@attempt("07a", "float32: near ones tie", arguable=True)
def search(query, stored, k):
    similarity = stored.astype(np.float32) @ query.astype(np.float32)
    best = np.argsort(-similarity, kind="stable")[:k]
    return best, similarity[best]


# ---- 07b: count the hubs ----


def count(lists, items):
    return np.bincount(lists.ravel(), minlength=items)


@attempt("07b", "lists of the columns instead of the rows")
def occurrence(similarity, k):
    lists = np.argsort(-similarity, axis=0, kind="stable")[:k]
    return count(lists, similarity.shape[0])


@attempt("07b", "shorter where the last items are in no list")
def occurrence(similarity, k):
    return np.bincount(np.argsort(-similarity, axis=1, kind="stable")[:, :k].ravel())


@attempt("07b", "items in no list are left out")
def occurrence(similarity, k):
    lists = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.unique(lists, return_counts=True)[1]


@attempt("07b", "the k smallest")
def occurrence(similarity, k):
    return count(np.argsort(similarity, axis=1, kind="stable")[:, :k], similarity.shape[1])


@attempt("07b", "all that tie with the k-th are in the list")
def occurrence(similarity, k):
    least = np.sort(similarity, axis=1)[:, -k]
    return (similarity >= least[:, None]).sum(0)


@attempt("07b", "larger than the k-th: lists of k - 1")
def occurrence(similarity, k):
    least = np.sort(similarity, axis=1)[:, -k]
    return (similarity > least[:, None]).sum(0)


@attempt("07b", "counts[lists] += 1 counts an item once at most")
def occurrence(similarity, k):
    counts = np.zeros(similarity.shape[1], dtype=int)
    counts[np.argsort(-similarity, axis=1, kind="stable")[:, :k]] += 1
    return counts


@attempt("07b", "share of the lists instead of their number")
def occurrence(similarity, k):
    lists = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return count(lists, similarity.shape[1]) / len(similarity)


@attempt("07b", "lists of k + 1")
def occurrence(similarity, k):
    return count(np.argsort(-similarity, axis=1, kind="stable")[:, : k + 1], similarity.shape[1])


@attempt("07b", "leaves out the best of each row")
def occurrence(similarity, k):
    return count(np.argsort(-similarity, axis=1, kind="stable")[:, 1 : k + 1], similarity.shape[1])


@attempt("07b", "fails where k is the number of items")
def occurrence(similarity, k):
    return count(np.argpartition(-similarity, k, axis=1)[:, :k], similarity.shape[1])


@attempt("07b", "the number of queries as the number of items")
def occurrence(similarity, k):
    lists = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return count(lists, len(similarity))


@attempt("07b", "200 items, as in the lesson")
def occurrence(similarity, k):
    return count(np.argsort(-similarity, axis=1, kind="stable")[:, :k], 200)


@attempt("07b", "the largest of the whole table instead of each row's")
def occurrence(similarity, k):
    best = np.argsort(-similarity.ravel(), kind="stable")[: k * len(similarity)]
    return count(best % similarity.shape[1], similarity.shape[1])


@attempt("07b", "takes an order for a rank")
def occurrence(similarity, k):
    return (np.argsort(-similarity, axis=1, kind="stable") < k).sum(0)


@attempt("07b", "a list's items are crossed out with 0, which is larger than a negative similarity")
def occurrence(similarity, k):
    left, counts = similarity.copy(), np.zeros(similarity.shape[1], dtype=int)
    rows = np.arange(len(left))
    for _ in range(k):
        best = left.argmax(1)
        counts += count(best, len(counts))
        left[rows, best] = 0
    return counts


@attempt("07b", "numbers up to 255 only")
def occurrence(similarity, k):
    rank = np.argsort(np.argsort(-similarity, axis=1, kind="stable"), axis=1)
    return (rank < k).sum(0, dtype=np.uint8)


@attempt("07b", "the best of each row alone")
def occurrence(similarity, k):
    return count(similarity.argmax(1), similarity.shape[1])


@attempt("07b", "the sum of the k largest similarities, not their number")
def occurrence(similarity, k):
    rank = np.argsort(np.argsort(-similarity, axis=1, kind="stable"), axis=1)
    return np.where(rank < k, similarity, 0).sum(0)


@attempt("07b", "of items that tie the last ones are taken", arguable=True)
def occurrence(similarity, k):
    return count(np.argsort(similarity, axis=1, kind="stable")[:, ::-1][:, :k], similarity.shape[1])


@attempt("07b", "crosses out with -inf in the given table", arguable=True)
def occurrence(similarity, k):
    counts, rows = np.zeros(similarity.shape[1], dtype=int), np.arange(len(similarity))
    for _ in range(k):
        best = similarity.argmax(1)
        counts += count(best, len(counts))
        similarity[rows, best] = -np.inf
    return counts


@attempt("07b", "floats instead of whole numbers", arguable=True)
def occurrence(similarity, k):
    rank = np.argsort(np.argsort(-similarity, axis=1, kind="stable"), axis=1)
    return (rank < k).astype(float).sum(0)


# ---- 07c: close the gap ----


def unit(emb):
    return emb / np.linalg.norm(emb, axis=1, keepdims=True)


@attempt("07c", "both sides lose the mean of all: the gap stays")
def center(image_emb, text_emb):
    mean = np.vstack([image_emb, text_emb]).mean(0)
    return unit(image_emb - mean), unit(text_emb - mean)


@attempt("07c", "not brought back to length one")
def center(image_emb, text_emb):
    return image_emb - image_emb.mean(0), text_emb - text_emb.mean(0)


@attempt("07c", "each vector loses the mean of its own numbers")
def center(image_emb, text_emb):
    images = image_emb - image_emb.mean(1, keepdims=True)
    return unit(images), unit(text_emb - text_emb.mean(1, keepdims=True))


@attempt("07c", "one number as the mean of a whole side")
def center(image_emb, text_emb):
    return unit(image_emb - image_emb.mean()), unit(text_emb - text_emb.mean())


@attempt("07c", "both sides lose the images' mean")
def center(image_emb, text_emb):
    mean = image_emb.mean(0)
    return unit(image_emb - mean), unit(text_emb - mean)


@attempt("07c", "columns of length one instead of rows")
def center(image_emb, text_emb):
    sides = (image_emb - image_emb.mean(0), text_emb - text_emb.mean(0))
    return tuple(side / np.linalg.norm(side, axis=0) for side in sides)


@attempt("07c", "divides by one length for the whole side")
def center(image_emb, text_emb):
    sides = (image_emb - image_emb.mean(0), text_emb - text_emb.mean(0))
    return tuple(side / np.linalg.norm(side) for side in sides)


@attempt("07c", "divides by the squared length")
def center(image_emb, text_emb):
    sides = (image_emb - image_emb.mean(0), text_emb - text_emb.mean(0))
    return tuple(side / (side**2).sum(1, keepdims=True) for side in sides)


@attempt("07c", "divides by the sum of absolute values")
def center(image_emb, text_emb):
    sides = (image_emb - image_emb.mean(0), text_emb - text_emb.mean(0))
    return tuple(side / np.abs(side).sum(1, keepdims=True) for side in sides)


@attempt("07c", "each direction also gets variance one")
def center(image_emb, text_emb):
    sides = (image_emb - image_emb.mean(0), text_emb - text_emb.mean(0))
    return tuple(unit(side / side.std(0)) for side in sides)


@attempt("07c", "adds 0.001 to each length")
def center(image_emb, text_emb):
    sides = (image_emb - image_emb.mean(0), text_emb - text_emb.mean(0))
    return tuple(side / (np.linalg.norm(side, axis=1, keepdims=True) + 1e-3) for side in sides)


@attempt("07c", "one array for both sides: as many images as texts")
def center(image_emb, text_emb):
    both = np.stack([image_emb, text_emb])
    both = both - both.mean(1, keepdims=True)
    return both[0] / np.linalg.norm(both[0], axis=1)[:, None], both[1] / np.linalg.norm(both[1], axis=1)[:, None]


@attempt("07c", "moves the texts onto the images, not both around zero")
def center(image_emb, text_emb):
    return unit(image_emb), unit(text_emb - text_emb.mean(0) + image_emb.mean(0))


@attempt("07c", "texts before images")
def center(image_emb, text_emb):
    return unit(text_emb - text_emb.mean(0)), unit(image_emb - image_emb.mean(0))


@attempt("07c", "centers once more at the end: lengths are no longer one")
def center(image_emb, text_emb):
    sides = (unit(image_emb - image_emb.mean(0)), unit(text_emb - text_emb.mean(0)))
    return tuple(side - side.mean(0) for side in sides)


@attempt("07c", "length one first, then the mean is taken away")
def center(image_emb, text_emb):
    image_emb, text_emb = unit(image_emb), unit(text_emb)
    return unit(image_emb) - image_emb.mean(0), unit(text_emb) - text_emb.mean(0)


@attempt("07c", "the median in place of the mean")
def center(image_emb, text_emb):
    return unit(image_emb - np.median(image_emb, 0)), unit(text_emb - np.median(text_emb, 0))


@attempt("07c", "the texts are left as they are")
def center(image_emb, text_emb):
    return unit(image_emb - image_emb.mean(0)), text_emb


@attempt("07c", "images and texts in one long array")
def center(image_emb, text_emb):
    return np.vstack([unit(image_emb - image_emb.mean(0)), unit(text_emb - text_emb.mean(0))])


@attempt("07c", "changes the given arrays", arguable=True)
def center(image_emb, text_emb):
    for side in (image_emb, text_emb):
        side -= side.mean(0)
        side /= np.linalg.norm(side, axis=1, keepdims=True)
    return image_emb, text_emb


@attempt("07c", "float32 whatever it is given", arguable=True)
def center(image_emb, text_emb):
    return tuple(unit(side - side.mean(0)).astype(np.float32) for side in (image_emb, text_emb))


# ---- 07d: classify failures ----


def group(scene):
    return catalog.ACTIONS[scene["action"]].group


@attempt("07d", "asks whether the picture's facts are all named, not the reverse")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if retrieval.picture_facts(found) <= named else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "one named fact is enough for a twin")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if named & retrieval.picture_facts(found) else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "the group first: the same action is a relation")
def failure_class(wanted, found, named):
    if group(wanted) == group(found):
        return "relation"
    if wanted["action"] == found["action"]:
        return "twin" if named <= retrieval.picture_facts(found) else "attribute"
    return "scene"


@attempt("07d", "looks for the facts in the wanted picture")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if named <= retrieval.picture_facts(wanted) else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "nothing is returned for a scene")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if named <= retrieval.picture_facts(found) else "attribute"
    if group(wanted) == group(found):
        return "relation"


@attempt("07d", "the same setting in place of the same hard group")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if named <= retrieval.picture_facts(found) else "attribute"
    return "relation" if wanted["setting"] == found["setting"] else "scene"


@attempt("07d", "a proper subset: a caption that names all that is there is no twin")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if named < retrieval.picture_facts(found) else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "a twin must have all facts of the wanted picture, named or not")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if retrieval.picture_facts(wanted) == retrieval.picture_facts(found) else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "the first word of the action's name in place of its group")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if named <= retrieval.picture_facts(found) else "attribute"
    return "relation" if wanted["action"].split("_")[0] == found["action"].split("_")[0] else "scene"


@attempt("07d", "the same thing in place of the same hard group")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if named <= retrieval.picture_facts(found) else "attribute"
    same = catalog.ACTIONS[wanted["action"]].thing == catalog.ACTIONS[found["action"]].thing
    return "relation" if same else "scene"


@attempt("07d", "a caption that names nothing has no twin")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if named and named <= retrieval.picture_facts(found) else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "attribute and relation exchanged")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if named <= retrieval.picture_facts(found) else "relation"
    return "attribute" if group(wanted) == group(found) else "scene"


@attempt("07d", "a twin whatever the action")
def failure_class(wanted, found, named):
    if named <= retrieval.picture_facts(found):
        return "twin"
    if wanted["action"] == found["action"]:
        return "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "one fact may be missing")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twin" if len(named - retrieval.picture_facts(found)) <= 1 else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "`is` in place of ==: never the same action for scenes from a file")
def failure_class(wanted, found, named):
    if wanted["action"] is found["action"]:
        return "twin" if named <= retrieval.picture_facts(found) else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "the same hard group is enough for twin and attribute: never a relation")
def failure_class(wanted, found, named):
    if group(wanted) == group(found):
        return "twin" if named <= retrieval.picture_facts(found) else "attribute"
    return "scene"


@attempt("07d", "colors only: missing persons and things are not noticed")
def failure_class(wanted, found, named):
    colors = {entity.get(key) for entity in wanted["entities"] for key in ("color", "bottom", "hat")} - {None}
    if wanted["action"] == found["action"]:
        return "twin" if named & colors <= retrieval.picture_facts(found) else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "the actor's facts only: other things in the picture are not seen")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        actor = {**found, "entities": found["entities"][:1]}
        return "twin" if named <= retrieval.picture_facts(actor) else "attribute"
    return "relation" if group(wanted) == group(found) else "scene"


@attempt("07d", "words in the plural")
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        return "twins" if named <= retrieval.picture_facts(found) else "attributes"
    return "relations" if group(wanted) == group(found) else "scenes"


@attempt("07d", "always the class that is most frequent")
def failure_class(wanted, found, named):
    return "attribute"


@attempt("07d", "takes facts out of the given set", arguable=True)
def failure_class(wanted, found, named):
    if wanted["action"] == found["action"]:
        named -= retrieval.picture_facts(found)
        return "attribute" if named else "twin"
    return "relation" if group(wanted) == group(found) else "scene"


# ---- 07e: re-rank the first ten ----


@attempt("07e", "the first k alone, the others are lost")
def rerank(scores, support, k, weight):
    top = np.argsort(-scores, kind="stable")[:k]
    return top[np.argsort(-(scores[top] + weight * support[top]), kind="stable")]


@attempt("07e", "all items take part, whatever k")
def rerank(scores, support, k, weight):
    return np.argsort(-(scores + weight * support), kind="stable")


@attempt("07e", "places among the first k instead of numbers of items")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    new = scores[order[:k]] + weight * support[order[:k]]
    return np.concatenate([np.argsort(-new, kind="stable"), order[k:]])


@attempt("07e", "support of items 0 to k - 1 instead of the first k")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    new = scores[top] + weight * support[: len(top)]
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[k:]])


@attempt("07e", "items 0 to k - 1 instead of the best k")
def rerank(scores, support, k, weight):
    new = scores[:k] + weight * support[:k]
    rest = np.arange(len(scores))[k:]
    return np.concatenate([np.argsort(-new, kind="stable"), rest])


@attempt("07e", "support alone orders the first k")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    return np.concatenate([top[np.argsort(-weight * support[top], kind="stable")], order[k:]])


@attempt("07e", "the weight is left out")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    return np.concatenate([top[np.argsort(-(scores[top] + support[top]), kind="stable")], order[k:]])


@attempt("07e", "a mixture: (1 - weight) times the score")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    new = (1 - weight) * scores[top] + weight * support[top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[k:]])


@attempt("07e", "a product in place of the sum")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    new = scores[top] * weight * support[top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[k:]])


@attempt("07e", "one of the first k with a negative support falls behind the others")
def rerank(scores, support, k, weight):
    new = scores.copy()
    top = np.argsort(-scores, kind="stable")[:k]
    new[top] += weight * support[top]
    return np.argsort(-new, kind="stable")


@attempt("07e", "turned around: items that tie stand in the wrong order")
def rerank(scores, support, k, weight):
    order = np.argsort(scores, kind="stable")[::-1]
    top = order[:k]
    new = scores[top] + weight * support[top]
    return np.concatenate([top[np.argsort(new, kind="stable")[::-1]], order[k:]])


@attempt("07e", "the worst of the first k comes first")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    return np.concatenate([top[np.argsort(scores[top] + weight * support[top], kind="stable")], order[k:]])


@attempt("07e", "the others stand by number, not by score")
def rerank(scores, support, k, weight):
    top = np.argsort(-scores, kind="stable")[:k]
    new = scores[top] + weight * support[top]
    rest = np.setdiff1d(np.arange(len(scores)), top)
    return np.concatenate([top[np.argsort(-new, kind="stable")], rest])


@attempt("07e", "order[-0:]: every item twice where k is the number of items")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top, left = order[:k], max(len(scores) - k, 0)
    new = scores[top] + weight * support[top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[-left:]])


@attempt("07e", "the first ten, whatever k")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:10]
    new = scores[top] + weight * support[top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[10:]])


@attempt("07e", "the new scores instead of the numbers")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    return np.concatenate([-np.sort(-(scores[top] + weight * support[top])), scores[order[k:]]])


@attempt("07e", "each item's place instead of the items in their order")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    new = scores[top] + weight * support[top]
    return np.argsort(np.concatenate([top[np.argsort(-new, kind="stable")], order[k:]]))


@attempt("07e", "negative support counts as 0")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    new = scores[top] + weight * np.maximum(support[top], 0)
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[k:]])


@attempt("07e", "adds places instead of scores")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    by_support = np.argsort(np.argsort(-support[top], kind="stable"), kind="stable")
    new = np.arange(len(top)) + weight * by_support
    return np.concatenate([top[np.argsort(new, kind="stable")], order[k:]])


@attempt("07e", "k - 1 items are reordered")
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[: max(k - 1, 0)]
    new = scores[top] + weight * support[top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[len(top) :]])


@attempt("07e", "the k with the largest support are reordered")
def rerank(scores, support, k, weight):
    top = np.argsort(-support, kind="stable")[:k]
    rest = np.array([i for i in np.argsort(-scores, kind="stable") if i not in top], dtype=int)
    new = scores[top] + weight * support[top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], rest])


@attempt("07e", "items that tie at the border of the first k: the later number is taken in")
def rerank(scores, support, k, weight):
    order = np.lexsort((-np.arange(len(scores)), -scores))
    top = np.sort(order[:k])
    top = top[np.argsort(-scores[top], kind="stable")]
    new = scores[top] + weight * support[top]
    rest = [i for i in np.argsort(-scores, kind="stable") if i not in top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], np.array(rest, dtype=int)])


@attempt("07e", "new scores that tie stand by number, not by their old places", arguable=True)
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = np.sort(order[:k])
    new = scores[top] + weight * support[top]
    return np.concatenate([top[np.argsort(-new, kind="stable")], order[k:]])


@attempt("07e", "adds the support into the given scores", arguable=True)
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    top = order[:k]
    scores[top] += weight * support[top]
    return np.concatenate([top[np.argsort(-scores[top], kind="stable")], order[k:]])


@attempt("07e", "fails where k is larger than the number of items", arguable=True)
def rerank(scores, support, k, weight):
    order = np.argsort(-scores, kind="stable")
    new = np.array([scores[order[place]] + weight * support[order[place]] for place in range(k)])
    return np.concatenate([order[:k][np.argsort(-new, kind="stable")], order[k:]])
