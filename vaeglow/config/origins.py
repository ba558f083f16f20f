"""Which line of which file sets a value of a run: the config with places is merged and resolved as the plain one is."""

from typing import Any, BinaryIO

import yaml

from vaeglow.files import Facts


class Placed:
    """What is added to a value: `file`, `line` and the `path` of keys that lead to it there."""

    file = ""
    line = 0
    path = ""


class Null(Placed):
    """Stands for None, which cannot have attributes."""

    def __eq__(self, other: object) -> bool:
        """It equals None."""
        return other is None or isinstance(other, Null)

    __hash__ = None


# A bool becomes a number that equals it.
WITH_PLACE = {kind: type(f"Placed{kind.__name__}", (Placed, kind), {}) for kind in (int, float, str, list)}


def placed(value: Any) -> Any:
    """The same value, of a type that can say its place."""
    if value is None:
        return Null()
    kind = int if isinstance(value, bool) else type(value)
    return WITH_PLACE[kind](value) if kind in WITH_PLACE else value


def read_placed(file: BinaryIO) -> Any:
    """A YAML file as `yaml.safe_load` reads it, each value with the line of its key; a list is one value."""
    loader = yaml.SafeLoader(file)
    root = loader.get_single_node()
    return with_places(loader, root, file.name, 0, "") if root else None


def with_places(loader: yaml.SafeLoader, node: yaml.Node, file: str, line: int, path: str) -> Any:
    """What a node says; `line` is that of its key, `path` the keys that lead to it, with dots."""
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)  # `<<`
        values: Facts = {}
        for key_node, inner in node.value:
            key = loader.construct_object(key_node)
            values[key] = with_places(loader, inner, file, key_node.start_mark.line + 1, f"{path}.{key}".lstrip("."))
        return values
    value = placed(loader.construct_object(node, deep=True))
    if isinstance(value, Placed):
        value.file = file
        value.line = line
        value.path = path
    return value


def flat(values: Facts, above: str = "") -> Facts:
    """`{"training.learning_rate": 0.1}` of `{"training": {"learning_rate": 0.1}}`."""
    pairs: Facts = {}
    for key, value in values.items():
        inner = flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
        pairs |= inner
    return pairs


def entry_of(value: Placed, key: str) -> str:
    """The path of the entry that sets a key of a resolved config: `presets.cpu.models.vae` of its training.epochs."""
    inside = key.split(".")
    path = value.path.split(".")
    while path and inside and path[-1] == inside[-1]:
        path.pop()
        inside.pop()
    return ".".join(path)
