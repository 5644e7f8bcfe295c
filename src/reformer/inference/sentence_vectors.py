"""Module for sentence-transformers, which pools the streams of a model here into one vector a text."""

from sentence_transformers.base.modules.transformer import (  # pyright: ignore[reportMissingImports]
    Transformer as SentenceModule,
)


class StreamsModule(SentenceModule):
    """sentence-transformers' module of a model of transformers, told how wide the output of a model here is.

    That is the width of all residual streams together, `output_size`, where sentence-transformers takes `hidden_size`,
    the width of one. The folder is of a bare `ReformerModel`; `run.model.base_model.save_pretrained(FOLDER)` and
    `run.tokenizer.save_pretrained(FOLDER)` write that of a run.

    >>> module = StreamsModule(FOLDER)  # doctest: +SKIP
    >>> pooling = Pooling(module.get_embedding_dimension(), "mean")  # doctest: +SKIP
    >>> SentenceTransformer(modules=[module, pooling]).encode(["今天天气很好。"])  # doctest: +SKIP
    """

    def get_embedding_dimension(self) -> int:
        """The width of a token's vector, and so of the pooled one."""
        return int(self.model.config.output_size)
