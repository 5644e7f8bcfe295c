"""Padding and batch-mates change nothing: below 1e-5 in float32."""

import torch
from torch.nn.functional import pad

from tests.contract.models import every_head_and_variant, outputs, random_ids, within


@every_head_and_variant
def test_padding_changes_nothing(head, variant):
    def difference(model):
        ids = random_ids(2, 37)
        bare, found = outputs(model, ids), []
        for left, right in ((0, 9), (6, 0), (4, 5)):
            # What stands at the padding is arbitrary.
            padded_ids = random_ids(2, left + 37 + right)
            padded_ids[:, left : left + 37] = ids
            mask = pad(torch.ones(2, 37, dtype=torch.int64), (left, right))
            padded = outputs(model, padded_ids, mask)
            if padded.dim() == 3:
                padded = padded[:, left : left + 37]
            found.append((padded - bare).abs().max())
        return torch.stack(found).max()

    assert within(1e-5, head, variant, difference)


@every_head_and_variant
def test_batch_mates_change_nothing(head, variant):
    def difference(model):
        ids, lengths = random_ids(4, 33), torch.tensor([33, 1, 20, 8])
        together = outputs(model, ids, torch.arange(33) < lengths[:, None])
        alone = [outputs(model, ids[item : item + 1, :length])[0] for item, length in enumerate(lengths)]
        rows = zip(together, alone, strict=True)
        return torch.stack(
            [((row[: len(own)] if row.dim() == 2 else row) - own).abs().max() for row, own in rows]
        ).max()

    assert within(1e-5, head, variant, difference)


@every_head_and_variant
def test_an_empty_batch_mate_is_harmless(head, variant):
    model, ids = head.build(variant).train(), random_ids(2, 12)
    mask = torch.ones(2, 12, dtype=torch.bool)
    mask[1] = False
    labels = {name: value.clone() for name, value in head.labels(ids).items()}
    if "labels" in labels and labels["labels"].dim() == 2:
        labels["labels"][1] = -100
    loss = model(input_ids=ids, attention_mask=mask, **labels).loss
    if "start_positions" not in labels:
        assert loss.isfinite()
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
