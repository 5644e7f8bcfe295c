"""Groups of a document's tokens that stand in the question: against a search in lists, and under padding."""

import random

import torch

from reformer.nn import QuestionMatches

END, OTHER_END = 7, 8
SIZES = (1, 2, 3)


def _searched(ids):
    """What the definition says, token by token."""
    border = next((place for place, each in enumerate(ids) if each in (END, OTHER_END)), len(ids))
    question, found = ids[:border], []
    stands = {size: {tuple(question[at : at + size]) for at in range(border - size + 1)} for size in SIZES}
    for place in range(len(ids)):
        ended = [
            place - size + 1 >= border and tuple(ids[place - size + 1 : place + 1]) in stands[size] for size in SIZES
        ]
        begun = [place >= border and tuple(ids[place : place + size]) in stands[size] for size in SIZES]
        found.append([place < border, *ended, *begun])
    return found


def test_they_are_those_that_a_search_finds_wherever_padding_stands():
    draw = random.Random(0)
    texts = [[draw.randrange(9) for _ in range(draw.randrange(1, 30))] for _ in range(40)]
    texts += [[1, 2, 3], [END], [1, 2, END], [END, 1, 2], [5, 5, END, 5, 5, 5], [1, OTHER_END, 1, END, 1]]
    layer = QuestionMatches(SIZES, 1 + 2 * len(SIZES))
    torch.nn.init.eye_(layer.projection.weight)
    ids, mask = torch.randint(0, 9, (len(texts), 40)), torch.zeros(len(texts), 40, dtype=torch.bool)
    for number, text in enumerate(texts):
        places = sorted(draw.sample(range(40), len(text)))
        ids[number, places], mask[number, places] = torch.tensor(text), True
    found = layer(ids, mask, [END, OTHER_END])
    assert found[mask].bool().tolist() == [row for text in texts for row in _searched(text)]
    assert not found[~mask].any()


def test_a_group_longer_than_the_sequence_stands_nowhere():
    layer = QuestionMatches((4, 90), 4)
    ids = torch.tensor([[1, 2, END, 1, 2]])
    assert not layer.found(ids, torch.ones(1, 5, dtype=torch.bool), [END])[..., 1:].any()
