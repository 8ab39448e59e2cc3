"""A reading: every choice that the paper's equations leave open, as one explicit object.

The choices are ours and the paper's text does not fix them. `paper` follows the text as closely as it can be read,
`released-code` follows what the authors' scripts do.
"""

from dataclasses import asdict, dataclass, fields, replace

from avss.errors import InputError, look_up

CHOICES = {
    "site": ("block_output", "block_update", "attention_output", "mlp_output", "mlp_hidden"),
    "population": ("elements", "features", "pooled_tokens", "unit_means"),
    "tokens": ("all", "after_first"),
    "ddof": (0, 1),
    "padding": ("excluded", "included"),
    "zero_sparsity": ("resolution", "error"),
}


@dataclass(frozen=True)
class Reading:
    """How Eqs. 1 and 4 are applied to a running transformer.

    site: which activation of a block counts. population: the numbers that Eqs. 1 and 4 are taken over.

    - `elements`: the features of all tokens.
    - `features`: Eq. 1 takes the variance over tokens of each feature, then the mean over the features. Eq. 4 counts
      elements.
    - `pooled_tokens`: Eq. 1 averages each document over its tokens, takes the variance over the features, then the
      mean over the documents. Eq. 4 counts elements.
    - `unit_means`: each feature (hidden unit) is averaged over all tokens of all documents. Both equations are taken
      over these averages, one a unit.

    tokens: `all`, or `after_first`, where the first token of each document does not count, on whichever side the
    padding is. ddof: 0 as printed or 1 (unbiased). epsilon: the threshold of Eq. 4, a number or `quantile:q`, the
    q-quantile of abs(a) over all layers together. padding: whether padding positions count. zero_sparsity: S = 0 is
    replaced by 1/N (with a warning), or is an error.

    Raises `InputError` for a value that is not among these.
    """

    site: str = "block_output"
    population: str = "elements"
    tokens: str = "all"
    ddof: int = 0
    epsilon: float | str = 0.01
    padding: str = "excluded"
    zero_sparsity: str = "resolution"

    def __post_init__(self):
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            # True is 1 and 1.0 is 1, but their names would not read back.
            if isinstance(value, bool | float) or value not in choices:
                raise InputError(f"reading: {name} is {value!r}; choose one of {', '.join(map(str, choices))}")
        if isinstance(self.epsilon, str):
            share = self.quantile
            if share is None or not 0 < share < 1:
                raise InputError(
                    f"reading: epsilon is {self.epsilon!r}; give a number above 0 or 'quantile:q' with 0 < q < 1"
                )
        elif (
            isinstance(self.epsilon, bool)
            or not isinstance(self.epsilon, int | float)
            or not 0 < self.epsilon < float("inf")
        ):
            raise InputError(f"reading: epsilon is {self.epsilon!r}; give a finite number above 0, for instance 0.01")

    @property
    def quantile(self) -> float | None:
        """q where epsilon is `quantile:q`, else None."""
        prefix, _, number = str(self.epsilon).partition(":")
        try:
            return float(number) if prefix == "quantile" else None
        except ValueError:
            return None

    @property
    def name(self) -> str:
        """The preset's name, or `paper` with the fields that differ, as `Reading.parse` reads it."""
        for name, preset in PRESETS.items():
            if self == preset:
                return name
        paper, own = asdict(PRESETS["paper"]), asdict(self)
        return ",".join(["paper", *(f"{key}={own[key]}" for key in own if own[key] != paper[key])])

    @classmethod
    def parse(cls, text: "str | Reading") -> "Reading":
        """A preset's name, optionally followed by changes: `paper`, `paper,epsilon=1e-3,site=block_update`.

        Raises `InputError` for an unknown preset, field or value, and for a field that is named twice.
        """
        if isinstance(text, Reading):
            return text
        if not isinstance(text, str):
            raise InputError(f"reading is {text!r}; give a preset's name: {', '.join(PRESETS)}")
        name, *changes = (part.strip() for part in text.split(","))
        reading = look_up("reading", name, PRESETS)
        changed = set()
        for change in changes:
            key, separator, value = change.partition("=")
            if not separator or key not in {field.name for field in fields(cls)}:
                known = ", ".join(field.name for field in fields(cls))
                raise InputError(f"reading: {change!r} is not field=value with a field of {known}")
            if key in changed:
                raise InputError(f"reading: {key} is named twice in {text!r}; name each field once")
            changed.add(key)
            reading = replace(reading, **{key: _number(key, value)})
        return reading


def _number(key: str, value: str) -> float | int | str:
    if key not in ("ddof", "epsilon") or value.startswith("quantile:"):
        return value
    try:
        return int(value) if key == "ddof" else float(value)
    except ValueError:
        raise InputError(f"reading: {key} is {value!r}, which is not a number") from None


PRESETS = {
    "paper": Reading(),
    "released-code": Reading(population="pooled_tokens", ddof=1, epsilon=1e-5, padding="included"),
}
