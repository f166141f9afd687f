"""Arithmetic as people type it, worked out without evaluating code."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any, Final

MAX_LENGTH: Final = 200
MAX_BITS: Final = 4096
"""Size of the largest whole number on the way."""

Number = int | float

_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Number]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: Final[dict[type[ast.unaryop], Callable[[Any], Number]]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_FUNCTIONS: Final[dict[str, Callable[..., Number]]] = {
    "abs": abs,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
}
_CONSTANTS: Final = {"pi": math.pi, "e": math.e}


class ArithmeticFault(Exception):
    """The expression has no value; the message says why."""


def evaluate(expression: str) -> Number:
    """Work out an expression of numbers, `+ - * / // % ** ^`, parentheses, `sqrt abs round min max`, `pi` and `e`.

    Raises:
        ArithmeticFault: it is no such expression, is too large, or has no value.
    """
    if len(expression) > MAX_LENGTH:
        raise ArithmeticFault(f"the expression is longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(expression.replace("^", "**").strip(), mode="eval")
        value = _value(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ArithmeticFault(f"{expression!r} is no arithmetic expression") from None
    except ZeroDivisionError:
        raise ArithmeticFault("a division by zero has no value") from None
    except (OverflowError, TypeError):
        raise ArithmeticFault("the expression has no value") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ArithmeticFault("the result is too large")
    return value


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _bounded(_apply(op, _value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*map(_value, args)))
    raise ArithmeticFault("only numbers, + - * / // % ** ^, parentheses and sqrt abs round min max are taken")


def _apply(op: ast.operator, left: Number, right: Number) -> Number:
    # A power is bounded before it is worked out: its size is known from its parts.
    if isinstance(op, ast.Pow) and isinstance(left, int) and abs(right) * max(left.bit_length(), 1) > MAX_BITS:
        raise ArithmeticFault("the result is too large")
    return _BINARY[type(op)](left, right)


def _bounded(value: Number) -> Number:
    if isinstance(value, complex):
        raise ArithmeticFault("the result is no real number")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ArithmeticFault("the result is too large")
    return value
