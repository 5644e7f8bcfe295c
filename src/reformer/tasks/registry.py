"""The tasks there are, by the name that a recipe gives."""

from reformer.tasks.base import Task
from reformer.tasks.documents.multi_label_classification import MultiLabelClassification
from reformer.tasks.documents.sequence_classification import SequenceClassification
from reformer.tasks.documents.token_classification import TokenClassification
from reformer.tasks.forecasting.task import Forecasting
from reformer.tasks.images.captioning import ImageToText
from reformer.tasks.images.classification import ImageClassification
from reformer.tasks.language_modelling import LanguageModelling
from reformer.tasks.masked_language_modelling import MaskedLanguageModelling
from reformer.tasks.question_answering.task import QuestionAnswering
from reformer.tasks.text_to_text import TextToText

TASKS: dict[str, Task] = {
    "token-classification": TokenClassification(),
    "sequence-classification": SequenceClassification(MultiLabelClassification()),
    "language-modelling": LanguageModelling(),
    "masked-language-modelling": MaskedLanguageModelling(),
    "question-answering": QuestionAnswering(),
    "text-to-text": TextToText(),
    "forecasting": Forecasting(),
    "image-classification": ImageClassification(),
    "image-to-text": ImageToText(),
}
