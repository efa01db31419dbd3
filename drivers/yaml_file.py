"""YAML files that people write, checked against a pydantic model, with the line of every mistake.

Each problem is one sentence: ``campaign.yaml line 12: search_space.temperature.uper: unknown key; did you
mean 'upper'?``. All problems of a file are reported together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)
Location = tuple[int | str, ...]


class ConfigurationError(ValueError):
    """A configuration file that cannot be used; ``problems`` holds one sentence for each mistake."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class Place:
    """Where in a file a value is: the part of its path that the file really has, and the line (from 1)."""

    path: Location
    line: int


def load_yaml(path: Path, model: type[M]) -> M:
    """Read a file and check it.

    Parameters
    ----------
    path : the file, UTF-8.
    model : what it must hold; let it forbid extra keys, so that a misspelt one is noticed.

    Raises
    ------
    ConfigurationError
        When the file is missing or unreadable, is no YAML, names a key twice or does not fit the model.
    """
    root = _compose(path)
    try:
        return model.model_validate(_construct(path, root))
    except ValidationError as error:
        raise ConfigurationError(_problems(path, root, model, error)) from error


def _compose(path: Path) -> yaml.Node:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError([f"{path.name}: cannot be read ({error.strerror}): {path}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path.name}: is not UTF-8 text; save it as UTF-8"]) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigurationError([_syntax(path, error)]) from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError([f"{path.name} line 1: needs keys and values (key: value) at the top"])
    return root


def _syntax(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    line = f" line {mark.line + 1}" if mark is not None else ""
    return f"{path.name}{line}: not valid YAML ({what})"


def _construct(path: Path, root: yaml.Node) -> Any:
    twice = [
        f"{path.name} line {key.start_mark.line + 1}: {key.value}: given twice; remove one of them"
        for mapping in _mappings(root)
        for key in _repeated_keys(mapping)
    ]
    if twice:
        raise ConfigurationError(twice)
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise ConfigurationError([_syntax(path, error)]) from error
    finally:
        loader.dispose()


def _mappings(root: yaml.Node) -> Iterator[yaml.MappingNode]:
    """Every mapping in the file, each once though aliases may repeat it."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _repeated_keys(mapping: yaml.MappingNode) -> Iterator[yaml.ScalarNode]:
    seen = set[str]()
    for key, _ in mapping.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in seen:
                yield key
            seen.add(key.value)


def _problems(path: Path, root: yaml.Node, model: type[BaseModel], error: ValidationError) -> list[str]:
    """One sentence per place; where a value fits none of several forms, what each form wants is joined."""
    sentences: dict[tuple[int, str], list[str]] = {}
    for details in _without_other_members(root, error.errors(include_url=False)):
        place = _place(root, details["loc"])
        shown = place.path
        if details["type"] == "missing":
            shown = (*shown, details["loc"][-1])
        name = ".".join(str(part) for part in shown)
        wanted = sentences.setdefault((place.line, name), [])
        what = _sentence(details, model)
        if what not in wanted:
            wanted.append(what)
    return [
        f"{path.name} line {line}: " + (f"{name}: " if name else "") + ", or ".join(wanted)
        for (line, name), wanted in sorted(sentences.items())
    ]


def _without_other_members(root: yaml.Node, errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what union members say whose tag (a literal, such as ``kind``) is not the one given, where a
    member with the right tag also objects."""
    members = {e["loc"][:-1] for e in errors if e["type"] == "literal_error"}
    other = {m for m in members if m and len(_place(root, m).path) < len(_place(root, m[:-1]).path) + 1}
    objecting = {e["loc"][: len(m)] for m in other for e in errors if e["loc"][: len(m) - 1] == m[:-1]}
    outdone = {m for m in other if any(o[:-1] == m[:-1] and o not in other for o in objecting)}
    return [e for e in errors if not any(e["loc"][: len(m)] == m for m in outdone)]


def _place(root: yaml.Node, location: Location) -> Place:
    """Follow a location; parts that pydantic adds (tags and names of union members) are in no file and
    skipped."""
    node, line = root, root.start_mark.line
    path: list[int | str] = []
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if str(k.value) == str(part)), None)
            if found is None:
                continue
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            continue
        path.append(part)
    return Place(tuple(path), line + 1)


def _sentence(details: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        known = _known_keys(model, details["loc"][:-1])
        return f"unknown key; {_suggestion(str(details['loc'][-1]), known)}"
    if kind == "value_error":
        return str(context.get("error", details["msg"]))
    what = details["msg"].removeprefix("Input ")
    given = details["input"]
    if isinstance(given, str | int | float | bool | None):
        what += f", not {given!r}"
    if kind in ("literal_error", "enum") and isinstance(given, str):
        choices = str(context.get("expected", "")).replace(" or ", ", ").split(", ")
        close = get_close_matches(given, [choice.strip("'") for choice in choices], n=1)
        what += f"; did you mean {close[0]!r}?" if close else ""
    return what


def _suggestion(key: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(key.lower(), names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known here: {', '.join(names)}" if names else "nothing may stand here"


def _known_keys(model: type[BaseModel], location: Location) -> set[str]:
    """Names of the fields that may stand at a location.

    Where the model is a union, the parts that pydantic adds to the location choose the member when they
    name it, and all members count when they do not.
    """
    here: list[type[BaseModel]] = [model]
    for part in location:
        fields = [
            m.model_fields[name] for m in here for name in m.model_fields if part in (name, _alias(m, name))
        ]
        if fields:
            here = [inner for field in fields for inner in _models_in(field.annotation)]
        elif chosen := [m for m in here if _goes_by(m, part)]:
            here = chosen
    return {_alias(m, name) for m in here for name in m.model_fields}


def _alias(model: type[BaseModel], name: str) -> str:
    return model.model_fields[name].alias or name


def _goes_by(model: type[BaseModel], part: int | str) -> bool:
    """Whether a part of a location names this member of a union: by its class, or by the value of its tag."""
    tags = {tag for field in model.model_fields.values() for tag in get_args(field.annotation)}
    return part == model.__name__ or part in {tag for tag in tags if isinstance(tag, str)}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as ``dict[str, A] | tuple[B, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = get_origin(annotation)
    containers = isinstance(origin, type) and issubclass(origin, Mapping | Sequence | frozenset | set)
    if origin in (Union, UnionType) or containers or hasattr(annotation, "__metadata__"):
        arguments = [a for a in get_args(annotation) if a is not Ellipsis]
        return [inner for argument in arguments for inner in _models_in(argument)]
    return []
