"""The whole experiment, top to bottom. Each stage reads the artefact before it and writes the one after.

    scenarios.jsonl -> rollouts.jsonl -> reviews.jsonl -> traces/ARM.jsonl -> cleaned/ARM.jsonl
                    -> datasets/ARM.FORMAT.jsonl
                    -> scores/SCORER.ARM.jsonl (where a model can) -> measures.json -> report.html, report.txt

`base` is the unsteered arm: its traces are `rollouts.jsonl`, cleaned like those of every other arm, so
that what cleaning does to innocent text is measured too.
"""

from __future__ import annotations

from collections.abc import Collection

from opoi.halting import HaltedError
from opoi.preflight import require, settle, settle_scorers
from opoi.registry import load_strategy
from opoi.run import Run
from opoi.stages.clean import clean
from opoi.stages.export import export
from opoi.stages.generate import generate
from opoi.stages.measure import measure
from opoi.stages.report import report
from opoi.stages.review import expert_of, review, rollouts, scenarios
from opoi.stages.score import score

__all__ = ["STAGES", "carry_out", "check", "run_all"]

STAGES = {
    "scenarios": scenarios,  #                                      -> scenarios.jsonl
    "rollout": rollouts,  # scenarios.jsonl                         -> rollouts.jsonl
    "review": review,  # scenarios.jsonl, rollouts.jsonl            -> reviews.jsonl
    "generate": generate,  # scenarios, rollouts, reviews           -> traces/ARM.jsonl
    "clean": clean,  # rollouts.jsonl, traces/ARM.jsonl             -> cleaned/ARM.jsonl
    "export": export,  # cleaned/ARM.jsonl                          -> datasets/ARM.FORMAT.jsonl
    "score": score,  # scenarios, cleaned/ARM.jsonl                 -> scores/SCORER.ARM.jsonl
    "measure": measure,  # scenarios, reviews, cleaned, scores      -> measures.json
    "report": report,  # measures.json, samples of the traces       -> report.txt, report.html
}
"""Command name -> stage, in order; what each reads and writes."""


def check(run: Run, *, ask: bool = False) -> None:
    """Check everything that the settings name, and settle what only an endpoint can tell. Nothing is written.

    Args:
        run: A new run, or one that was opened with changes.
        ask: Also make sure that the endpoints answer.

    Raises:
        OpoiError: Something cannot be had.
    """
    expert_of(run)
    for arm in run.settings.arms():
        load_strategy(arm.use, arm.settings)
    run.cast.check_references()
    if ask or not run.settings.endpoints:
        settle(run)
    require(run)


def carry_out(run: Run, stages: Collection[str], *, ask: bool = False) -> None:
    """Write the manifest and carry out the named stages as far as they are not up to date.

    Args:
        run: A new run, or one that was opened.
        stages: Keys of `STAGES`, in order.
        ask: Make sure first that the endpoints answer (done anyway where other ones are named than before).

    Raises:
        LimitReachedError: A limit on calls or tokens was reached.
        OpoiError: Something cannot be had, or went wrong.
    """
    try:
        _carry_out(run, stages, ask=ask)
    except HaltedError:  # outside of items, where nobody else tells why
        raise run.session.halt.reason or KeyboardInterrupt from None


def _carry_out(run: Run, stages: Collection[str], *, ask: bool) -> None:
    asking = {"rollout", "generate", "score"} & set(stages)
    before, now = run.opened, run.settings
    unsettled = now.endpoints and not run.endpoints
    other = before is not None and (before.model, before.corrector_model) != (now.model, now.corrector_model)
    check(run, ask=ask or bool(asking and (unsettled or other)))
    if before is not None and other:
        run.progress.say(
            "note: models go by their names, not by where they are: results of models of the same name are "
            "kept; start a new run for another model under an old name"
        )
    if "score" in stages:
        settle_scorers(run)
    with run.locked():
        run.save_manifest()
        run.save_costs()
        for name in stages:
            STAGES[name](run)


def run_all(run: Run, *, ask: bool = False) -> None:
    """Carry out the whole pipeline."""
    carry_out(run, STAGES, ask=ask)
