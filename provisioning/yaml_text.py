"""YAML with the line of every key: what Raspberry Pi Imager writes is cloud-init's. Pure."""

from typing import Any, Final

import yaml

from provisioning.draft import LONGEST, Note

_DEEPEST: Final = 24


class _Loader(yaml.SafeLoader):
    """Knows no alias: one that refers to itself, or multiplies, is a trap and not a configuration."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="an alias (*) is not read here", problem_mark=mark)
        return super().compose_node(parent, index)


def read(text: str) -> tuple[Any, dict[str, int], list[Note]]:
    """The tree, the line of each dotted path (list places as numbers), and faults; None where it cannot be read."""
    if len(text) > LONGEST:
        return None, {}, [Note("is too long", hint=f"at most {LONGEST // 1024} KiB", kind="fault")]
    try:
        loader = _Loader(text)
    except yaml.YAMLError:
        return None, {}, [_fault("it has characters that no text has", 0)]
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}, []
        lines: dict[str, int] = {}
        _walk(node, "", lines, 0)
        return loader.construct_document(node), lines, []
    except yaml.constructor.ConstructorError as error:
        # A password that begins with ! is a tag to YAML: the library's own words would tell it.
        mark = error.problem_mark
        return None, {}, [_fault("a tag (!) is not read here", mark.line + 1 if mark else 0)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, {}, [_fault(error.problem or "cannot be read", mark.line + 1 if mark else 0)]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return None, {}, [_fault(str(error).splitlines()[0] if str(error) else "cannot be read", 0)]
    finally:
        loader.dispose()


def _fault(reason: str, line: int) -> Note:
    return Note(
        f"this is not YAML: {reason}",
        line=line,
        hint="mind the spaces at the beginnings of lines",
        kind="fault",
    )


def _walk(node: yaml.Node, path: str, lines: dict[str, int], depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("is nested too deeply")
    if path:
        lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = f"{path}.{key.value}" if path else str(key.value)
            lines[below] = key.start_mark.line + 1
            _walk(value, below, lines, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _walk(value, f"{path}.{number}", lines, depth + 1)
