"""A board: rows of models, cleaners and strategies, the figures on which they are put in order, and marks.

Which way a figure is better is declared here, and nowhere else.
"""

from __future__ import annotations

from typing import Literal

from opoi.measures.results import Definition
from opoi.types import Measure, Value

__all__ = [
    "FIGURES",
    "HIGHER",
    "LOWER",
    "Absent",
    "Better",
    "Board",
    "BoardRow",
    "Column",
    "Mark",
    "Standing",
    "better",
]

Better = Literal["higher", "lower", "neither"]
Mark = Literal["best", "same", "apart", ""]

FIGURES = (
    "accuracy_observable",
    "consensus_pair",
    "yield",
    "residue",
    "hindsight_claims",
    "citation_precision",
    "js_excess",
)
"""The columns of a board, unless others are named."""

HIGHER = (
    "accuracy_expert",
    "accuracy_observable",
    "accuracy_observable_common",
    "accuracy_hindsight",
    "accuracy_majority",
    "accuracy_majority_observable",
    "accuracy_majority_hindsight",
    "accuracy_magnitude",
    "consensus",
    "consensus_pair",
    "consensus_unanimous",
    "schema_valid",
    "json_valid",
    "enum_valid",
    "keys_in_order",
    "yield",
    "citation_precision",
    "citation_recall",
    "citations_in_context",
    "citation_rate",
    "metric_citations",
    "mauve_lite",
    "forced_logprob",
    "forced_logprob_form",
    "forced_logprob_prose",
    "forced_p",
    "forced_phi",
)
"""Figures of which more is better."""

LOWER = (
    "regret_observable",
    "regret_hindsight",
    "gap_architecture",
    "gap_acquisition",
    "gap_decision",
    "gap_foresight",
    "off_path_error",
    "on_path_error",
    "agent_failures",
    "infrastructure_failures",
    "residue",
    "residue_before",
    "hindsight_claims",
    "ambiguous_claims",
    "oracle_claims",
    "ungrounded_claims",
    "no_tool_calls",
    "as_of_violations",
    "js_excess",
    "js_excess_common",
    "bigram_js_excess",
    "tool_js_excess",
    "oov_rate",
    "oov_types",
    "off_path",
    "sycophancy",
    "justification_overlap",
)
"""Figures of which less is better. Of every other figure neither is: nothing is best in its column."""


def better(figure: str) -> Better:
    """Return which way a figure is better, `neither` where that is not declared."""
    return "higher" if figure in HIGHER else "lower" if figure in LOWER else "neither"


class Column(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One figure of a board.

    Attributes:
        name: The figure.
        better: Which way it is better.
        tested: How many rows were compared with the best one; those that are alike in every scenario are not
            counted.
        scenarios: Scenarios that all rows share; two rows are compared on those in which both have a value.
        draws: Exchanges of two rows that were drawn for each of these tests.
        note: Why rows could not be compared, `""` where they could.
    """

    name: str
    better: Better
    tested: int = 0
    scenarios: int = 0
    draws: int = 0
    note: str = ""


class Standing(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Where a row stands in a column.

    Attributes:
        mark: `best`; `same` where the data cannot tell it from the best; `apart` where they can; `""` where
            it was not compared.
        p: Two-sided p against the best row, None for that row itself and where it was not compared.
        p_adjusted: Corrected for the number of rows, and for the best being picked by the same data.
        n: Scenarios in which both this row and the best one have a value, 0 where it was not compared.
    """

    mark: Mark = ""
    p: float | None = None
    p_adjusted: float | None = None
    n: int = 0


class BoardRow(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One row: a strategy on a model, its traces cleaned by a cleaner.

    Attributes:
        model: Name of the model on the board.
        played: What the traces say who the model was.
        simulated: Whether an embedded model played it.
        cleaner: Level, or name of the rule file.
        strategy: The arm; `base` is the unsteered one.
        attempted: Traces generated.
        kept: Traces in the data set.
        drops: Why the others are not, with counts.
        measures: All figures by name.
        standings: By figure, for the columns of the board.
        edited: Artefacts behind the figures that a person edited or put there, by their path in the run.
    """

    model: str
    played: str
    simulated: bool
    cleaner: str
    strategy: str
    attempted: int
    kept: int
    drops: dict[str, int]
    measures: dict[str, Measure]
    standings: dict[str, Standing]
    edited: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Model, cleaner and strategy in one line."""
        return f"{self.model} {self.cleaner} {self.strategy}"


class Absent(Value, frozen=True, kw_only=True, omit_defaults=False):
    """A cell that has no rows.

    Attributes:
        model: Name of the model on the board.
        cleaner: Level, or name of the rule file.
        why: What went wrong.
    """

    model: str
    cleaner: str
    why: str


class Board(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Everything that a board says. What `leaderboard.json` holds.

    Attributes:
        schema: Version of this shape.
        suite: Name of the suite.
        scenarios: Scenarios of every run.
        runs: Repetitions of every rollout and every strategy.
        seed: Seed of everything.
        resamples: Resamples of the bootstrap that the intervals are made of.
        alpha: The rate of false finds that the marks of a column allow together.
        by: The figure by which the rows are sorted.
        columns: The figures that are shown.
        rows: Best first; rows without a value last.
        absent: Cells without rows.
        definitions: Of every figure.
    """

    schema: Literal["opoi.leaderboard/1"] = "opoi.leaderboard/1"
    suite: str
    scenarios: int
    runs: int
    seed: int
    resamples: int
    alpha: float
    by: str
    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]
    absent: tuple[Absent, ...]
    definitions: dict[str, Definition]

    @property
    def simulated(self) -> tuple[str, ...]:
        """Names of the models that an embedded model played."""
        return tuple(dict.fromkeys(row.model for row in self.rows if row.simulated))
