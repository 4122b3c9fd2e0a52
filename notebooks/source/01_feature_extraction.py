# %% [markdown]
# # How does a picture become rows of numbers?
#
# **Minutes**: 45 to read, 29 for the exercises (optional: 8 more) · **Needs**: [00](00_task_and_metric.ipynb) · **Paper**: Sec 3.1, Sec 4.1 · [notation and words](../docs/notation.md)
#
# **Sections** (minutes): 1 files (6) · 2 boxes (7) · 3 RoI align (7; short path: skip) · 4 features (8) · 5 ids (6; short path: skip the word pieces) · 6 rows of width D (8) · Break it (3)
#
# - **In hand**: a table `similarity` [n, m] and its recalls, from vectors that were made by hand out of the truth.
# - **Missing**: numbers that a computer can make from pixels and letters alone.
# - **Today**: both sides become rows of one width, `regions` [B,R,D] and `words` [B,L,D]. All later lessons start from them.

# %% [markdown] tags=["solution"]
# # Solutions to notebook 01: how does a picture become rows of numbers?
#
# One good answer for each exercise; the lesson is [01_feature_extraction](../01_feature_extraction.ipynb).

# %% tags=["setup"]
import numpy as np, torch
from hrem_lib import data, encoders, pretrained, plots, text
from hrem_lib.exercises import check
from hrem_lib.plots import features as draw
from hrem_lib.sample_world import detector
plots.use_style()

# %%
plots.show(
    plots.pipeline_map(0, 1),
    "Today: from pixels and letters to the two tables of numbers that everything else starts from.",
    "Pipeline of eight boxes; the first two, pictures and captions, features and words, are filled.",
)

# %% [markdown]
# **You will be able to**
# - read one picture's features out of a file of 33 GB without reading the rest;
# - turn a box of any size into a feature of fixed size, and say what that feature knows and what it does not;
# - turn captions into ids, states and masks without leaking a test word or losing a token.
#
# **Predict first**: picture 1 of the test split shows three things: a man, a dog and a bench. A detector proposes 11 boxes
# in it (and the whole picture as a twelfth). How many of the 11 boxes fit one of the three things well? Write your number down; section 2 prints it.

# %% [markdown]
# ## 1. What is in the files?
#
# Since 2018 many papers on image-text matching have started from the *same* files: a detector was run once on all pictures, and its outputs were
# published. The layout is simple, and the sample world has it, too.
#
# | file in `{name}_precomp/` | what it holds | public files | sample world |
# |---|---|---|---|
# | `{split}_ims.npy` | features [pictures, R, F] | R = 36, F = 2048, float32 | R = 12, F = 96, float16 |
# | `{split}_caps.txt` | captions, five lines a picture, in order | yes | yes |
# | `{split}_boxes.npy` | boxes [pictures, R, 4]: x0 y0 x1 y1 in pixels | no | yes |
# | `{split}_ids.txt` | names of the pictures | sometimes | yes |
#
# **By hand.** COCO has 113,287 training pictures. A float32 takes 4 bytes, so the file takes 113,287 x 36 x 2048 x 4 bytes = 33.4 GB.
# Few computers can hold that in memory. But nobody needs all of it at once: a batch of 128 pictures takes 38 MB.

# %%
split = data.open_split(data.sample_dir(), "test")
for name, array in (("test_ims.npy", split.features), ("test_boxes.npy", split.boxes)):
    print(f"{name:15} {str(array.shape):14} {array.dtype}  {type(array).__name__}")
print(f"test_caps.txt   {split.n_captions} lines, {split.captions_per_image} a picture")
print(f"COCO, training: {113_287 * 36 * 2048 * 4 / 1e9:.1f} GB; a batch of 128: {128 * 36 * 2048 * 4 / 1e6:.0f} MB")

# %% [markdown]
# `memmap` means *memory map*: the file stays on the disk, and indexing reads only the bytes that are asked for.
# A `.npy` file is a header of 128 bytes (here) and then the numbers, row after row. So we know where each picture starts:
#
# $$\text{start of picture } i = 128 + i \cdot R \cdot F \cdot \text{bytes of a number}$$
#
# | symbol | code | value in the sample world |
# |---|---|---|
# | $R$, regions of a picture | `split.n_regions` | 12 |
# | $F$, width of a feature | `split.region_dim` | 96 |
# | bytes of a number | `split.features.itemsize` | 2 |

# %%
def read_picture(split, index):
    """Features [R,F] of one picture, read by hand."""
    size = split.n_regions * split.region_dim * split.features.itemsize
    with open(split.folder / f"{split.name}_ims.npy", "rb") as file:
        file.seek(128 + index * size)
        numbers = np.frombuffer(file.read(size), dtype=split.features.dtype)
    return numbers.reshape(split.n_regions, split.region_dim)


assert np.array_equal(read_picture(split, 7), split.features[7])
print("picture 7 starts at byte", 128 + 7 * 12 * 96 * 2)

# %% [markdown]
# Captions 0 to 4 belong to picture 0, captions 5 to 9 to picture 1: caption $c$ belongs to picture $\lfloor c / 5 \rfloor$.
# One trap: in the public *dev* and *test* files each picture stands five times in a row, once for each caption. In the *training* file it stands once.
# `open_split` counts the rows and understands both; `row_of_image` says in which row a picture stands.

# %%
assert np.array_equal(split.image_of_caption, np.arange(split.n_captions) // 5)
for caption in range(5, 10):
    print(split.image_of_caption[caption], split.captions[caption])

# %% [markdown]
# ## 2. Which boxes, and how good are they?
#
# The detector tries hundreds of boxes and keeps those that hold *something*. Of boxes that cover each other it keeps the surest.
# It was trained on names, colors and postures of things in the **training** pictures, and on no caption.
#
# **Where do the labels of the public features come from?** From people. They marked objects and attributes in the photographs of *Visual Genome*,
# and the public detector, [bottom-up attention](https://github.com/peteanderson80/bottom-up-attention), learned these. Such labels are no captions
# either. (In spite of its name it is not the attention of lesson 02.)
#
# Whether a box fits a thing is measured by their overlap, *intersection over union*:
#
# $$\mathrm{IoU}(a, b) = \frac{\text{area of } a \cap b}{\text{area of } a \cup b}$$
#
# | symbol | code | shape |
# |---|---|---|
# | boxes $a$, $b$ | `a`, `b`: x0 y0 x1 y1 | [N,4], [M,4] |
# | IoU | `detector.overlap(a, b)` | [N,M] |
#
# **By hand.** $a$ = (0, 0, 4, 2) and $b$ = (2, 0, 6, 2) have 8 pixels each and share 2 x 2 = 4. The union has 8 + 8 - 4 = 12, so the overlap is 4/12 = 0.333.
# Two boxes that share *half* of their area have an overlap of only a third: 0.5, the usual limit for "fits well", is stricter than it sounds.

# %%
def overlap(a, b):
    """Intersection over union of two boxes, each x0 y0 x1 y1."""
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return wide * high / (area_a + area_b - wide * high)


print(f"{overlap((0, 0, 4, 2), (2, 0, 6, 2)):.3f}")

# %% [markdown]
# Now the detector on one picture. `detector.propose` made the boxes in the file, so it must give the same boxes again.

# %%
INDEX = 1
picture, scene = plots.picture(split, INDEX), draw.truth(split)[INDEX]
boxes = detector.propose(picture)  # [R,4]
assert np.array_equal(boxes, split.boxes[INDEX])
seen = detector.predictions(picture, boxes)
called = [what["kind"][0] for what in seen]
names = [f"{what['kind'][0]} {what['kind'][1]:.2f}" for what in seen]
kinds = draw.true_kinds(boxes, scene)
things = np.array([thing["box"] for thing in scene["entities"]])
mine = torch.tensor([[overlap(box, thing) for thing in things] for box in boxes])
assert torch.allclose(mine, detector.overlap(torch.tensor(boxes), torch.tensor(things)).to(mine.dtype), atol=1e-5)
fitting = sum(kind is not None for kind in kinds[1:])
print("true relations:", scene["relations"])
print(f"{fitting} of 11 boxes fit a whole thing (overlap of a half or more)")

# %%
plots.show(
    draw.labelled_boxes(picture, boxes, names, kinds, "Boxes are doubled, cut off and sometimes misnamed"),
    "Blue, solid: the name is right. Vermilion, dashed: it is wrong. Gray, dotted: the box holds no whole thing (overlap below 0.5 with each). "
    "Box 0 is the whole picture; its true name is the setting.",
    "A street with a kneeling man, a white dog and a bench, and eleven numbered boxes. Beside it a list: what the network calls each box, and the truth.",
)

# %% [markdown]
# **What you should see**: {{ fitting }} of 11 boxes fit a thing. The bench and the man are found, the dog only in pieces, and some boxes show the same
# thing twice. How good is that on all 200 test pictures? A true thing counts as found if some box overlaps it by a half or more.

# %%
found, all_things, fits = 0, 0, 0
for shown, truth in zip(split.boxes, draw.truth(split)):
    things = torch.tensor([thing["box"] for thing in truth["entities"]], dtype=torch.float32)
    values = detector.overlap(torch.tensor(np.array(shown[1:])), things)  # [11, things]
    found += (values.amax(0) >= 0.5).sum().item()
    fits += (values.amax(1) >= 0.5).sum().item()
    all_things += len(things)
print(f"{100 * found / all_things:.0f} % of the true things are found")
print(f"{100 * fits / (200 * 11):.0f} % of the boxes fit a whole thing")
assert found / all_things > 0.85 and 0.15 < fits / 2200 < 0.5

# %% [markdown]
# **What you should see**: {{ 100 * found / all_things:.0f }} % of the things are found (within 5 points), but only {{ 100 * fits / (200 * 11):.0f }} % of the boxes fit a whole thing. The rest are parts,
# doubles and background. The public features are similar: 36 boxes a photograph, far more than things. Pooling and attention (lesson 02) have to work with such boxes.

# %% [markdown]
# ## 3. How does a box of any size become 6 x 6 cells?
#
# *Short path: go on to section 4. Keep in mind that every box, large or small, becomes a table of one size.*
#
# A linear layer needs inputs of one size, but boxes have all sizes. **RoI align** (region of interest) samples each box on a fixed grid of `cells` x `cells`:
# each cell is the mean of 2 x 2 sample points, and the value at a point is interpolated between the four nearest pixels.
#
# $$x = \frac{1}{\text{stride}}\left(x_0 + (x_1 - x_0)\,\frac{j + b}{\text{cells}}\right) - \frac12, \qquad b \in \{0.25, 0.75\},\quad j = 0 \ldots \text{cells} - 1$$
#
# and the same for $y$. The $-\frac12$ is there because pixel 0 covers the places from 0 to 1 and has its *center* at 0.5.
#
# | symbol | code | shape |
# |---|---|---|
# | feature maps | `maps` | [C,H,W] |
# | $x_0, y_0, x_1, y_1$ | `boxes`, in pixels of the picture | [N,4] |
# | stride: pixels of the picture for one cell of the map | `stride` | number (4 here) |
# | result | | [N,C,cells,cells] |
#
# **By hand.** A map with the rows 1 2 3 4, stride 1, the box from x = 1 to x = 3, 2 x 2 cells. The first cell samples at
# $1 + 2 \cdot 0.25/2 = 1.25$ and $1 + 2 \cdot 0.75/2 = 1.75$; minus one half: 0.75 and 1.25. Between the pixels 0 (value 1) and 1 (value 2), place 0.75
# gives 1.75; place 1.25 gives 2.25. The mean is **2**, the value of pixel 1. The second cell gives **3**. Without the $-\frac12$ we would get 2.5 and 3.5, half a pixel too far.

# %%
def bilinear(maps, y, x):
    """Value of maps [C,H,W] between pixels; beyond the border the nearest pixel counts."""
    y, x = min(max(y, 0), maps.shape[1] - 1), min(max(x, 0), maps.shape[2] - 1)
    top, left = int(y), int(x)
    low, right = min(top + 1, maps.shape[1] - 1), min(left + 1, maps.shape[2] - 1)
    above = (1 - (x - left)) * maps[:, top, left] + (x - left) * maps[:, top, right]
    below = (1 - (x - left)) * maps[:, low, left] + (x - left) * maps[:, low, right]
    return (1 - (y - top)) * above + (y - top) * below


def align_one(maps, box, cells, stride):
    """RoI align of one box: [C,H,W], x0 y0 x1 y1 -> [C,cells,cells]."""
    (x0, y0, x1, y1), out = box, torch.zeros(len(maps), cells, cells, dtype=maps.dtype)
    for i, j in np.ndindex(cells, cells):
        for a in (0.25, 0.75):
            for b in (0.25, 0.75):
                y = (y0 + (y1 - y0) * (i + a) / cells) / stride - 0.5
                x = (x0 + (x1 - x0) * (j + b) / cells) / stride - 0.5
                out[:, i, j] += bilinear(maps, y, x) / 4
    return out


# %%
print(align_one(torch.tensor([[[1.0, 2, 3, 4], [1, 2, 3, 4]]]), (1, 0, 3, 2), 2, 1))
pixels = detector.to_tensor(picture)[0]  # [3,144,192]
fast = detector.roi_align(pixels, torch.tensor(boxes), cells=6, stride=1)  # [R,3,6,6]
slow = torch.stack([align_one(pixels, box, 6, 1) for box in boxes.tolist()])
assert torch.allclose(fast, slow, atol=1e-9)
print("boxes", tuple(boxes.shape), "-> crops", tuple(fast.shape))

# %%
chosen = [1, 2, 3, 4, 8, 0]

# %%
plots.show(
    draw.crop_rows(picture, boxes[chosen], [f"box {k}: {called[k]}" for k in chosen], 6),
    "Six boxes as they are, resampled to 48 x 48, and to the 6 x 6 cells of the network. Wide and high boxes are squeezed to one shape.",
    "Three rows of crops: bench, man, dog, part of the dog, a large box around the bench, and the whole street; as they are, at 48 by 48, and at 6 by 6 coarse cells.",
)

# %% [markdown]
# **What you should see**: the 6 x 6 row keeps colors and rough shapes, but no face. The network has more than this row. Its 6 x 6 cells do not come from 3 color channels:
# they come from 48 feature maps, and these were computed from the sharp picture.

# %% [markdown]
# ## 4. What does a feature know?
#
# Five convolutions make 48 maps of the whole picture, **once**. Each box is cut out of the maps, and one hidden layer turns its 48 x 6 x 6 numbers into $F = 96$. *That hidden layer is the feature.*
#
# | step | code | shape |
# |---|---|---|
# | picture | `pixels[None]` | [1,3,144,192] |
# | five convolutions, two of them with step 2 | `network.maps(...)` | [1,48,36,48] |
# | RoI align | `detector.roi_align(maps, boxes)` | [12,48,6,6] |
# | hidden layer, ReLU | `network.hidden` | [12,96] |
# | names, colors, postures: one linear layer each | `network.heads` | [12,40], [12,11], [12,16] |

# %%
network = detector.load_region_network().double()
with torch.no_grad():
    maps = network.maps(pixels[None])[0]  # [48,36,48]
    crops = detector.roi_align(maps, torch.tensor(boxes))  # [R,48,6,6]
    hidden = torch.relu(crops.flatten(1) @ network.hidden.weight.T + network.hidden.bias)  # [R,F]
for name, tensor in (("maps", maps), ("crops", crops), ("hidden", hidden)):
    print(f"{name:7} {tuple(tensor.shape)}")
stored = torch.tensor(np.array(split.features[INDEX]))
assert torch.allclose(hidden.half().float(), stored.float(), rtol=1e-3, atol=1e-4)
print("equal to the features in test_ims.npy")

# %% [markdown]
# The names of section 2 are *one matrix product* away from the feature: $\text{name} = \arg\max(W h + b)$. So all that
# the detector says about a box is in the 96 numbers. A model that gets the features gets this knowledge, too.

# %%
def read_names(features):
    """Names from features [...,F] alone: one linear layer of the detector and the largest value."""
    head = network.heads["kind"]
    best = (features.double() @ head.weight.T + head.bias).argmax(-1)
    return [detector.KINDS[k] for k in best.flatten().tolist()]


assert read_names(hidden) == called
right = total = 0
for features, shown, truth in zip(split.features, split.boxes, draw.truth(split)):
    for name, kind in zip(read_names(torch.tensor(np.array(features)))[1:], draw.true_kinds(shown, truth)[1:]):
        right, total = right + (name == kind), total + (kind is not None)
print(f"{100 * right / total:.0f} % of the {total} boxes that fit a thing get the right name")
print(f"by chance: {100 / len(detector.KINDS):.1f} %")
assert 0.6 < right / total < 0.95

# %%
plots.show(
    draw.feature_map(stored, [f"{k} {name}" for k, name in enumerate(called)],
                     "Boxes of the same thing have large values in the same columns"),
    "The features of picture 1: a row for each box, a column for each of the 96 numbers. Columns that are largest for the same box stand together. "
    "The dog's boxes (3, 4 and 6) share columns; the bench has its own.",
    "Heat map with twelve rows, one for each box, and 96 columns. Four in ten columns are dark, the others form short bright groups.",
)  # fmt: skip

# %% [markdown]
# **What you should see**: dark columns on the right are zero in all boxes of this picture. In the whole split {{ 100 * (np.array(split.features) == 0).mean():.0f }} % of the values are zero: the ReLU sets all negative ones to 0.
#
# If features know what is in a box, boxes with the same kind of thing must resemble each other, even from different pictures. We take six boxes
# of each of eight kinds and compute all cosines. (All features are at least zero, so no cosine is negative: 0 means "nothing in common".)

# %%
def boxes_of_kinds(wanted, each):
    """(kind, picture, box) for `each` pictures of every wanted kind, sorted by kind."""
    rows = {kind: [] for kind in wanted}
    for n, (shown, truth) in enumerate(zip(split.boxes, draw.truth(split))):
        there = draw.true_kinds(shown, truth)
        for kind in wanted:
            if kind in there and len(rows[kind]) < each:
                rows[kind].append((kind, n, there.index(kind)))
    return [row for kind in wanted for row in rows[kind]]


places = boxes_of_kinds(("dog", "horse", "bird", "bench", "bicycle", "ball", "surfboard", "umbrella"), 6)
labels = [kind for kind, _, _ in places]
features = torch.tensor(np.stack([split.features[n][k] for _, n, k in places])).float()  # [48,F]
unit = features / features.norm(dim=1, keepdim=True)
cosines = unit @ unit.T  # [48,48]
same = torch.tensor([[a == b for b in labels] for a in labels])
inside = cosines[same & ~torch.eye(48, dtype=torch.bool)].mean().item()
between = cosines[~same].mean().item()
print(f"same kind: {inside:.2f}   different kinds: {between:.2f}")
assert inside > between + 0.15

# %%
samples = {}

# %%
for kind, n, k in places:
    samples.setdefault(kind, draw.crops(plots.picture(split, n), split.boxes[n][[k]], 40)[0])
plots.show(
    draw.region_cosines(cosines, labels, samples, f"Same kind: cosine {inside:.2f} on average; different kinds: {between:.2f}"),
    "Cosines between the features of 48 boxes from different pictures, six of each kind.",
    "Heat map of 48 by 48 cosines in eight groups. The squares on the diagonal are bright, most others are dull. A crop of each kind stands below.",
)

# %% [markdown]
# **What you should see**: bright squares on the diagonal: {{ inside:.2f }} on average, against {{ between:.2f }} elsewhere (within 0.1). The squares of birds and benches have almost one color: these things are drawn alike
# in all pictures. Dogs and horses resemble each other, too: both have four legs.
#
# **What a feature does not know**: who does what to whom. "A dog chases a man" and "a man chases a dog" give the same two boxes, a running man and a running dog.
# The difference lies *between* the boxes. That is the subject of this course: relations between regions (lesson 02), and between pictures and captions (lessons 03 and 04).
#
# **Photographs.** Nothing above is special to drawings. Any network that gives maps can replace ours: maps, RoI align, and (here) the mean of the cells.
# The cell builds a small ResNet with *random* weights, so that it runs offline; `AutoModel.from_pretrained("microsoft/resnet-50")` would bring trained ones. Exercise 01e asks whether that matters.

# %%
from transformers import ResNetConfig, ResNetModel

torch.manual_seed(0)
backbone = ResNetModel(ResNetConfig(embedding_size=32, hidden_sizes=[32, 64], depths=[1, 1], layer_type="basic")).eval()


@torch.no_grad()
def backbone_features(picture, boxes):
    """Features [R,C] of boxes [R,4] from any backbone that gives maps."""
    maps = backbone(detector.to_tensor(picture).float()).last_hidden_state[0]  # [64,18,24]
    stride = picture.width // maps.shape[-1]
    return detector.roi_align(maps, torch.tensor(np.array(boxes)), 3, stride).mean((2, 3))


print(tuple(backbone_features(picture, boxes).shape))

# %% [markdown]
# ## 5. How does a caption become ids?
#
# Two ways are used. **Words** (for a BiGRU): every word of the *training* captions gets an **id**, a number of its own. Any other word becomes `<unk>`. **Word pieces** (for BERT): a
# fixed list of pieces. A word that is not in the list is cut into pieces that are.
#
# **By hand.** From the captions "A dog runs." and "a dog" we count: a 2, dog 2, runs 1. The special tokens take the ids 0 to 3, then come words by count, then by alphabet:
#
# | `<pad>` | `<start>` | `<end>` | `<unk>` | a | dog | runs |
# |---|---|---|---|---|---|---|
# | 0 | 1 | 2 | 3 | 4 | 5 | 6 |
#
# so "a cat runs" becomes 1 4 3 6 2: the cat is unknown.
#
# **Why must the vocabulary not see test captions?** They stand for queries that nobody knows yet. A word that only they use would get a vector that no
# training caption ever changed: random numbers. As `<unk>` it is treated like any new word of a real query, and the vector of `<unk>` is trained (section 6).

# %%
tiny = text.Vocabulary.build(["A dog runs.", "a dog"])
print(tiny.words, tiny.encode(["a cat runs"]).ids.tolist())

train = data.open_split(data.sample_dir(), "train")
words = text.Vocabulary.build(train.captions)
print(f"{words.size} ids for the words of {train.n_captions:,} training captions; the most frequent: {words.words[4:9]}")

# %% [markdown]
# *Short path: go on to section 6. Keep in mind that BERT cuts rare words into pieces; the model of this course reads whole words.*
#
# Pieces are found from the left, always the longest piece that is in the list; a piece inside a word starts with `##`.
# With the list {surf, board, ##board, ##ing}: *surfboard* = surf + ##board, *surfing* = surf + ##ing, and *snowboard* has no first piece, so it is `[UNK]`.

# %%
def cut(word, known):
    """Pieces of a word: the longest known one first, from left to right."""
    pieces, start = [], 0
    while start < len(word):
        mark, end = "##" if start else "", len(word)
        while end > start and mark + word[start:end] not in known:
            end -= 1
        if end == start:
            return ["[UNK]"]
        pieces.append(mark + word[start:end])
        start = end
    return pieces


for word in ("surfboard", "surfing", "snowboard"):
    print(word, cut(word, {"surf", "board", "##board", "##ing"}))

# %% [markdown]
# BERT's own list has 30,522 pieces and needs a download. To stay offline we make a list of 160 pieces from the training captions: letters and the most frequent words. Then we compare our function with the library on all words of the test split.

# %%
pieces = text.WordPiece.train(train.captions, 160)
vocabulary = {word for caption in split.captions for word in pieces.words(caption)}
for word in vocabulary:
    ids = pieces.encode([word]).ids[1:-1]  # without [CLS] and [SEP]
    assert [pieces.pieces[i] for i in ids] == cut(word, set(pieces.pieces))
print(len(vocabulary), "different words and marks in the test captions; all cut as the library does")

# %%
caption, strips = "A man is stroking a white puppy", []
for name, encoder, tokens in (("words", words, words.words), ("word pieces", pieces, pieces.pieces)):
    ids, index, _ = encoder.encode([caption]).gather([0])
    strips.append((f"{name}: {encoder.size} ids", [tokens[i] for i in ids[0]], ids[0], index[0]))

# %%
assert len(strips[0][1]) == 9 and len(strips[1][1]) > 12
plots.show(
    draw.word_strip(strips, f"One caption: {len(strips[0][1])} tokens as words, {len(strips[1][1])} as pieces"),
    "The same caption for a BiGRU (above) and for BERT (below), with the ids. Hatched: special tokens, one at each end. The bar joins the pieces of one word.",
    "Two strips of boxes with tokens and ids. Above: start, a, man, is, stroking, a, white, puppy, end. Below, stroking is cut into eight pieces.",
)

# %% [markdown]
# **What you should see**: both ways put a special token at each end. The rare word *stroking* has one id above and eight below. In this method every token has a row of its own, [CLS] and [SEP] included.

# %% [markdown]
# ## 6. How do both sides become rows of width D?
#
# **Pictures.** A projection takes each region from $F$ to $D$ numbers. The paper writes one fully connected layer, the released code adds a small network to it:
#
# $$R = \mathrm{FC}(x) + \mathrm{MLP}(x), \qquad \mathrm{MLP} = \text{Linear}(F, D/2),\ \text{BatchNorm},\ \text{ReLU},\ \text{Linear}(D/2, D)$$
#
# **Captions.** A GRU reads the words from left to right, a second one from right to left. The mean of their two states is the word's row. Or BERT reads all pieces at once, and a linear layer takes its 768 numbers to $D$.
#
# | paper | code | shape |
# |---|---|---|
# | region features | `features` | [B,R,F] |
# | $R$, regions | `regions` | [B,R,D] |
# | $C$, words | `words` | [B,L,D] |
# | which are real | `region_mask`, `word_mask`, True = real | [B,R], [B,L] |

# %%
torch.manual_seed(0)
projection = encoders.RegionProjection(96, 64).eval()
raw, mask = split.regions([0, 1, 2])  # [3,12,96], [3,12]
fc, (first, norm, _, last) = projection.fc, projection.mlp
with torch.no_grad():
    linear = raw @ fc.weight.T + fc.bias
    inner = raw @ first.weight.T + first.bias  # [3,12,32]
    inner = (inner - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    by_hand = linear + torch.relu(inner) @ last.weight.T + last.bias  # [3,12,64]
    assert torch.allclose(by_hand, projection(raw, mask), atol=1e-5)
print(tuple(raw.shape), "->", tuple(by_hand.shape))

# %% [markdown]
# What does the state of a word know? A test: **replace one word by `<unk>` and measure whose state moves.** A GRU from left to right cannot know what comes later. So a change of word $j$ moves the states $i \ge j$ only.

# %%
torch.manual_seed(0)
gru = encoders.BiGRUWords(words.size, 48, 64).eval()
bert = encoders.BertWords(pretrained.make_bert("small", pieces.size), 64).eval()


@torch.no_grad()
def influence(states, ids, unknown):
    """How far the state of word i (row) moves when word j (column) is replaced: [L,L]; states: ids [B,L] -> [B,L,D]."""
    changed = ids.repeat(len(ids), 1).fill_diagonal_(unknown)  # row j: word j is gone
    all_states = states(torch.cat([ids[None], changed]))
    moved = (all_states[1:] - all_states[0]).norm(dim=-1).T
    return moved * (moved > 1e-5)  # rounding is no influence


# %%
def gru_states(ids):
    """Both directions side by side: ids [B,L] -> [B,L,2D]."""
    return gru.gru(gru.embedding(ids))[0]


def all_real(ids):
    return torch.ones_like(ids, dtype=torch.bool)


SENTENCE = "A woman in red with a dog"
ids, piece_ids = (torch.tensor(encoder.encode([SENTENCE]).ids).long() for encoder in (words, pieces))
panels = {
    "GRU, left to right": influence(lambda x: gru_states(x)[..., :64], ids, words.mask_id),
    "GRU, right to left": influence(lambda x: gru_states(x)[..., 64:], ids, words.mask_id),
    "BiGRU: the mean of both": influence(lambda x: gru(x, all_real(x)), ids, words.mask_id),
    "BERT": influence(lambda x: bert(x, all_real(x)), piece_ids, pieces.mask_id),
}
forward, backward, mean, by_bert = panels.values()
for name, network, x in (("BiGRU", gru, ids[None]), ("BERT", bert, piece_ids[None])):
    print(f"{name:6} {tuple(x.shape)} -> {tuple(network(x, all_real(x)).shape)}")

# %%
assert len(ids) == len(piece_ids)  # no word of this sentence is cut
assert torch.equal(forward, forward.tril()) and torch.equal(backward, backward.triu())
assert (mean > 0).all() and (by_bert > 0).all()

# %%
plots.show(
    draw.influence({name: panel.numpy() for name, panel in panels.items()}, ["start", *SENTENCE.split(), "end"],
                   "One direction knows half of the sentence; the mean of both knows all of it"),
    "Row = whose state moves, column = which word was replaced. Colors are powers of ten: 0 is the largest influence of a panel, -2 a hundredth of it; hatched: none at all. "
    "The weights are random: this is what each network *can* know, before any training.",
    "Four heat maps. Left to right: the upper triangle is hatched. Right to left: the lower triangle is hatched. Mean of both and BERT: no cell is hatched.",
)  # fmt: skip

# %% [markdown]
# **What you should see**: exact zeros above the diagonal for one direction, below it for the other, and none for the mean and for BERT. In a GRU the influence falls with distance; in BERT, before any training, all other words count alike.
#
# So the state of a word depends on its neighbors and on their order. A word vector does not:

# %%
one, other = (torch.tensor(words.encode([c]).ids).long()[None] for c in ("A dog chases a man", "A man chases a dog"))
with torch.no_grad():
    for name, rows in (("word vector", gru.embedding), ("BiGRU state", lambda x: gru(x, all_real(x)))):
        a, b = rows(one)[0, 2], rows(other)[0, 5]  # the word "dog" in both sentences
        change = 100 * ((a - b).norm() / a.norm()).item()
        print(f"{name} of 'dog': the two sentences differ by {change:.0f} % of its length")
assert change > 5

# %% [markdown]
# **A batch.** Captions have different lengths, but a tensor has one. So short captions are padded with id 0, and a mask says what is real (True). From here on no function counts tokens; every function gets the mask.

# %%
batch_ids, word_index, word_mask = words.encode(split.captions).gather([6, 8, 14])
print(batch_ids)
print(word_mask.astype(int))
assert np.array_equal(word_mask, batch_ids != 0)

# %% [markdown]
# **What training leaves out.** The model should not depend on a single region or word. So each region is left out with probability 0.2 (at least one stays). And each whole word is changed with probability 0.2:
# half of those become `<unk>` ([MASK] for BERT), a tenth become a random word, the others are deleted. **By hand**: of 12 regions 12 x 0.8 = 9.6 stay on average. In evaluation nothing is left out.

# %%
def vary(index, caption, seed):
    """One draw of size augmentation: which regions stay [R], what is left of the caption."""
    rng = np.random.default_rng(seed)
    stay = data.drop_regions(split.regions([index])[1].numpy(), rng, 0.2)[0]
    ids = text.augment_words(*words.encode([caption]).gather([0]), rng, 0.2, words.mask_id, words.random_range)[0]
    return stay, words.decode(ids[0])


caption = max(split.captions[5:10], key=len)
draws = [vary(INDEX, caption, seed) for seed in (0, 1, 2)]
share = np.mean([vary(INDEX, "a dog", seed)[0].mean() for seed in range(2000)])
print(f"share of regions that stay in 2,000 draws: {share:.2f}")
assert abs(share - 0.8) < 0.01

# %%
plots.show(
    draw.left_out(picture, boxes, [stay for stay, _ in draws], [left for _, left in draws],
                  "The same pair is different each time it is used"),
    f"Three draws of size augmentation. Dashed and hatched: regions left out. Above: what is left of \"{caption}\"",
    "The street picture three times, each with other boxes hatched, and three shortened versions of the caption above.",
)  # fmt: skip

# %% [markdown]
# ## What differs
#
# | topic | paper | released code | here |
# |---|---|---|---|
# | region features | 36 x 2048, bottom-up attention | the same public files | any file of that layout; the sample world has 12 x 96 from its own small detector |
# | projection to D | one FC layer | FC + MLP with BatchNorm | FC + MLP; `model.projection=linear` gives the paper's |
# | BatchNorm and padding | no BatchNorm | padding goes through it, too | real regions only |
# | text encoder | BiGRU or BERT, each with FC | BERT only | both; the BiGRU has width D already and needs no FC |
# | size augmentation | share 0.2 | share 0.2; may drop every region of a picture | share 0.2; at least one region stays |

# %% [markdown]
# ## Break it
#
# BatchNorm subtracts the mean of a batch and divides by its standard deviation. **By hand:** two real values 1 and 3: mean 2, deviation 1, so they become -1 and +1. Now let two rows of
# padding (zeros) in: values 1, 3, 0, 0: mean 1, variance (0 + 4 + 1 + 1)/4 = 1.5, so they become 0 and 2/1.22 = 1.63. The same two regions get other numbers, only because *another* picture of the batch has more regions.
#
# We plant that fault: the projection gets all rows, padding included.

# %%
def broken(features, mask):
    """FC(x) + MLP(x) over all rows, then padding to zero: looks right, is not."""
    rows = features.flatten(0, 1)  # [B*R,F]
    out = (projection.fc(rows) + projection.mlp(rows)).unflatten(0, mask.shape)
    return torch.where(mask[..., None], out, 0)


projection.train()
raw, mask = split.regions(range(16))
pads, moved = (0, 4, 8, 12, 24), {"real regions only (here)": [], "padding goes through BatchNorm": []}
with torch.no_grad():
    start = projection(raw, mask)
    for pad in pads:
        longer = torch.nn.functional.pad(raw, (0, 0, 0, pad))
        longer_mask = torch.nn.functional.pad(mask, (0, pad))
        for name, project in zip(moved, (projection, broken)):
            difference = project(longer, longer_mask)[:, :12] - start
            moved[name].append(100 * (difference.norm() / start.norm()).item())
print({name: [round(v, 1) for v in values] for name, values in moved.items()})
assert max(moved["real regions only (here)"]) < 1e-3 and moved["padding goes through BatchNorm"][-1] > 3

# %%
plots.show(
    draw.drift(pads, moved, ("rows of padding added to each picture", "change of the real regions (%)"),
               f"Padding alone moves the regions by {moved['padding goes through BatchNorm'][-1]:.0f} %"),
    "Sixteen pictures, nothing changed but the padding. Blue circles: BatchNorm gets real regions only. Vermilion squares: it gets the padding, too.",
    "Line chart: the blue line stays at zero; the dashed vermilion line rises with the rows of padding.",
)  # fmt: skip

# %% [markdown]
# Nothing crashes and no shape is wrong: only a test that *adds padding and compares* finds it. Exercise 01d repairs it; in lesson 02 you will write that test.

# %% [markdown]
# ## Exercises
#
# Write your code where `NotImplementedError` or `None` stands and run the cell with `check`: it answers in one sentence. A function leaves its arguments as they are. Stuck? Each exercise has three hints: the idea, the calls, a skeleton with gaps `...`. Open one, try again, then open the next.
#
# Importance says how much later lessons rest on an exercise. All solutions: [solutions](solutions/01_feature_extraction_solutions.ipynb).

# %% [markdown] tags=["exercise"]
# ### Exercise 01a: RoI align for all boxes
#
# Difficulty: medium · Importance: low · Minutes: 10 · [solution](solutions/01_feature_extraction_solutions.ipynb)
#
# `align_one` of section 3 is the specification (for one box). Write it for all boxes at once. Faster than four loops: a sample between two pixels is a weighted sum of pixels, with weights
# `1 - |place - pixel|` cut at zero (a tent). So each axis of a box is one small matrix [cells, size], and the crop is two matrix products.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# A sample between pixels is a weighted sum of pixels. For a box the weights are a product: one small matrix for y, one for x.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `torch.arange(k)`: the numbers 0 to k - 1; `(torch.arange(k) + 0.5) / k` are the middles of k steps from 0 to 1. `.clamp(low, high)`: cuts. `.unflatten(1, (cells, 2)).mean(2)`: averages two and two. `torch.einsum`: both matrix products in one call.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# def tents(low, high, size):  # one axis: [N] and [N] -> weights [N,cells,size]
#     steps = ...  # [2 cells], from 0 to 1
#     places = (low[:, None] + ... * steps) / ... - ...  # pixels of the map; mind the half pixel
#     weights = (1 - (places.clamp(0, size - 1)[:, :, None] - ...).abs()).clamp(min=0)
#     return weights.unflatten(1, (cells, 2)).mean(2)
#
# down, across = tents(boxes[:, 1], ..., ...), tents(boxes[:, 0], ..., ...)
# return torch.einsum(..., down, maps, across)
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: bilinear sampling is linear in the pixels and splits into y and x, so two small matrices for each box do all samples at once.
# - **Usual mistake**: the half pixel: subtract 0.5 *after* the division by the stride, since it is half a pixel of the map.
# - **Cost**: about N x C x cells x H x W products in one call, most of them with zeros. The loops do fewer, one by one in Python.
#
# </details>

# %% tags=["exercise"]
def roi_align(maps, boxes, cells, stride):
    """maps [C,H,W], boxes [N,4] (x0 y0 x1 y1, pixels of the picture) -> [N,C,cells,cells]. All float32 or all float64."""
    # BEGIN SOLUTION
    def tents(low, high, size):  # one axis: [N] and [N] -> weights [N,cells,size]
        steps = (torch.arange(2 * cells, dtype=maps.dtype) + 0.5) / (2 * cells)
        places = (low[:, None] + (high - low)[:, None] * steps) / stride - 0.5
        places = places.clamp(0, size - 1)
        weights = (1 - (places[..., None] - torch.arange(size)).abs()).clamp(min=0)
        return weights.unflatten(1, (cells, 2)).mean(2)

    down = tents(boxes[:, 1], boxes[:, 3], maps.shape[1])
    across = tents(boxes[:, 0], boxes[:, 2], maps.shape[2])
    return torch.einsum("nih,chw,njw->ncij", down, maps, across)
    # END SOLUTION


# %% tags=["exercise"]
check("01a", roi_align)

# %% [markdown] tags=["exercise"]
# ### Exercise 01b: a vocabulary that does not leak
#
# Difficulty: easy · Importance: medium · Minutes: 6 · [solution](solutions/01_feature_extraction_solutions.ipynb)
#
# You get the captions of all splits. Return the words in the order of their ids: the four special words, then the words that occur at least `min_count` times, most frequent first, words of one count by the alphabet.
# Which splits may you read? `text.split_words(caption)` gives the words of a caption.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# The model may know words of the training captions only. To put words in order, sort by two things at once, so that no tie is left.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `text.split_words(caption)`: the words of a caption. `counts.get(word, 0)`: the count so far. `sorted(words, key=...)`: with a pair as key, the second entry decides where the first ones are equal.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# counts = {}
# for caption in splits[...]:
#     for word in text.split_words(caption):
#         counts[word] = ...
# kept = [word for word in counts if ...]
# return ["<pad>", "<start>", "<end>", "<unk>", *sorted(kept, key=lambda word: ...)]
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: count the training words only, then sort by (-count, word), which leaves no tie.
# - **Usual mistake**: `most_common`: it keeps ties as they were first seen, so the ids depend on the order of the captions.
# - **Cost**: one pass over the captions and a sort of the words.
#
# </details>

# %% tags=["exercise"]
def vocabulary(splits, min_count):
    """splits: {"train": [caption, ...], "dev": ..., "test": ...} -> list of words; the place in the list is the id."""
    # BEGIN SOLUTION
    counts = {}
    for caption in splits["train"]:
        for word in text.split_words(caption):
            counts[word] = counts.get(word, 0) + 1
    kept = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
    return ["<pad>", "<start>", "<end>", "<unk>", *kept]
    # END SOLUTION


# %% tags=["exercise"]
check("01b", vocabulary)

# %% [markdown] tags=["exercise"]
# ### Exercise 01c: captions to ids and mask
#
# Difficulty: medium · Importance: high · Minutes: 7 · [solution](solutions/01_feature_extraction_solutions.ipynb)
#
# Cut a caption longer than `limit` so that its *last* token (`<end>` or [SEP]) stays. Pad on the right with 0 to the longest caption of the batch. True marks real tokens.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# Cut the captions first. Then their lengths alone say where the real tokens stand: that is the mask. And the mask says where to write the ids.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `[*row, last]`: a list and one more entry. `torch.arange(n)`: the place numbers; compared with a column [B,1] they give a table [B,n]. `ids[mask] = values`: fills the True places, row after row.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# cut = [row if ... else [..., ...] for row in captions]
# lengths = torch.tensor([len(row) for row in cut])
# mask = ... < ...  # [B,L]
# ids = torch.zeros(mask.shape, dtype=...)
# ids[mask] = torch.tensor([...])  # the tokens of all rows, one after another
# return ids, mask
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: cut first, then the lengths give the mask and the mask gives the places: `ids[mask]` takes all tokens in one go.
# - **Usual mistake**: `row[:limit]`, which loses the end token, or a new 2 at the end, which is wrong for [SEP].
# - **Cost**: B x (longest caption) numbers; one long caption makes all rows long, so longer limits cost the whole batch.
#
# </details>

# %% tags=["exercise"]
def collate(captions, limit):
    """captions: B lists of ids -> ids [B,L] int64, mask [B,L] bool."""
    # BEGIN SOLUTION
    cut = [row if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in captions]
    lengths = torch.tensor([len(row) for row in cut])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.int64)
    ids[mask] = torch.tensor([number for row in cut for number in row])
    return ids, mask
    # END SOLUTION


# %% tags=["exercise"]
check("01c", collate)

# %% [markdown] tags=["exercise"]
# ### Exercise 01d: repair the projection
#
# Difficulty: medium · Importance: medium · Minutes: 6 · [solution](solutions/01_feature_extraction_solutions.ipynb)
#
# Repair `broken` of "Break it": write `project` so that neither FC nor BatchNorm ever gets padding. Masked rows of the result are zero. Call each layer once; a mask may have holes.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# BatchNorm takes its mean over all rows that it gets, rows of zeros included. So padding must never enter: take the real rows out, and put the results back.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `features[mask]`: the real rows, [valid,F]. `x.new_zeros(shape)`: zeros of the same type as x. `out[mask] = rows`: writes rows to the True places.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# real = ...  # [valid,F]
# projected = fc(...) + mlp(...)  # [valid,D]
# out = projected.new_zeros(...)  # [B,R,D]
# out[...] = ...
# return out
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: take the real rows out, project them, put them back into zeros.
# - **Usual mistake**: to zero the padding before or after the layers: BatchNorm counts rows of zeros, too.
# - **Cost**: less than the broken version, since padding passes no layer; taking out and putting back are two copies.
#
# </details>

# %% tags=["exercise"]
def project(features, mask, fc, mlp):
    """features [B,R,F], mask [B,R] (True = real), two layers F -> D  ->  regions [B,R,D]."""
    # BEGIN SOLUTION
    real = features[mask]  # [valid,F]
    projected = fc(real) + mlp(real)
    out = projected.new_zeros(*mask.shape, projected.shape[-1])
    out[mask] = projected
    return out
    # END SOLUTION


# %% tags=["exercise"]
check("01d", project)

# %% [markdown] tags=["exercise"]
# ### Exercise 01e (optional): does another backbone know the kinds?
#
# Difficulty: medium · Importance: low · Minutes: 8 · [solution](solutions/01_feature_extraction_solutions.ipynb)
#
# One number compares networks. For each region find the *other* region with the largest cosine: in what share of the regions has it the same kind? Blind guessing gives about a tenth here.
# Write it, then predict the order of three kinds of features before you run the last cell: the trained detector, the random ResNet, and the plain pixels of the 6 x 6 crop.

# %% [markdown]
# <details><summary>Hint 1: idea</summary>
#
# With rows of length one, a single matrix product gives all cosines. A region must not find itself.
# </details>
#
# <details><summary>Hint 2: calls</summary>
#
# `x.norm(dim=1, keepdim=True)`: the length of each row, as a column. `x.fill_diagonal_(value)`: writes into the diagonal. `x.argmax(1)`: the column of the largest value of each row.
# </details>
#
# <details><summary>Hint 3: skeleton</summary>
#
# ```python
# unit = features / ...
# cosines = ...  # [n,n]
# cosines.fill_diagonal_(...)
# nearest = cosines.argmax(1).tolist()
# return sum(... for i, j in enumerate(nearest)) / ...
# ```
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Solution: idea, usual mistake, cost; the code is below</summary>
#
# - **Idea**: rows of length one turn a matrix product into all cosines, and -inf on the diagonal leaves the region itself out.
# - **Usual mistake**: 0 on the diagonal, which wins where all cosines are negative; or the second place of a sort, which an equal region can take.
# - **Cost**: n x n cosines in memory; for very many regions go through them in blocks.
#
# </details>

# %% tags=["exercise"]
def neighbor_agreement(features, kinds):
    """features [n,F], kinds: n names -> share of regions whose most similar other region has their kind."""
    # BEGIN SOLUTION
    unit = features / features.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    cosines.fill_diagonal_(-torch.inf)
    nearest = cosines.argmax(1).tolist()
    return sum(kinds[i] == kinds[j] for i, j in enumerate(nearest)) / len(kinds)
    # END SOLUTION


# %% tags=["exercise"]
check("01e", neighbor_agreement)

# %%
def compare():
    """Share for the trained detector, a random ResNet and pixels, on the 48 boxes of section 4."""
    shown = [(plots.picture(split, n), split.boxes[n][[k]]) for _, n, k in places]
    by_resnet = torch.cat([backbone_features(image, box) for image, box in shown])
    by_pixels = torch.tensor(np.stack([draw.crops(image, box, 6).ravel() for image, box in shown]))
    for name, rows in (("trained detector", features), ("random ResNet", by_resnet), ("pixels", by_pixels)):
        print(f"{name:17} {neighbor_agreement(rows, labels):.2f}")


try:
    compare()
except NotImplementedError:
    print("Solve 01e first; then this cell compares three kinds of features.")

# %% [markdown] quoted="0.98, 0.55, 0.11: what the solution of 01e gives, and by hand"
# <details><summary>What the comparison says</summary>
#
# The trained detector reaches about 0.98, the random ResNet and the plain pixels about 0.55 each (within 0.1). Blind guessing would give 5/47 = 0.11, since 5 of the 47 other boxes
# have the same kind. So color and rough shape alone are enough for half of the boxes. A network without training adds nothing to that, and labels teach the rest. A backbone is only as good as what it was trained for.
#
# </details>
#
# ## Summary
#
# - A picture is R boxes and a table [R,F]; the file is memory-mapped, and a batch reads only its own rows.
# - RoI align brings every box to one size; the hidden layer of a detector is the feature. It knows name, color and posture, with errors, but not who does what to whom.
# - A caption is ids with a special token at each end, and only training captions make the vocabulary. A state of a BiGRU or of BERT knows the whole sentence.
# - Both sides become rows of width D with a mask; padding must pass no BatchNorm.
#
# **Words introduced**: region, feature, overlap (IoU), RoI align, memory map, vocabulary, word piece, state, mask, padding, size augmentation.
#
# **Next**: [02](02_fragment_relations.ipynb): twelve rows are still not an embedding. How do they become *one* vector, and how does one region attend to another?
