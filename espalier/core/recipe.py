"""A recipe: METHOD@RATIO[:name=value]*, parsed, checked and written back in one canonical form.

The canonical form leaves out values equal to their defaults and sorts the rest by name, so one recipe has
one text: it is a Dagster partition key, a folder's name and a line in a manifest. Nothing here computes.
"""

from __future__ import annotations

import dataclasses
import re
import types
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from espalier.core.errors import UsageError
from espalier.core.names import named_values
from espalier.core.prune.base import Method
from espalier.core.prune.scope import Scope

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)", re.ASCII)
_COUNT = re.compile(r"n\d{1,12}", re.ASCII)
_DIGITS = 30  # of a ratio: more than a count could tell apart
_WORD = re.compile(r"(?!.*\.\.)[A-Za-z0-9_.-]+(?:\+[A-Za-z0-9_.-]+)*", re.ASCII)


@dataclass(frozen=True)
class Amount:
    """How much to keep: a share of the samples that reach pruning, or a count."""

    share: Fraction | None = None
    count: int | None = None

    @classmethod
    def parse(cls, text: str) -> Amount:
        """Read ``0.28``, ``28%`` or ``n50000``; a bare ``80`` is refused as ambiguous."""
        text = text.strip()
        if _COUNT.fullmatch(text):
            if int(text[1:]) < 1:
                raise UsageError("A recipe must keep at least one sample, not n0.", "Write n1 or more.")
            return cls(count=int(text[1:]))
        number = text.removesuffix("%").strip()
        if not _NUMBER.fullmatch(number) or len(number) > _DIGITS:
            raise UsageError(
                f"{text!r} is not a ratio.", "Write the share to keep as 0.28 or 28%, or a count as n50000."
            )
        share = Fraction(Decimal(number)) / (100 if text.endswith("%") else 1)
        if share > 1 and not text.endswith("%"):
            raise UsageError(
                f"The ratio {text!r} is ambiguous.",
                f"Write {number}% to keep that share, or n{number.split('.')[0]} to keep that many samples.",
            )
        if not 0 < share <= 1:
            raise UsageError(f"The ratio {text!r} is out of range.", "It is the share to keep: above 0, up to 1.")
        return cls(share=share)

    def target(self, n: int) -> int:
        """Return how many of ``n`` samples to keep: ceil(share * n) in exact arithmetic, or the count."""
        if self.share is not None:
            return -(-self.share.numerator * n // self.share.denominator)
        assert self.count is not None
        if self.count > n:
            raise UsageError(
                f"n{self.count} asks for more than the {n} samples that reach pruning.",
                f"Write n{n} or fewer.",
            )
        return self.count

    def __str__(self) -> str:
        if self.share is None:
            return f"n{self.count}"
        with localcontext(prec=2 * _DIGITS):
            return _decimal(Decimal(self.share.numerator) / Decimal(self.share.denominator))


_PAPERS_WORDS = {"which_to_keep": "keep"}


@dataclass(frozen=True)
class Recipe:
    """A method with its parameters, the amount to keep and the shared scope."""

    method: Method
    amount: Amount
    scope: Scope = field(default_factory=Scope)

    def __post_init__(self) -> None:
        self.method.check_scope(self.scope)

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Read a recipe's text; an unknown method, name or value is refused with what is known."""
        head, *pairs = text.strip().split(":")
        name, at, amount = head.partition("@")
        if not at:
            raise UsageError(f"{text!r} is not a recipe.", "Write METHOD@RATIO, for example density@0.28.")
        wrong, twice = f"{{}} in {text!r} is not name=value.", f"'{{}}' is given twice in {text!r}."
        return cls.build(name, amount, named_values(pairs, wrong, twice, "keep=easy"))

    @classmethod
    def build(cls, method: str, amount: str, params: dict[str, str] | None = None) -> Recipe:
        """Make a recipe from its parts, all still text."""
        from espalier.core.prune import method_class

        kind = method_class(method)
        own, shared = fields_of(kind), {k: v for k, v in fields_of(Scope).items() if k in kind.accepts}
        values: dict[str, Any] = {}
        for written, text in (params or {}).items():
            name = _PAPERS_WORDS.get(written, written)
            if name in values:
                raise UsageError(f"{name} is given twice: {written} is the papers' word for it.", "Leave one of them.")
            if name not in own and name not in shared:
                known = ", ".join(sorted([*own, *shared])) or "none"
                hint = kind.instead.get(name, f"It takes: {known}.")
                raise UsageError(f"{method} has no parameter {name!r}.", hint)
            values[name] = _read(name, text, (own | shared)[name].kind)
        return cls(
            kind(**{k: v for k, v in values.items() if k in own}),
            Amount.parse(amount),
            Scope(**{k: v for k, v in values.items() if k not in own}),
        )

    def params(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults, sorted by name."""
        changed = {}
        parts: tuple[Any, ...] = (self.method, self.scope)
        for part in parts:
            kind: Any = type(part)
            for name, known in fields_of(kind).items():
                value = getattr(part, name)
                if value != known.default:
                    changed[name] = value
        return dict(sorted(changed.items()))

    def __str__(self) -> str:
        tail = "".join(f":{name}={_write(value)}" for name, value in self.params().items())
        return f"{self.method.name}@{self.amount}{tail}"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method: its type and default."""

    kind: Any
    default: Any


@cache
def fields_of(kind: Any) -> dict[str, Parameter]:
    """Return the parameters of a method's (or the Scope's) dataclass by name."""
    hints = get_type_hints(kind)
    return {f.name: Parameter(hints[f.name], f.default) for f in dataclasses.fields(kind)}


def describe(kind: Any) -> str:
    """Say in words what a parameter's type admits, for help and error messages."""
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "names joined by +"
    if isinstance(kind, types.UnionType):
        return " or ".join(describe(k) for k in get_args(kind) if k is not types.NoneType)
    return {int: "an integer", float: "a number", bool: "true | false", str: "a word"}[kind]


def _read(name: str, text: str, kind: Any) -> Any:
    """Read one value by its type."""
    try:
        return _convert(text, kind)
    except (KeyError, ValueError):
        raise UsageError(f"{name}={text} is not valid.", f"{name} takes {describe(kind)}.") from None


def _convert(text: str, kind: Any) -> Any:
    if not _WORD.fullmatch(text):
        raise ValueError(text)
    if get_origin(kind) is Literal:
        return {str(known): known for known in get_args(kind)}[text]
    if get_origin(kind) is tuple:
        return tuple(sorted(set(text.split("+"))))
    if isinstance(kind, types.UnionType):
        return _convert(text, next(k for k in get_args(kind) if k is not types.NoneType))
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    if kind is float:
        if not _NUMBER.fullmatch(text.lstrip("-")):
            raise ValueError(text)
        return float(text)
    return kind(text)


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _decimal(Decimal(repr(value)))
    if isinstance(value, tuple):
        return "+".join(value)
    return str(value)


def _decimal(number: Decimal) -> str:
    """Write a number in plain digits, without rounding it to the context's 28."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
