"""The labels of data to the classes of a model: by name where both sides have names, by number otherwise."""

import re
import warnings
from collections.abc import Sequence

from datasets import ClassLabel, Dataset

from avss.errors import InputError

POLARITY = ("negative", "positive")
SHORT = {"neg": "negative", "pos": "positive"}
TRUTH = {"false": 0, "true": 1}


def class_names(model) -> list[str]:
    """The names of a classifier's classes, in order.

    Raises `InputError` for a head that does not choose one of several classes.
    """
    config, count = model.config, model.config.num_labels
    if count < 2 or config.problem_type in ("regression", "multi_label_classification"):
        raise InputError(
            f"task sentiment needs a model that chooses one of at least two classes, and {type(model).__name__} has "
            f"num_labels {count} and problem_type {config.problem_type}; give a model trained for classification"
        )
    return [str(config.id2label.get(index, f"LABEL_{index}")) for index in range(count)]


def with_classes(dataset: Dataset, names: Sequence[str], *, measured: bool) -> tuple[Dataset, list[int], bool]:
    """The rows that have a label, the class of the model that each names, and whether names decided.

    names: the model's classes. Labels are names (text, or the names of a `ClassLabel` column) or numbers (whole
    numbers, also as 1.0, "1", "LABEL_1" or true). Names decide where both sides have them, whatever their case, and
    `neg` and `pos` are negative and positive. Numbers are the model's own classes; they mean 0 negative and 1 positive
    where its classes have these names. Rows whose label is None, NaN, empty or -1 have no label; they are left out with
    a warning that counts them. measured: whether an accuracy rests on the rows; then the labels 0 and 1 alone are not
    taken for classes of a model that has more than two. Raises `InputError` where no row has a label, where a label is
    no class, and where names or numbers of classes do not match.
    """
    if "label" not in dataset.column_names:
        raise InputError(f"task sentiment needs a column label; the data has {', '.join(dataset.column_names)}")
    given = dataset["label"][:]
    labels = [_read(label) for label in given]
    keep = [index for index, label in enumerate(labels) if label is not None]
    if not keep:
        raise InputError(
            f"no usable rows: column label holds no class from 0 to {len(names) - 1} "
            f"(its first value is {given[0]!r}); give a split with labels"
        )
    if len(keep) < len(labels):
        warnings.warn(
            f"{len(labels) - len(keep)} of {len(labels)} rows are left out: they have no label "
            f"(the first is row {next(index for index, label in enumerate(labels, 1) if label is None)})",
            stacklevel=4,
        )
    labels = [labels[index] for index in keep]
    feature = dataset.features["label"]
    own = feature.names if isinstance(feature, ClassLabel) else None
    classes = _by_name(labels, own, names)
    by_name = classes is not None
    if classes is None:
        classes = _by_number(labels, names)
        _check_count(classes, own, names, measured)
    elif own is not None and classes != labels:
        warnings.warn(
            f"labels are matched by name, as the data has {', '.join(own)} in this order and the model "
            f"{', '.join(names)}",
            stacklevel=4,
        )
    return dataset.select(keep), classes, by_name


def _read(label: object) -> object:
    """A label as an int or a text, None if the row has none."""
    if isinstance(label, str):
        label = label.strip()
    elif isinstance(label, bool) or (isinstance(label, float) and label.is_integer()):
        label = int(label)
    missing = label is None or label == "" or label != label or _number(label) == -1
    return None if missing else label


def _plain(name: object) -> str:
    text = str(name).strip().casefold()
    return SHORT.get(text, text)


def _number(label: object) -> int | None:
    if isinstance(label, str):
        written = re.fullmatch(r"(?:label[_ ]?)?(-?\d{1,9})(?:\.0*)?", _plain(label))
        return int(written[1]) if written else TRUTH.get(_plain(label))
    return label if isinstance(label, int) else None


def _numbered(names: Sequence[str]) -> bool:
    """Whether the names only repeat the numbers, as LABEL_0 and LABEL_1 do."""
    return all(re.fullmatch(rf"(label[_ ]?)?{index}", _plain(name)) for index, name in enumerate(names))


def _by_name(labels: list, own: Sequence[str] | None, names: Sequence[str]) -> list[int] | None:
    """The classes by their names; None if one side has only numbers."""
    index = {_plain(name): number for number, name in enumerate(names)}
    if len(index) < len(names):
        raise InputError(f"two classes of the model have one name ({', '.join(names)}); mend id2label in its config")
    if own is not None:
        if _numbered(own) or _numbered(names):
            return None
        if len(own) != len(names) or set(map(_plain, own)) != set(index):
            raise _unlike(own, names)
        return [index[_plain(own[label])] for label in _by_number(labels, own)]
    if _numbered(names):
        if len(names) == len(POLARITY):
            index |= {name: number for number, name in enumerate(POLARITY)}
        if not all(isinstance(label, str) for label in labels):
            return None
    found = [index.get(_plain(label)) for label in labels]
    return None if None in found else found


def _by_number(labels: list, names: Sequence[str]) -> list[int]:
    without = [label for label in labels if _number(label) is None]
    if any(isinstance(label, str) for label in without):
        raise _unlike(sorted(set(map(str, labels))), names)
    wrong = without or [label for label in labels if not 0 <= _number(label) < len(names)]
    if wrong:
        raise InputError(
            f"column label holds {wrong[0]!r} in {labels.count(wrong[0])} of {len(labels)} rows, and that is no class "
            f"from 0 to {len(names) - 1} ({', '.join(names)}); give a model and data of the same classes"
        )
    return [_number(label) for label in labels]


def _check_count(classes: list[int], own: Sequence[str] | None, names: Sequence[str], measured: bool) -> None:
    """Raises `InputError` where numbers without names may mean other classes than the model's."""
    if own is not None and len(own) != len(names):
        raise _unlike(own, names)
    unnamed = own is None or _numbered(own)
    if measured and own is None and len(names) > 2 and max(classes) < 2:
        raise InputError(
            f"the labels of the data are 0 and 1 alone, and the model has {len(names)} classes ({', '.join(names)}); "
            f"give a model of two classes, or labels that are names"
        )
    if unnamed and [_plain(name) for name in names] == [*reversed(POLARITY)]:
        raise InputError(
            f"the model's classes are 0 {names[0]} and 1 {names[1]}, and the labels of the data are numbers without "
            f"names, of which 1 may mean positive; give labels that are names"
        )


def _unlike(own: Sequence[str], names: Sequence[str]) -> InputError:
    return InputError(
        f"the labels of the data are {', '.join(own[:5])} ({len(own)}) and the classes of the model are "
        f"{', '.join(names[:5])} ({len(names)}); give a model and data of the same classes"
    )
