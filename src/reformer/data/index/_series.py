"""The data sets that are series: their tables, and which columns to read."""

from dataclasses import dataclass

from reformer.data.errors import DataError
from reformer.data.index._archive import fetch
from reformer.data.index._registry import data_set
from reformer.data.readers._series import read_series
from reformer.data.series import Series


@dataclass(frozen=True)
class _Table:
    date_columns: tuple[str, ...]
    columns: tuple[str, ...]


TABLES = {
    "electricity": _Table(("ts",), ("y",)),
    "beijing-air": _Table(("year", "month", "day", "hour"), ("pm2.5", "DEWP", "TEMP", "PRES", "Iws")),
    "bike-counts": _Table(("ts",), ("count",)),
    "road-traffic": _Table(("ts",), ("y",)),
}


def load_series(name: str, *, columns: tuple[str, ...] | None = None) -> Series:
    """The series of a data set, fetched first when it is not here.

    - `electricity`: the hourly load of one consumer, 2012 to 2014.
    - `beijing-air`: hourly particulate matter, dew point, temperature, pressure and wind in Beijing, 2010 to 2014.
    - `bike-counts`: hourly rides of a bike sharing service, 2010 to 2019.
    - `road-traffic`: the hourly occupancy of a road near San Francisco, 2015 and 2016.

    Raises `DataError` for a name or a column there is not, and for a data set that is no series.
    """
    entry = data_set(name)
    if name not in TABLES:
        raise DataError(None, None, f"the data set {name!r} is no series", f"use one of {', '.join(TABLES)}")
    table = TABLES[name]
    [member] = entry.members
    path = fetch(name) / member.name
    return read_series(path, date_columns=table.date_columns, columns=columns or table.columns)
