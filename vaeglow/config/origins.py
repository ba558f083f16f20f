"""Which line of which file sets a value of a run: a config with places is merged and resolved as the plain one is."""

from typing import BinaryIO

import yaml

from vaeglow.files import Facts


class Placed:
    """What is added to a value: its `file`, `line`, and the keys that lead to it there, `path`."""

    file: str
    line: int
    path: list[str]


class Null(Placed):
    """Stands for None, which cannot have attributes."""

    def __eq__(self, other: object) -> bool:
        """It equals None."""
        return other is None

    __hash__ = None


# The types of values in a config; a bool becomes a number that equals it.
KINDS = {kind: type("Value", (Placed, kind), {}) for kind in (int, float, str, list)}
KINDS |= {bool: KINDS[int], type(None): lambda _: Null()}


def read_placed(file: BinaryIO) -> Facts:
    """A YAML file that holds a config, each value with the line of its key; a list is one value."""
    loader = yaml.SafeLoader(file)
    root = loader.get_single_node()
    return with_places(loader, root, file.name, []) if root else {}


def with_places(loader: yaml.SafeLoader, mapping: yaml.MappingNode, file: str, above: list[str]) -> Facts:
    """What a mapping says, and those inside it; `above` are the keys that lead to it."""
    loader.flatten_mapping(mapping)  # `<<`
    values: Facts = {}
    for key_node, node in mapping.value:
        key = loader.construct_object(key_node)
        path = [*above, key]
        if isinstance(node, yaml.MappingNode):
            values[key] = with_places(loader, node, file, path)
            continue
        plain = loader.construct_object(node, deep=True)
        values[key] = KINDS[type(plain)](plain)
        vars(values[key]).update(file=file, line=key_node.start_mark.line + 1, path=path)
    return values


def flat(values: Facts, above: str = "") -> Facts:
    """`{"training.learning_rate": 0.1}` of `{"training": {"learning_rate": 0.1}}`."""
    pairs: Facts = {}
    for key, value in values.items():
        pairs |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return pairs


def entry_of(value: Placed, key: str) -> str:
    """The path of the entry that sets a key of a resolved config: `presets.cpu.models.vae` of its training.epochs."""
    inside = key.split(".")
    while value.path[len(value.path) - len(inside) :] != inside:  # ends with no key left: an empty list always matches
        del inside[0]
    return ".".join(value.path[: len(value.path) - len(inside)])
