"""What a network is made of: one small class a kind of layer, as the files in networks/ have them.

A convolution is a cross-correlation with zeros around. max_pool rounds up and pads with nothing that could win, as the
original's: a window at the border takes the maximum of what lies inside, and none begins behind the last cell
(clauses pooled-length.ceil and pooled-length.last). lrn divides by (k + alpha / size * sum of squares of `size`
neighbouring channels) ^ beta. scale multiplies by a number that is never learned. fire is SqueezeNet's module: 1 x 1 to
`squeeze` channels and ReLU; from these 1 x 1 and 3 x 3 (padded by 1) to `expand` channels each, ReLU, and the two side
by side. dropout multiplies by what it is given.
"""

from dataclasses import MISSING, dataclass, fields


@dataclass(frozen=True)
class Conv:
    name: str
    out: int
    kernel: int
    stride: int = 1
    pad: int = 0
    groups: int = 1


@dataclass(frozen=True)
class ReLU:
    pass


@dataclass(frozen=True)
class MaxPool:
    kernel: int
    stride: int
    pad: int = 0


@dataclass(frozen=True)
class LRN:
    size: int
    alpha: float
    beta: float
    k: float


@dataclass(frozen=True)
class Scale:
    by: float


@dataclass(frozen=True)
class Fire:
    name: str
    squeeze: int
    expand: int

    # The names are those of the weights that the Deep Compression release has.
    @property
    def squeezing(self):
        return Conv(f"{self.name}/conv1x1_1", self.squeeze, 1)

    @property
    def expanding(self):
        """The 1 x 1 and the 3 x 3 convolution, in the order in which their results are joined."""
        return (
            Conv(f"{self.name}/conv1x1_2", self.expand, 1),
            Conv(f"{self.name}/conv3x3_2", self.expand, 3, pad=1),
        )


@dataclass(frozen=True)
class FC:
    name: str
    out: int


@dataclass(frozen=True)
class Dropout:
    name: str


IN_TRUNK = {"conv": Conv, "relu": ReLU, "max_pool": MaxPool, "lrn": LRN, "scale": Scale, "fire": Fire}
IN_HEAD = {"fc": FC, "relu": ReLU, "dropout": Dropout}

# The least value of each whole number; a pad may be 0.
LEAST = {"pad": 0}


def as_layer(where, table, kinds):
    """One layer of a file.

    where: what an error calls it, such as "T.toml: trunk[3]". table: as the file has it, "kind" and the fields.
    kinds: IN_TRUNK or IN_HEAD.

    Raises ValueError that begins with `where`.

    >>> as_layer("head[0]", {"kind": "fc", "name": "fc6", "out": 4096}, IN_HEAD)
    FC(name='fc6', out=4096)
    """
    if not isinstance(table, dict) or table.get("kind") not in kinds:
        raise ValueError(f"{where} must be a table whose kind is one of {', '.join(kinds)}, got {table!r}")
    kind = kinds[table["kind"]]
    known = {field.name: field for field in fields(kind)}
    values = {key: value for key, value in table.items() if key != "kind"}
    if unknown := values.keys() - known.keys():
        raise ValueError(f"{where} ({table['kind']}) has no {min(unknown)}; its fields: {', '.join(known) or 'none'}")
    for name, field in known.items():
        if name not in values:
            if field.default is MISSING:
                raise ValueError(f"{where} ({table['kind']}) lacks {name}")
        elif not _is_right(name, values[name], field.type):
            wanted: dict = {
                str: "a name",
                int: f"a whole number of at least {LEAST.get(name, 1)}",
                float: "a number above 0",
            }
            raise ValueError(f"{where}: {name} must be {wanted[field.type]}, got {values[name]!r}")
    layer = kind(**values)
    # torch takes no more, and a window of padding alone has no maximum.
    if isinstance(layer, MaxPool) and layer.pad > layer.kernel // 2:
        raise ValueError(f"{where}: pad must be at most half of kernel, {layer.kernel}, got {layer.pad}")
    if isinstance(layer, LRN) and layer.size % 2 == 0:
        raise ValueError(f"{where}: size must be odd, as many channels on either side, got {layer.size}")
    return layer


def _is_right(name, value, wanted):
    if wanted is str:
        return isinstance(value, str) and value != ""
    if isinstance(value, bool):
        return False
    if wanted is int:
        return isinstance(value, int) and value >= LEAST.get(name, 1)
    return isinstance(value, int | float) and 0 < value < float("inf")
