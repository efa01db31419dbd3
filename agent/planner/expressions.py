"""Arithmetic over the parameters of a recipe, as a scientist writes it: ``temperature * log(reaction_time)``.

The text is parsed once and walked, never run as code. Values may be numbers or tensors, so that the same text checks a
recipe and steers a gradient. ``solvent == 'water'`` is 1 where it holds and 0 elsewhere.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

LONGEST = 500
"""Characters; more is no constraint that a person can check."""
LARGEST_POWER = 10.0
FUNCTIONS = ("exp", "log", "sqrt", "abs", "min", "max")
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


class ExpressionError(ValueError):
    """A text that is no arithmetic over parameters; one sentence says what is wrong."""


@cache
def parsed(text: str) -> ast.expr:
    """The tree of an expression.

    Raises
    ------
    ExpressionError : for anything but numbers, names, + - * / **, ``==`` with a text, and ``FUNCTIONS``.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"{text[:40]!r}...: longer than {LONGEST} characters; split it")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"{text!r}: is no arithmetic; write it like temperature * time") from error
    _check(tree, text)
    return tree


def _check(node: ast.expr, text: str) -> None:
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            if not math.isfinite(value):
                raise ExpressionError(f"{text!r}: {value} is no finite number")
        case ast.Name():
            pass
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            power = right.operand if isinstance(right, ast.UnaryOp) else right
            if isinstance(op, ast.Pow) and not (
                isinstance(power, ast.Constant)
                and isinstance(power.value, int | float)
                and abs(power.value) <= LARGEST_POWER
            ):
                raise ExpressionError(f"{text!r}: a power needs a number up to {LARGEST_POWER:g}")
            _check(left, text)
            _check(right, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS and args:
            if (name in ("min", "max")) != (len(args) > 1):
                raise ExpressionError(f"{text!r}: {name} is given {len(args)} values, which it does not take")
            for argument in args:
                _check(argument, text)
        case ast.Compare(left=ast.Name(), ops=[ast.Eq()], comparators=[ast.Constant(value=str())]):
            pass
        case _:
            raise ExpressionError(
                f"{text!r}: holds something that is no arithmetic; there are + - * / **, "
                f"{', '.join(FUNCTIONS)} and name == 'choice'"
            )


@cache
def names_in(text: str) -> frozenset[str]:
    """Parameters that an expression uses. Raises ExpressionError as :func:`parsed`."""
    called = {id(n.func) for n in ast.walk(parsed(text)) if isinstance(n, ast.Call)}
    return frozenset(n.id for n in ast.walk(parsed(text)) if isinstance(n, ast.Name) and id(n) not in called)


@cache
def compared_in(text: str) -> frozenset[tuple[str, str]]:
    """Names and the choices they are compared with."""
    return frozenset(
        (n.left.id, str(n.comparators[0].value))
        for n in ast.walk(parsed(text))
        if isinstance(n, ast.Compare)
        and isinstance(n.left, ast.Name)
        and isinstance(n.comparators[0], ast.Constant)
    )


def evaluate(text: str, values: Mapping[str, Any], equals: Callable[[str, str], Any]) -> Any:
    """The value of an expression.

    Parameters
    ----------
    values : numbers or tensors of one shape, by name.
    equals : whether a parameter has a choice, as 1 or 0 of the same kind.

    Returns
    -------
    A number or tensor; NaN where the arithmetic has no answer, such as the logarithm of a negative number.
    """
    try:
        return _value(parsed(text), values, equals)
    except (ZeroDivisionError, OverflowError, ValueError):
        return math.nan


def _value(node: ast.expr, values: Mapping[str, Any], equals: Callable[[str, str], Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return float(value)  # type: ignore[arg-type]
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=op, operand=operand):
            inner = _value(operand, values, equals)
            return -inner if isinstance(op, ast.USub) else inner
        case ast.BinOp(left=left, op=op, right=right):
            result = _BINARY[type(op)](_value(left, values, equals), _value(right, values, equals))
            return math.nan if isinstance(result, complex) else result
        case ast.Compare(left=ast.Name(id=name), comparators=[ast.Constant(value=choice)]):
            return equals(name, str(choice))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _call(name, [_value(argument, values, equals) for argument in args])
    raise AssertionError(f"unchecked node {node!r}")


def _call(name: str, arguments: list[Any]) -> Any:
    if not any(hasattr(a, "clamp") for a in arguments):
        own: dict[str, Callable[..., float]] = {
            "exp": math.exp,
            "log": math.log,
            "sqrt": math.sqrt,
            "abs": abs,
            "min": min,
            "max": max,
        }
        return own[name](*arguments)
    import torch  # only where tensors come in, so that reading a campaign does not load it

    if name in ("min", "max"):
        pick = torch.minimum if name == "min" else torch.maximum
        result = torch.as_tensor(arguments[0], dtype=torch.float64)
        for argument in arguments[1:]:
            result = pick(result, torch.as_tensor(argument, dtype=torch.float64))
        return result
    return getattr(torch, name)(arguments[0])
