"""Profiles: which rows run, on which models and data. The only reader of `profiles/*.yaml`; it needs no torch.

A row is one model on one data set. Its `id` names it everywhere: in the profile, in the Snakefile, in the notebook, in
the results and in the figures. A value that a field cannot have is one line, before anything is loaded.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from avss import mini, selection
from avss.errors import InputError
from avss.files import ROOT
from avss.methods.catalogue import METHODS
from avss.printed import lines_of_table_1
from avss.reading import Reading
from avss.strict_yaml import read_yaml
from avss.tasks.catalogue import PROMPTS, TASKS

# The names that model families give their number of blocks.
_DEPTHS = ("num_hidden_layers", "n_layers", "n_layer")
_NAME = r"[a-z0-9][a-z0-9._-]{0,79}"
_SECTIONS = ("models", "data", "defaults", "rows")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _different(values: tuple) -> tuple:
    if not values or len(set(values)) < len(values):
        raise ValueError("an entry is missing or stands twice")
    return values


def _known_methods(methods: tuple[str, ...]) -> tuple[str, ...]:
    unknown = set(methods) - set(METHODS)
    if unknown:
        raise InputError(f"method {min(unknown)!r} is not known; choose from {', '.join(METHODS)}")
    return methods


def _known_readings(readings: tuple[str, ...]) -> tuple[str, ...]:
    _different(tuple(Reading.parse(reading).name for reading in readings))
    return readings


def _known_rules(rules: tuple[str, ...]) -> tuple[str, ...]:
    for rule in rules:
        name, mass = selection.parse(rule)
        if name == "lowest" or (mass is not None and not 0 < mass < 1):
            raise InputError(f"selection {rule!r} is of no use; leave out `lowest`, give a mass between 0 and 1")
    return rules


def _share_or_number(remove: int | float) -> int | float:
    if not (remove >= 1 if isinstance(remove, int) else 0 < remove < 1):
        raise ValueError("out of range")
    return remove


def _shares_or_numbers(curve: tuple[int | float, ...]) -> tuple[int | float, ...]:
    return _different(tuple(map(_share_or_number, curve)))


def _described(shape: dict) -> dict:
    if not {"model_type", "architectures"} <= set(shape):
        raise ValueError("incomplete")
    return shape


def _known_line(line: str) -> str:
    known = [entry["id"] for entry in lines_of_table_1()]
    if line not in known:
        raise InputError(f"Table 1 has no line {line!r}; choose one of {', '.join(known)}")
    return line


# The descriptions end the error line of a wrong value: "...; give " and the description.
Name = Annotated[str, Field(pattern=f"^{_NAME}$", description="lower-case letters, digits, '.', '_' and '-' alone")]
Words = Annotated[
    str,
    Field(
        pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$",
        max_length=200,
        description="one line of text",
    ),
]
Place = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", description="a hub id, a path or an embedded name")]
Split = Annotated[str, Field(min_length=1, description="the name of a split")]
Commit = Annotated[str, Field(pattern=r"^[\w./-]+$", description="a commit, in quotes")]
Count = Annotated[int, Field(ge=1, description="a whole number from 1")]
Names = Annotated[tuple[str, ...], BeforeValidator(_tuple), AfterValidator(_different)]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Row:
    """One model on one data set.

    id: names the row everywhere. checkpoint, data: the model and the data to load. remove: number of layers, or share
    of them. model, dataset, title: names for readers (default: from the checkpoint and the data). stands_for: the line
    of the paper's Table 1 that this row is compared with (None: no line). calibration, evaluation: splits (None: the
    usual ones). documents: evaluation documents, the same for all methods and seeds (None: all). samples: calibration
    documents a seed. context: tokens a document (None: the task's). shots: solved examples of the calibration split
    before each evaluated question. prompt: `chat` puts all questions through the tokenizer's chat template, also those
    of calibration. seeds: 0 to seeds - 1. selections: by method, rules of `avss.selection` in addition to `lowest`,
    which every method has. curve: further numbers of layers, or shares, at which the rules `lowest` and `iterative`
    are evaluated. compensate: each removal by these rules is evaluated a second time, with the hidden state scaled
    behind the cuts. batch_size: documents at a time; it is halved when memory runs out.

    For the hub: revision, data_revision: commits (None: the newest; the results name it). data_config, where: as in
    `avss.data.load_data`. device_map, attn_implementation: as in `avss.models.load_model`. alternative: for a model
    behind a licence, an open one of the same depth. For `avss plan` alone: shape, the content of the checkpoint's
    `config.json`; tokens, the usual length of a document; data_bytes, the size of the download.
    """

    id: Name
    task: Annotated[Literal[tuple(TASKS)], Field(description=f"one of {', '.join(TASKS)}")]
    checkpoint: Place
    data: Place
    remove: Annotated[
        int | float,
        AfterValidator(_share_or_number),
        Field(description="a number of layers from 1, or a share between 0 and 1 such as 0.25"),
    ]
    model: Words = ""
    dataset: Words = ""
    title: Words = ""
    stands_for: Annotated[str, AfterValidator(_known_line)] | None = Field(
        None, description="the id of a line of avss/report/table1.csv"
    )
    calibration: Split | None = None
    evaluation: Split | None = None
    methods: Annotated[
        Names, AfterValidator(_known_methods), Field(description="a list of different names from `avss methods`")
    ] = ("avss", "random", "last", "magnitude")
    readings: Annotated[
        Names, AfterValidator(_known_readings), Field(description="a list of different readings such as paper")
    ] = ("paper",)
    selections: Annotated[
        dict[str, Annotated[Names, AfterValidator(_known_rules)]],
        Field(description="a list of different rules such as iterative for each method that has some"),
    ] = Field(default_factory=dict)
    curve: Annotated[
        tuple[int | float, ...],
        BeforeValidator(_tuple),
        AfterValidator(lambda curve: curve and _shares_or_numbers(curve)),
        Field(description="a list of different numbers of layers from 1, or shares between 0 and 1"),
    ] = ()
    compensate: Annotated[bool, Field(description="true or false")] = False
    seeds: Count = 5
    samples: Count = 512
    documents: Count | None = None
    context: Annotated[int, Field(ge=2, description="a whole number of tokens from 2")] | None = None
    shots: Annotated[int, Field(ge=0, description="a whole number of solved examples from 0")] = 0
    prompt: Annotated[Literal[PROMPTS], Field(description=f"one of {', '.join(PROMPTS)}")] = PROMPTS[0]
    batch_size: Count = 32
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], Field(description="one of float32, bfloat16, float16")
    ] = "float32"
    revision: Commit | None = None
    data_revision: Commit | None = None
    data_config: Split | None = None
    where: Annotated[
        dict[str, str | bool | int | float], Field(description="one value for each column, as `{column: value}`")
    ] = Field(default_factory=dict)
    device_map: (
        Annotated[
            Literal["auto", "balanced", "balanced_low_0", "sequential"],
            Field(description="one of auto, balanced, balanced_low_0, sequential"),
        ]
        | None
    ) = None
    attn_implementation: (
        Annotated[
            Literal["eager", "sdpa", "flash_attention_2"],
            Field(description="one of eager, sdpa, flash_attention_2"),
        ]
        | None
    ) = None
    alternative: Place | None = None
    shape: (
        Annotated[
            dict,
            AfterValidator(_described),
            Field(description="the content of config.json, with model_type and architectures"),
        ]
        | None
    ) = None
    tokens: Count | None = None
    data_bytes: Annotated[int, Field(ge=0, description="a whole number of bytes")] = 0

    @model_validator(mode="after")
    def _complete(self) -> "Row":
        others = set(self.selections) - set(self.methods)
        if others:
            raise InputError(f"selections has {min(others)!r}, which is none of its methods; give methods of the row")
        TASKS[self.task].check_prompting(self.shots, self.prompt)
        blocks = blocks_of_checkpoint(self)
        if blocks is not None:
            _removable("remove", self.remove, blocks)
            for point in self.curve:
                _removable("curve", point, blocks)
        put = object.__setattr__
        put(self, "model", self.model or self.checkpoint.rstrip("/").rsplit("/", 1)[-1])
        put(self, "dataset", self.dataset or self.data.rstrip("/").rsplit("/", 1)[-1])
        put(self, "title", self.title or f"{self.dataset}, {self.model}")
        return self


def _removable(field: str, amount: int | float, blocks: int) -> None:
    try:
        selection.count_of(amount, blocks)
    except InputError as error:
        raise InputError(f"{field} is {amount}: {error}") from None


def blocks_of_checkpoint(row: Row) -> int | None:
    """The number of blocks of a row's model, from its shape or the config in its folder; None where neither says it."""
    shape = row.shape
    if shape is None:
        place = re.sub(f"^{mini.PREFIX}", f"{mini.FOLDER}/", row.checkpoint)
        folder = Path(os.path.expanduser(os.path.expandvars(place)))
        try:
            shape = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # Loading the model says what is wrong with it.
            return None
    depths = [shape[name] for name in _DEPTHS if isinstance(shape, dict) and name in shape]
    return depths[0] if depths and type(depths[0]) is int and depths[0] > 0 else None


@dataclass(frozen=True)
class Profile:
    """A named set of rows, from a file `<name>.yaml`."""

    name: str
    rows: tuple[Row, ...]

    def row(self, row_id: str, seeds: int | None = None, revision: str | None = None) -> Row:
        """The row of this id, with so many seeds and this revision of its model (None: its own).

        Raises `InputError` for an unknown id, and for values that a row cannot have.
        """
        for row in self.rows:
            if row.id == row_id:
                given = {"seeds": seeds, "revision": revision}
                given = {name: value for name, value in given.items() if value is not None}
                return _row(asdict(row) | given, f"profile {self.name}: row {row_id}")
        raise InputError(f"profile {self.name} has no row {row_id!r}; it has {', '.join(row.id for row in self.rows)}")


def load_profile(profile: str | Path) -> Profile:
    """Read a profile.

    profile: a name such as `mini` (a file of the folder `profiles`), or the path of a YAML file. Raises `InputError`
    for a missing or damaged file, and for a field that is unknown, missing, given twice, or of a wrong value.
    """
    path = path_of(profile)
    if not re.fullmatch(_NAME, path.stem, re.IGNORECASE):
        raise InputError(f"profile {path}: its name is {path.stem!r}; give letters, digits, '.', '_' and '-' alone")
    content = read_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list) or not content["rows"]:
        raise InputError(f"{path} is not a profile; it needs a list of rows, as profiles/mini.yaml has")
    unknown = [section for section in content if section not in _SECTIONS]
    if unknown:
        raise InputError(f"{path}: {unknown[0]!r} is no section of a profile; choose from {', '.join(_SECTIONS)}")
    defaults = content.get("defaults", {})
    if not isinstance(defaults, dict):
        raise InputError(f"{path}: defaults is {defaults!r}; give fields of a row, or leave it out")
    rows = []
    for number, entry in enumerate(content["rows"], 1):
        if not isinstance(entry, dict):
            raise InputError(f"{path}: row {number} is {entry!r}; give fields such as id, task, checkpoint and data")
        rows.append(_row(defaults | entry, f"{path}: row {entry.get('id', number)}"))
    _once(path, "id", [row.id for row in rows])
    _once(path, "stands_for", [row.stands_for for row in rows if row.stands_for])
    return Profile(path.stem, tuple(rows))


def path_of(profile: str | Path) -> Path:
    """The file of a profile, by its name or path. Raises `InputError` where there is none."""
    path = Path(profile)
    if path.suffix not in (".yaml", ".yml"):
        path = next((file for file in _named(f"{profile}.yaml") if file.is_file()), Path("profiles", f"{profile}.yaml"))
    if not path.is_file():
        known = sorted({file.stem for folder in _named("") for file in folder.glob("*.yaml")})
        raise InputError(f"profile {path} does not exist; give a YAML file, or one of {', '.join(known)}")
    return path


def _named(name: str) -> list[Path]:
    return [Path("profiles", name), ROOT / "profiles" / name]


def _row(values: dict, where: str) -> Row:
    """A row of these values, or `InputError` with the first field that is wrong."""
    known = {field.name: field for field in fields(Row)}
    for name in values:
        if name not in known:
            raise InputError(f"{where}: {name!r} is no field of a row; choose from {', '.join(known)}")
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{where}: {name} is missing; give {_asked(name)}")
    try:
        return Row(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        reason = problem.get("ctx", {}).get("error")
        name = problem["loc"][0] if problem["loc"] else ""
        if isinstance(reason, InputError):
            raise InputError(f"{where}: {f'{name} is {_short(values[name])}: ' if name else ''}{reason}") from error
        raise InputError(f"{where}: {name} is {_short(values[name])}; give {_asked(name)}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _asked(name: str) -> str:
    """The description of a field, also where it is that of its type."""
    schema = Row.__pydantic_fields__[name]
    return schema.description or _description(schema.annotation)


def _description(annotation: Any) -> str:
    for part in (*getattr(annotation, "__metadata__", ()), *getattr(annotation, "__args__", ())):
        found = getattr(part, "description", None) or _description(part)
        if found:
            return found
    return ""


def _once(path: Path, field: str, values: Sequence[str]) -> None:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise InputError(f"{path}: row {twice[0]}: {field} is {twice[0]!r} in two rows; give each row its own")
