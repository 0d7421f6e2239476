"""What is found out about models before a run: that they answer, their names, what their endpoints can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from opoi.casting import endpoint_key
from opoi.errors import PluginError, UsageError
from opoi.models.endpoint.capabilities import Capabilities
from opoi.models.endpoint.model import EndpointModel
from opoi.models.resolve import resolve_model
from opoi.models.session import Session
from opoi.registry import load_strategy, load_suite, names
from opoi.run import Run
from opoi.settings import merge
from opoi.types import Tier

__all__ = ["look_at", "needs", "require", "settle", "settle_scorers"]


def settle(run: Run) -> None:
    """Make sure that the models of a run answer, and find out what only their endpoints can tell.

    An endpoint that was probed before is only asked whether it still answers.

    Args:
        run: Its settings are completed by the names of models, and its endpoints by what they can do.

    Raises:
        EndpointError: An endpoint does not answer.
    """
    run.session.meter.stage = "probe"
    models = (run.cast.agent, run.cast.corrector)
    asked = {_key(model): model for model in models if isinstance(model, EndpointModel)}
    unknown = {key: model for key, model in asked.items() if key not in run.endpoints}
    run.check(model for model in models if model not in unknown.values())
    for key, model in unknown.items():
        run.endpoints[key] = _probe(run, model)
    settled = run.cast.settled()
    if unknown or settled != run.settings:
        run.settings = settled


def settle_scorers(run: Run) -> None:
    """Find out in which way the scorers of a run score given texts; what is known is not asked again.

    Args:
        run: Its endpoints are completed by what those of its scorers can do.

    Raises:
        UsageError: A scorer was named whose endpoint cannot score given texts.
        EndpointError: An endpoint does not answer.
    """
    run.session.meter.stage = "probe"
    named = bool(run.settings.scorers)
    unknown = [
        (url, name)
        for url, name in run.cast.scorers
        if endpoint_key(url, name) not in run.endpoints or (named and run.cast.way_of(name) is None)
    ]
    for url, name in unknown:
        model = run.cast.scoring[name]
        assert isinstance(model, EndpointModel)  # scorers are models of endpoints
        run.endpoints[endpoint_key(url, name)] = _probe(run, model)
    if unknown:
        run.settings = run.settings  # casts the run anew, with what is known now
    for url, name in run.cast.scorers if named else ():
        if run.cast.way_of(name) is None:
            _refuse(run.endpoints[endpoint_key(url, name)], url)


def _refuse(found: Capabilities, url: str) -> NoReturn:
    """Say that a model scores no given texts, and what the probe saw.

    Raises:
        UsageError: Always.
    """
    seen = ", ".join(f"{way} {scorer.verdict}" for way, scorer in sorted(found.scorers.items()))
    raise UsageError(
        f"the scorer {found.model!r} at {url} cannot score given texts: it gives {found.tier}, not T2",
        why=f"the probe found: {seen or 'no way to ask for scores'}",
        fix="leave it out (--scorers none leaves out all), or serve it with something that gives "
        "log-probabilities of the prompt (docs/servers.md)",
    )


def look_at(
    url: str, given: Mapping[str, Any], session: Session, *, progress: Callable[[str], None]
) -> Capabilities:
    """Probe one endpoint outside a run.

    Args:
        url: Base URL.
        given: Options by name, None for those that were not given.
        session: Opens the line.
        progress: Told each question before it is asked.

    Raises:
        OpoiError: It cannot be asked, or does not answer.
    """
    from opoi.models.endpoint.probe import probe

    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"{url!r} is not the URL of an endpoint", fix="give something like http://127.0.0.1:8000/v1"
        )
    values = {
        "name" if key == "model_name" else key: value for key, value in given.items() if value is not None
    }
    settings = merge({}, {"endpoint": values}).endpoint
    session.meter.stage = "probe"
    model = resolve_model(url, suite=None, settings=settings, session=session)
    assert isinstance(model, EndpointModel)
    return probe(model.line, model.name, temperature=settings.temperature, progress=progress)


def needs() -> tuple[dict[str, Tier], dict[str, Tier]]:
    """Return what each registered strategy, and each measure, asks of a model, by name."""
    from opoi.leakage.membership import NEEDS
    from opoi.measures import standard_metrics

    methods = {name: _needs_of(load_strategy(name, {})) for name in sorted(names("strategy"))}
    metrics = standard_metrics(load_suite("echo"))  # which figures there are is the same for all suites
    by_tier = {tier: [metric for metric in metrics if _needs_of(metric) is tier] for tier in Tier}
    measures = {f"{len(found)} figures of the report": tier for tier, found in by_tier.items() if found}
    return methods, {**measures, "L7, membership by log-probabilities": NEEDS}


def _needs_of(plugin: object) -> Tier:
    named = getattr(plugin, "needs", Tier.T0)
    try:
        return Tier(named)
    except ValueError as error:
        raise PluginError(
            f"{type(plugin).__name__} needs {named!r}, which is no tier",
            why=f"tiers are {', '.join(Tier)}",
            fix="see opoi.types.Tier",
        ) from error


def _key(model: EndpointModel) -> str:
    return endpoint_key(model.line.where.url, model.name)


def _probe(run: Run, model: EndpointModel) -> Capabilities:
    from opoi.models.endpoint.probe import probe

    watch = run.progress.start(f"probe {model.name}", 0)
    try:
        return probe(
            model.line,
            model.name,
            temperature=run.settings.endpoint.temperature,
            progress=lambda _: watch.advance(),
        )
    finally:
        watch.close()


def require(run: Run) -> None:
    """Refuse what the endpoint of the agent is known not to give, before anything is paid for.

    Raises:
        UsageError: A strategy needs more than the endpoint gives, or a limit needs what it does not tell.
        PluginError: What a strategy says that it needs is no tier.
    """
    settings = run.settings
    found = run.endpoints.get(endpoint_key(settings.model, settings.model_name))
    if found is None:
        return
    for arm in settings.arms():
        needed = _needs_of(load_strategy(arm.use, arm.settings))
        if not found.tier.covers(needed):
            raise UsageError(
                f"the arm {arm.name!r} needs {needed}, and {settings.model} gives {found.tier}",
                why=f"see: opoi probe {settings.model}",
                fix="leave the arm out, or serve the model with something that gives more (docs/servers.md)",
            )
    tells = found.stream_usage == "given" if settings.endpoint.stream else found.usage
    if settings.max_tokens_total and not tells:
        what = "streams" if settings.endpoint.stream else "answers"
        raise UsageError(
            f"{settings.model} does not tell how many tokens its {what} cost",
            why="the limit on tokens would never be reached",
            fix="limit the calls with --max-calls",
        )
