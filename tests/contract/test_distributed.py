"""Two processes with half a batch each have the gradients of one process with the whole."""

import os

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.contract.models import HEADS, VARIANTS, random_ids
from tests.processes import in_processes


def _model():
    torch.manual_seed(1)
    # Evaluation mode fixes the rotations, which are drawn on each process on its own in training.
    kinds = VARIANTS["mixed"]["attention_layers"]
    shared = {"num_distinct_layers": len(kinds), "tie_word_embeddings": True}
    return HEADS["causal-lm"].build("mixed", attention_layers=2 * kinds, **shared).double()


def _worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = DistributedDataParallel(_model())
    ids = torch.load(f"{folder}/ids.pt", weights_only=True)[rank : rank + 1]
    for _ in range(2):
        model.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
    if rank == 0:
        gradients = {name: p.grad for name, p in model.module.named_parameters()}
        torch.save(gradients, f"{folder}/gradients.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    ids = random_ids(2, 33)
    torch.save(ids, tmp_path / "ids.pt")
    in_processes(2, _worker, str(tmp_path))
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    model = _model()
    model(input_ids=ids, labels=ids).loss.backward()
    for name, parameter in model.named_parameters():
        assert (found[name] - parameter.grad).abs().max() < 1e-9, name
