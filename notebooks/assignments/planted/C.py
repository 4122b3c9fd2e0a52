# %% [markdown]
# Planted wrong submissions of assignment C (see A.py).

# %% planted="library" answer="C1"
from hrem_lib import graph


def self_loop_connection(scores, share):
    return graph.connection(scores, share)  # without the self loop

# %% planted="library" answer="C2"
from hrem_lib.interaction import additive_mask


def block_mask(connection, relevance, weights):
    return additive_mask(connection, relevance, weights.mean())  # one strength for all

# %% planted="nan" answer="C2"
def block_mask(connection, relevance, weights):
    half = len(connection) // 2
    strength = weights.view(2, 2).repeat_interleave(half, 0).repeat_interleave(half, 1)
    return strength * torch.where(connection, relevance, -torch.inf)  # 0 x infinity

# %% planted="nan" answer="C3"
def safe_attention(q, k, v, bias):
    scores = q @ k.transpose(1, 2) / q.size(-1) ** 0.5 + bias
    return torch.nan_to_num(scores.softmax(-1)) @ v  # the value is mended, the gradient is not

# %% planted="transposed" answer="C2"
def block_mask(connection, relevance, weights):
    half = len(connection) // 2
    strength = weights.view(2, 2).T.repeat_interleave(half, 0).repeat_interleave(half, 1)  # i2t and t2i exchanged
    return torch.where(connection, strength * relevance, -torch.inf)

# %% planted="transposed" answer="C4"
def standalone(v, u, bias, order):
    half = len(v)

    def attend(x, y, b):
        return (x @ y.T / x.size(1) ** 0.5 + b).softmax(-1) @ y

    def branch(x, y, across, within):
        x = F.normalize(x + attend(x, y, across), dim=-1)
        return F.normalize(x + attend(x, x, within), dim=-1)

    new_v = branch(v, u, bias[half:, :half], bias[:half, :half])  # the captions' block
    return new_v, branch(u, new_v, bias[:half, half:], bias[half:, half:])  # and always the result

# %% planted="transposed" answer="C5"
def isolate(connection, j):
    connection[j] = False  # the row only, and in place
    connection[j, j] = True
    return connection
