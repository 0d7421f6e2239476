"""The whole experiment, top to bottom. Each stage reads the artefact before it and writes the one after.

    scenarios.jsonl -> rollouts.jsonl -> reviews.jsonl -> traces/ARM.jsonl -> cleaned/ARM.jsonl
                    -> datasets/ARM.FORMAT.jsonl, and measures.json -> report.html, report.txt

`base` is the unsteered arm: its traces are `rollouts.jsonl`, cleaned like those of every other arm, so
that what cleaning does to innocent text is measured too.
"""

from __future__ import annotations

from opoi.registry import load_strategy
from opoi.run import Run
from opoi.stages.clean import clean
from opoi.stages.export import export
from opoi.stages.generate import generate
from opoi.stages.measure import measure
from opoi.stages.report import report
from opoi.stages.review import expert_of, review, rollouts, scenarios

__all__ = ["STAGES", "begin", "run_all"]

STAGES = {
    "scenarios": scenarios,  #                                      -> scenarios.jsonl
    "rollout": rollouts,  # scenarios.jsonl                         -> rollouts.jsonl
    "review": review,  # scenarios.jsonl, rollouts.jsonl            -> reviews.jsonl
    "generate": generate,  # scenarios, rollouts, reviews           -> traces/ARM.jsonl
    "clean": clean,  # rollouts.jsonl, traces/ARM.jsonl             -> cleaned/ARM.jsonl
    "export": export,  # cleaned/ARM.jsonl                          -> datasets/ARM.FORMAT.jsonl
    "measure": measure,  # scenarios, reviews, cleaned/*.jsonl      -> measures.json
    "report": report,  # measures.json, samples of the traces       -> report.txt, report.html
}
"""Command name -> stage, in order; what each reads and writes."""


def begin(run: Run, *, ask: bool = False) -> None:
    """Check everything that the settings name, then write the manifest.

    Args:
        run: A new run, or one that was opened with changes.
        ask: Also make sure that the endpoints answer.

    Raises:
        OpoiError: Something cannot be had; nothing was written.
    """
    expert_of(run)
    for arm in run.settings.arms():
        load_strategy(arm.use, arm.settings)
    if ask or not run.settings.remote:
        run.check([run.agent, run.corrector])
    run.save_manifest()


def run_all(run: Run) -> None:
    """Carry out every stage that is not up to date."""
    begin(run)
    for stage in STAGES.values():
        stage(run)
