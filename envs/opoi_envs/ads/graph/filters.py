"""The `filtering` parameter: conditions on objects and on rows."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from msgspec import Struct

from opoi_envs.ads.graph.errors import invalid
from opoi_envs.ads.graph.params import Params, structure

__all__ = ["OPERATORS", "Condition", "Value", "conditions"]

OPERATORS: tuple[str, ...] = (
    "EQUAL",
    "NOT_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_OR_EQUAL",
    "LESS_THAN",
    "LESS_THAN_OR_EQUAL",
    "IN_RANGE",
    "NOT_IN_RANGE",
    "CONTAIN",
    "NOT_CONTAIN",
    "IN",
    "NOT_IN",
)
"""All that are understood. Ranges include both ends; texts are compared without regard to case by CONTAIN."""

Value = str | Fraction | None
"""What a condition is held against; None where it is not defined, which meets no condition."""

_ORDER = OPERATORS[2:8]
_LARGEST = 60


class Condition(Struct, frozen=True):
    """One condition.

    Attributes:
        field: As given, e.g. `spend` or `campaign.name`.
        operator: One of `OPERATORS`.
        texts: The value or values as text.
        numbers: The same as numbers where every one of them is one, else None.
    """

    field: str
    operator: str
    texts: tuple[str, ...]
    numbers: tuple[Fraction, ...] | None

    def numeric(self) -> None:
        """Require numbers.

        Raises:
            ApiError: A value is none.
        """
        if self.numbers is None or self.operator in ("CONTAIN", "NOT_CONTAIN"):
            raise invalid(f"filtering: {self.field} {self.operator} needs a number", "filtering")

    def textual(self) -> None:
        """Require an operator for texts.

        Raises:
            ApiError: It compares numbers.
        """
        if self.operator in _ORDER:
            raise invalid(f"filtering: {self.operator} cannot be used with {self.field}", "filtering")

    def met(self, value: Value) -> bool:
        """Whether a value meets the condition."""
        if value is None:
            return False
        if isinstance(value, Fraction):
            return self.numbers is not None and _compare(self.operator, value, self.numbers)
        if self.operator in ("CONTAIN", "NOT_CONTAIN"):
            found = any(text.casefold() in value.casefold() for text in self.texts)
            return found == (self.operator == "CONTAIN")
        if self.operator in ("EQUAL", "IN"):
            return value in self.texts
        return value not in self.texts


def conditions(params: Params) -> list[Condition]:
    """Return the conditions of a request.

    Raises:
        ApiError: They cannot be read, or an operator is unknown.
    """
    if not params.get("filtering", "").strip():
        return []
    return [_condition(item) for item in structure(params, "filtering", list)]


def _condition(item: object) -> Condition:
    if not isinstance(item, dict) or not {"field", "operator"} <= set(item) <= {"field", "operator", "value"}:
        raise invalid("filtering must be a list of {field, operator, value}", "filtering")
    field, operator = item["field"], item["operator"]
    if not isinstance(field, str):
        raise invalid("filtering: a field must be a string", "filtering")
    if operator not in OPERATORS:
        raise invalid(
            f"filtering[operator] must be one of the following values: {', '.join(OPERATORS)}", "filtering"
        )
    value = item.get("value")
    many = value if isinstance(value, list) else [value]
    texts = tuple(_text(each) for each in many)
    if operator in ("IN_RANGE", "NOT_IN_RANGE") and len(texts) != 2:
        raise invalid(f"filtering: {operator} needs two values", "filtering")
    if operator not in ("IN", "NOT_IN", "IN_RANGE", "NOT_IN_RANGE") and len(texts) != 1:
        raise invalid(f"filtering: {operator} needs one value", "filtering")
    numbers = [_number(text) for text in texts]
    known = [number for number in numbers if number is not None]
    return Condition(field, operator, texts, tuple(known) if len(known) == len(numbers) else None)


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise invalid("filtering: a value must be a string, a number or a list of these", "filtering")
    return str(value)


def _number(text: str) -> Fraction | None:
    if len(text) > _LARGEST:
        return None
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    fits = number.is_finite() and abs(number.adjusted()) <= _LARGEST
    return Fraction(number) if fits else None


def _compare(operator: str, value: Fraction, numbers: tuple[Fraction, ...]) -> bool:
    first = numbers[0] if numbers else Fraction(0)
    last = numbers[-1] if numbers else Fraction(0)
    return {
        "EQUAL": value in numbers,
        "IN": value in numbers,
        "NOT_EQUAL": value not in numbers,
        "NOT_IN": value not in numbers,
        "GREATER_THAN": value > first,
        "GREATER_THAN_OR_EQUAL": value >= first,
        "LESS_THAN": value < first,
        "LESS_THAN_OR_EQUAL": value <= first,
        "IN_RANGE": first <= value <= last,
        "NOT_IN_RANGE": not first <= value <= last,
    }[operator]
