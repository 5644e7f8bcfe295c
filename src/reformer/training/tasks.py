"""The tasks there are, by the name that a recipe gives."""

from reformer.training.document_tasks import SequenceClassification, TokenClassification
from reformer.training.forecasting import Forecasting
from reformer.training.image_classification import ImageClassification
from reformer.training.image_to_text import ImageToText
from reformer.training.language_modelling import LanguageModelling
from reformer.training.masked_language_modelling import MaskedLanguageModelling
from reformer.training.material import Task
from reformer.training.question_answering import QuestionAnswering
from reformer.training.text_to_text import TextToText

TASKS: dict[str, Task] = {
    "token-classification": TokenClassification(),
    "sequence-classification": SequenceClassification(),
    "language-modelling": LanguageModelling(),
    "masked-language-modelling": MaskedLanguageModelling(),
    "question-answering": QuestionAnswering(),
    "text-to-text": TextToText(),
    "forecasting": Forecasting(),
    "image-classification": ImageClassification(),
    "image-to-text": ImageToText(),
}
