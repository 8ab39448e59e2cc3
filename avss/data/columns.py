"""The columns of a data set by name or by path: the text, the labels, and fields inside of a column.

A path such as `meta.title` means the field `title` of what the column `meta` holds. A column that has the whole path as
its name comes first.
"""

import warnings

from datasets import Dataset

from avss.errors import InputError, first_of


def holds(dataset: Dataset, path: str) -> bool:
    """Whether there is a column of this name, or a column with such a field in at least one row."""
    if path in dataset.column_names:
        return True
    column, *inner = path.split(".")
    if not inner or column not in dataset.column_names:
        return False
    return any(_reaches(entry, inner) for entry in dataset[column][:])


def values_at(dataset: Dataset, path: str) -> list:
    """What each row has at a path, None where a row lacks the field. The data set `holds` the path."""
    if path in dataset.column_names:
        return dataset[path][:]
    column, *inner = path.split(".")
    held = dataset[column][:]
    for field in inner:
        held = [entry.get(field) if isinstance(entry, dict) else None for entry in held]
    return held


def _reaches(entry: object, inner: list[str]) -> bool:
    for field in inner:
        if not isinstance(entry, dict) or field not in entry:
            return False
        entry = entry[field]
    return True


def listed(dataset: Dataset) -> str:
    """The names of the columns, with the fields of those that hold some, for an error message."""
    names = []
    for column, feature in dataset.features.items():
        names += [f"{column}.{field}" for field in feature] if isinstance(feature, dict) else [column]
    return first_of(names)


def usable_rows(
    dataset: Dataset, columns: tuple[str, ...], column: str | None, name: str = "data"
) -> tuple[Dataset, str]:
    """The rows whose text is not blank, and the name of the text column.

    Rows whose text is blank, or is no text (None, a number), are left out with a warning that counts them.

    columns: where the text may be, in order of preference; column: the user's own choice, a name or a path such as
    `meta.title`, which becomes a column of its own. Raises `InputError` where there is no such column, or no row with
    text.
    """
    candidates = (column,) if column else columns
    chosen = next((known for known in candidates if holds(dataset, known)), None)
    if chosen is None:
        raise InputError(
            f"{name} has no column {' or '.join(candidates)}; it has {listed(dataset)}: "
            f"name the one that holds the text (--column)"
        )
    texts = values_at(dataset, chosen)
    if chosen not in dataset.column_names:
        dataset = dataset.add_column(chosen, [text if isinstance(text, str) else None for text in texts])
    keep = [index for index, text in enumerate(texts) if isinstance(text, str) and text.strip()]
    if not keep:
        raise InputError(f"{name} has no usable rows: column {chosen} holds no text in any of {len(dataset)} rows")
    if len(keep) == len(dataset):
        return dataset, chosen
    left_out = [index for index, text in enumerate(texts) if not (isinstance(text, str) and text.strip())]
    blank = sum(isinstance(texts[index], str) for index in left_out)
    warnings.warn(
        f"{len(left_out)} of {len(dataset)} rows of {name} are left out: column {chosen} is blank in {blank} of them "
        f"and holds no text in {len(left_out) - blank} (the first is row {left_out[0] + 1})",
        stacklevel=2,
    )
    return dataset.select(keep), chosen


def labelled_by(dataset: Dataset, column: str, name: str = "data") -> Dataset:
    """The same rows with the labels of this column, a name or a path, as the column `label`; another one goes.

    Raises `InputError` where there is no such column.
    """
    if not holds(dataset, column):
        raise InputError(f"{name} has no column {column} to take labels from; it has {listed(dataset)}")
    if column == "label":
        return dataset
    # Read first, as the labels may lie inside of the column that goes.
    values = None if column in dataset.column_names else values_at(dataset, column)
    if "label" in dataset.column_names:
        dataset = dataset.remove_columns("label")
    # Renamed and not copied, so that the names of its classes stay.
    return dataset.rename_column(column, "label") if values is None else dataset.add_column("label", values)
