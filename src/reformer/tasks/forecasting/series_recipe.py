"""Recipe fields of the data of forecasting."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from reformer.data.date_forms import NAMED_FORMATS
from reformer.recipe import AtLeastOne, DataRecipe

Dst = Literal["first", "shift", "utc"]


class SeriesDataRecipe(DataRecipe, frozen=True):
    """Time series to forecast."""

    deprecated_names: ClassVar[Mapping[str, str]] = {"horizon": "prediction_length", "season": "season_length"}

    encoding: str | None = Field(None, description="the files' encoding, such as gb18030 or utf-16; none: utf-8")
    header: bool = Field(
        True,
        description="whether the first line of a table names its columns, which are called 1, 2, ... otherwise",
    )
    date_columns: list[str] | None = Field(
        None,
        description="the column of dates, or those of year, month, day, hour, minute; none: the first that begins with "
        "a date",
    )
    columns: list[str] | None = Field(None, description="the columns to predict; none: all that begin with a number")
    known_columns: list[str] = Field(
        [],
        description="columns that are known ahead, such as a price or a holiday: numbers, or texts, which are "
        "categories; a forecast needs their values at its steps",
    )
    static_columns: list[str] = Field(
        [], description="of a table in long form, columns that are the same in all rows of a series, such as its region"
    )
    categorical_columns: list[str] = Field(
        [], description="those of known_columns and static_columns whose numbers are categories"
    )
    series_column: str | None = Field(
        None,
        description="of a table in long form (unique_id, ds, y), the column that names the series of each row; none: "
        "found where dates come again",
    )
    date_format: str | None = Field(
        None,
        description="day-first, month-first, year-first, excel, epoch, or a pattern such as %d.%m.%Y; none: the cells "
        "tell",
    )
    decimal: Literal[".", ","] | None = Field(
        None,
        description="what stands before the decimals of a number; none: a point, or a comma where the cells of a table "
        "that is separated by something else tell so",
    )
    dst: Dst | None = Field(
        None,
        description="an hour that is there twice since the clocks went back: first leaves its second rows out; shift "
        "and utc count the time that has passed, and write further dates by the last clock or by the first; none: an "
        "error that names the hour",
    )
    gaps: Literal["missing", "fill", "refuse"] = Field(
        "missing",
        description="steps without a number: missing values, the number before again, or an error that names the first",
    )
    context_length: AtLeastOne = Field(description="the number of past steps to predict from", examples=[1024])
    prediction_length: AtLeastOne = Field(description="the number of steps to predict", examples=[96])
    season_length: AtLeastOne = Field(
        1,
        description="the steps of a season, such as 24 for hours; MASE compares errors with those of repeating the "
        "last season, or with 1 the last value",
    )
    intervals: Literal["conformal", "model"] = Field(
        "conformal",
        description="the quantiles that are forecast: those of the model shifted so that on the validation part they "
        "cover what they promise, or those of the model as they are",
    )
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="how much of the series' end to report on; none: nothing, or the test file"
    )

    @field_validator("date_format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        if value is not None and value not in NAMED_FORMATS and "%" not in value:
            raise ValueError(f"expected {', '.join(NAMED_FORMATS)}, or a pattern such as %d.%m.%Y")
        return value

    @model_validator(mode="after")
    def _one_of_each(self) -> "SeriesDataRecipe":
        own = ("date_columns", "date_format", "series_column", "decimal", "dst", "known_columns", "static_columns")
        given = [name for name in own if getattr(self, name)]
        if not self.header:
            given.append("header")
        if self.source is not None and given:
            raise ValueError(f"a source has its own dates; leave out {', '.join(given)}")
        covariates = [*self.known_columns, *self.static_columns]
        twice = [name for name in covariates if [*covariates, *(self.columns or ())].count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} is named twice; name it in one of columns, known_columns, static_columns")
        numbered = [name for name in self.categorical_columns if name not in covariates]
        if numbered:
            raise ValueError(
                f"categorical_columns has {numbered[0]!r}, and neither known_columns nor static_columns has it; "
                "name it there, too"
            )
        if self.date_columns is not None and len(self.date_columns) > 1 and self.date_format is not None:
            raise ValueError("date_format is of one column of dates, and date_columns names several")
        if self.test is not None and self.test_fraction is not None:
            raise ValueError("test and test_fraction: give one of them")
        return self
