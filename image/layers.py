"""What an image is made of: layers, from `layers/*.toml`, and what a flavour's come to. Pure but for `read`."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FLAVOURS: Final = ("debian", "rpios")
UPDATE: Final = "update"


class RecipeFault(Exception):
    """The recipe contradicts itself, or cannot be followed here. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of `layers/`: what it adds, and which layers it stands on.

    `packages` are Debian's names, `later` those of packages that only a later suite has, `components` archive sections
    beside main. `state` are paths of the read-only root that live on the data partition, `enable` and `mask` unit
    names. `archives` are variables of the builder's environment, each naming apt's file for an archive beside
    Debian's. `flavours` says where it may be used, empty is everywhere.
    """

    name: str
    why: str
    requires: tuple[str, ...] = ()
    flavours: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A flavour's layers together, each after those it requires; the rest sorted, without doubles."""

    flavour: str
    layers: tuple[str, ...]
    packages: tuple[str, ...]
    later: tuple[str, ...]
    components: tuple[str, ...]
    archives: tuple[str, ...]
    state: tuple[str, ...]
    enable: tuple[str, ...]
    mask: tuple[str, ...]

    @property
    def two_systems(self) -> bool:
        """Whether a second system can be put beside the first, and a boot loader chooses: layer `update`."""
        return UPDATE in self.layers


_LISTS: Final = (
    *("requires", "flavours", "packages", "later", "components", "archives"),
    *("state", "enable", "mask"),
)


def parse(name: str, document: Mapping[str, Any]) -> Layer:
    """A layer from its TOML; unknown keys and wrong types are a `RecipeFault`."""
    unknown = set(document) - {"why", *_LISTS}
    if unknown:
        raise RecipeFault(f"layers/{name}.toml: unknown keys {', '.join(sorted(unknown))}")
    if not isinstance(document.get("why"), str):
        raise RecipeFault(f"layers/{name}.toml: `why` must say what the layer is for")
    lists: dict[str, tuple[str, ...]] = {}
    for key in _LISTS:
        value = document.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RecipeFault(f"layers/{name}.toml: {key} must be a list of texts")
        lists[key] = tuple(value)
    for path in lists["state"]:
        if not path.startswith("/") or path.endswith("/") or ".." in path.split("/"):
            raise RecipeFault(
                f"layers/{name}.toml: state {path!r} must be an absolute path without a slash at its end"
            )
    for flavour in lists["flavours"]:
        if flavour not in FLAVOURS:
            raise RecipeFault(f"layers/{name}.toml: no such flavour: {flavour}")
    return Layer(name, document["why"], **lists)


def read(folder: Path) -> dict[str, Layer]:
    """All layers of `folder` by name."""
    layers = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            layers[path.stem] = parse(path.stem, tomllib.loads(path.read_text()))
        except tomllib.TOMLDecodeError as error:
            raise RecipeFault(f"{path}: {error}") from error
    return layers


def resolve(layers: Mapping[str, Layer], flavour: str) -> Recipe:
    """The recipe of `flavour`: every layer that may be used there, in an order that suits `requires`."""
    if flavour not in FLAVOURS:
        raise RecipeFault(f"no such flavour: {flavour}", f"one of {', '.join(FLAVOURS)}")
    used = {name: layer for name, layer in layers.items() if not layer.flavours or flavour in layer.flavours}
    order: list[Layer] = []
    for name in sorted(used):
        _visit(name, used, order, ())
    return Recipe(
        flavour,
        tuple(layer.name for layer in order),
        _together(layer.packages for layer in order),
        _together(layer.later for layer in order),
        _together(layer.components for layer in order),
        _together(layer.archives for layer in order),
        _outermost(_together(layer.state for layer in order)),
        _together(layer.enable for layer in order),
        _together(layer.mask for layer in order),
    )


def _visit(name: str, layers: Mapping[str, Layer], order: list[Layer], above: tuple[str, ...]) -> None:
    if name in above:
        raise RecipeFault(f"layers require each other: {' -> '.join((*above, name))}")
    if name not in layers:
        raise RecipeFault(f"layer {above[-1]} requires {name}, which there is not for this flavour")
    if layers[name] in order:
        return
    for required in layers[name].requires:
        _visit(required, layers, order, (*above, name))
    order.append(layers[name])


def _together(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({item for items in lists for item in items}))


def _outermost(paths: tuple[str, ...]) -> tuple[str, ...]:
    """A path inside another one of the list would be mounted twice: a fault."""
    for path in paths:
        inside = [other for other in paths if path.startswith(other + "/")]
        if inside:
            raise RecipeFault(f"state {path} lies inside {inside[0]}", "name one of them")
    return paths
