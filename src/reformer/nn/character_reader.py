"""Character reader: a vector for each character of a text, from the vectors of its pieces."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

PLACES = 4
"""Places of a character in its piece that are told apart; those further in count as the last one."""


class CharacterReader(nn.Module):
    """`gelu(conv(norm(h(piece) + e(character) + p(place in the piece))))` for each character.

    Pieces stay in the encoder, which was trained with them, and labels are of characters: so what is labelled may begin
    or end within a piece.

    Args:
        size: the width of the pieces' vectors.
        embedding_size: the width of the characters' own vectors; projected where it is another one.
        eps: of the layer norm.
        kernel: how many characters the convolution sees, an odd number.
    """

    def __init__(self, size: int, embedding_size: int, eps: float = 1e-6, kernel: int = 5) -> None:
        super().__init__()
        self.project = None if embedding_size == size else nn.Linear(embedding_size, size, bias=False)
        self.places = nn.Embedding(PLACES, size)
        self.norm = nn.LayerNorm(size, eps=eps)
        self.convolution = nn.Conv1d(size, size, kernel, padding=kernel // 2)

    def forward(
        self,
        pieces: Float[Tensor, "batch length size"],
        piece_of: Int[Tensor, "batch characters"],
        characters: Float[Tensor, "batch characters width"],
        places: Int[Tensor, "batch characters"],
    ) -> Float[Tensor, "batch characters size"]:
        """A vector for each character.

        Args:
            pieces: the vectors of the pieces.
            piece_of: the index of each character's piece; -1 behind the end of a text, where padding is.
            characters: each character's own vector.
            places: its place in its piece, from 0.
        """
        real = (piece_of >= 0)[..., None]
        own = characters if self.project is None else self.project(characters)
        index = piece_of.clamp_min(0)[..., None].expand(-1, -1, pieces.shape[-1])
        vectors = pieces.gather(1, index) + own + self.places(places.clamp(0, PLACES - 1))
        vectors = self.norm(vectors).masked_fill(~real, 0)
        made = self.convolution(vectors.transpose(1, 2)).transpose(1, 2)
        return torch.nn.functional.gelu(made)
