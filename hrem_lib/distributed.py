"""Several processes, one batch: `hrem train PRESET --processes N`, torchrun on several machines (torch.distributed).

The association graph (Sec 3.3) is one over the batch, so it must be one over the batch of all processes: each encodes
its share of the pairs, embeddings and fragments are gathered with their gradients, and every process computes graph,
interaction and losses of the whole batch. W processes with B / W pairs then give the loss and the gradients of one with
B. With one process everything here does nothing.
"""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# Before init_process_group: its functions have the group of the import's time as a default (`group=group.WORLD`).
# Imported later, by any library, it would hold the group beyond destroy_process_group(); gloo's threads then outlive
# the interpreter, and drop their last tensor after its end: "terminate called without an active exception"
import torch.distributed.nn.functional
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from hrem_lib.encoders import Encoded
from hrem_lib.errors import UserError

PAST_SEEDS = 2**20  # augmentation of process r draws from seed + r x this


def world_size() -> int:
    """Number of processes that share a batch; 1 where none were started."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, 0 for the one that writes."""
    return distributed.get_rank() if world_size() > 1 else 0


def launch(count: int, command: list[str]) -> int:
    """Run `command` in `count` processes of this machine that share every batch, as torchrun does.

    torchrun itself ends a run that failed with 30 lines of its own; here only the processes' own lines are shown.

    Returns:
        0, or the exit code of the process that failed first (the others are ended then); 130 after Ctrl-C
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the same 30 lines
    settings: dict[str, Any] = {"run_id": str(os.getpid()), "rdzv_backend": "c10d", "rdzv_endpoint": "127.0.0.1:0"}
    settings |= {"max_restarts": 0, "monitor_interval": 0.1}
    try:
        elastic_launch(LaunchConfig(1, 1, count, **settings), command[0])(*command[1:])
    except ChildFailedError as error:
        return error.get_first_failure()[1].exitcode
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


@contextmanager
def processes() -> Iterator[None]:
    """Join the other processes that `launch` or torchrun has started, if any; NCCL on GPUs, gloo on CPUs."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    wait = datetime.timedelta(hours=12)  # for process 0, which alone clusters and evaluates; by default minutes
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=wait)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def local_part(captions: np.ndarray) -> np.ndarray:
    """This process's part of a batch's caption indices [B] -> [B / world].

    Raises:
        UserError: B is no multiple of the number of processes.
    """
    if len(captions) % world_size():
        raise UserError(f"training.batch_size: got {len(captions)}, wanted a multiple of the {world_size()} processes")
    return np.split(captions, world_size())[rank()]


def broadcast(make: Callable[[], Any]) -> Any:
    """What `make` gives in process 0, in all processes; the others wait for it and do not call it."""
    if world_size() == 1:
        return make()
    box = [make() if rank() == 0 else None]
    distributed.broadcast_object_list(box, 0, device=torch.device("cpu"))
    return box[0]


def same_weights(model: nn.Module) -> None:
    """Process 0's weights and statistics in all processes."""
    if world_size() > 1:
        for tensor in model.state_dict().values():
            distributed.broadcast(tensor, 0)


class _Gather(torch.autograd.Function):
    """[b,...] of each process -> [B,...] in all; the gradient of a row is the sum over all processes."""

    @staticmethod
    def forward(ctx, own: Tensor) -> Tensor:
        ctx.size = len(own)
        parts = [torch.empty_like(own) for _ in range(world_size())]
        distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        return gradient.narrow(0, rank() * ctx.size, ctx.size)


class _Sum(torch.autograd.Function):
    """Sum over the processes, of values and of gradients."""

    @staticmethod
    def forward(ctx, own: Tensor) -> Tensor:
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient


def gather(own: Tensor) -> Tensor:
    """Rows of all processes, in their order, with gradient; the same number of rows in each."""
    return own if world_size() == 1 else _Gather.apply(own)


def gather_encoded(own: Encoded) -> Encoded:
    """`Encoded` of the whole batch; fragments, which need no gradient there, are padded to the longest of all."""
    if world_size() == 1:
        return own
    longest = torch.tensor(own.mask.size(1), device=own.mask.device)
    distributed.all_reduce(longest, distributed.ReduceOp.MAX)
    room = int(longest) - own.mask.size(1)
    fragments = gather(F.pad(own.fragments.detach(), (0, 0, 0, room)))
    mask = gather(F.pad(own.mask, (0, room)).to(torch.uint8)).bool()
    return Encoded(gather(own.emb), gather(own.pooled), fragments, fragments, mask)


@contextmanager
def process_rng(device: torch.device) -> Iterator[None]:
    """Random numbers (dropout) that differ between processes; the numbers they share go on afterwards."""
    if world_size() == 1:
        yield
        return
    number = int(torch.randint(2**62, ()))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(number + rank())
        yield


class GlobalBatchNorm(nn.BatchNorm1d):
    """BatchNorm whose training statistics are those of all processes' rows; torch's SyncBatchNorm knows GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        """[rows,C] -> [rows,C]; the number of rows may differ between processes."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        count = _Sum.apply(wide.new_tensor(float(len(wide))))
        mean = _Sum.apply(wide.sum(0)) / count
        centered = wide - mean
        variance = _Sum.apply(centered.square().sum(0)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1  # pyright: ignore[reportOperatorIssue]  # statistics are tracked
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue, reportArgumentType]  # the same
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue, reportArgumentType]  # the same
        return (centered * (variance + self.eps).rsqrt() * self.weight + self.bias).to(x.dtype)


def share_batch_norm(model: nn.Module) -> None:
    """Make a `GlobalBatchNorm` of every BatchNorm, with the very same weights (an optimizer may hold them)."""
    for module in model.modules():
        if type(module) is nn.BatchNorm1d:
            module.__class__ = GlobalBatchNorm


def data_parallel(model: nn.Module) -> None:
    """One model in all processes: the weights of process 0, and BatchNorm over the rows of all."""
    if world_size() == 1:
        return
    share_batch_norm(model)
    same_weights(model)


def wait() -> None:
    """Until every process is here."""
    if world_size() > 1:
        distributed.barrier()


def average_gradients(model: nn.Module) -> None:
    """The mean over the processes of every gradient; a weight without one (relation part, warm-up) has none in all.

    DistributedDataParallel does the same, but would look for weights without gradient in every step, and warn of it.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if world_size() == 1 or not gradients:
        return
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(joined)
    for gradient, mean in zip(gradients, (joined / world_size()).split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
