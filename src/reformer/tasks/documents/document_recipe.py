"""Recipe of a task over labelled documents."""

from pydantic import Field

from reformer.recipe import Recipe
from reformer.tasks.document_splits import JoinedTextDataRecipe


class DocumentDataRecipe(JoinedTextDataRecipe, frozen=True):
    """Labelled documents."""

    label_column: str | None = Field(None, description="the column that has the label; none: label")

    @property
    def columns(self) -> tuple[str, str | None]:
        return self.text_column or "text", self.label_column or "label"


class DocumentRecipe(Recipe, frozen=True):
    """Recipe of a task over labelled documents."""

    data: DocumentDataRecipe
