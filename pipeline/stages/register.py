"""Let the best tracked model challenge the champion, and move the registry alias if every rule holds.

The candidate is the run with the best validation figure at one threshold; the test patients have no part in
that. Candidate and champion are then downloaded from the registry and scored on the present test patients,
and the rules of configs/register.yaml judge: the candidate's own figures, its differences from the champion
over the same draws of patients, and how it is served. They can hold the candidate back, never choose another.
Weak evidence, as few patients or a choice by `--run`, needs `--force` and is tagged; a rule that fails is not
to be forced. gate.json holds every rule with figure, bound, verdict and reason (docs/registry.md).
"""

import argparse
import logging
from typing import Any

from rich.console import Console

from patching.errors import ArtifactError, RegistryError
from pipeline.artifacts import Paths
from pipeline.config import Context, load_cohort, load_stage, require_slides
from pipeline.deployment.challenger.choice import choose, shown
from pipeline.deployment.challenger.evidence import gather_evidence
from pipeline.deployment.challenger.findings import failing, weak
from pipeline.deployment.challenger.promotion import Aliases, one_at_a_time, promote, publish
from pipeline.deployment.challenger.record import Judgement, gate_json, gate_path, gate_table, now
from pipeline.deployment.challenger.rules import Claim, judge
from pipeline.deployment.challenger.settings import RegisterSettings
from pipeline.files import read_json, write_json
from pipeline.tracking.models import Logged, ModelStore
from pipeline.tracking.registry import Registry

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to register, under which alias, and what is accepted."""
    parser.add_argument("--threshold", help="compare the runs at this threshold (default: the settings')")
    parser.add_argument("--alias", help="alias to move (default: the settings')")
    parser.add_argument(
        "--run",
        dest="named",
        metavar="RUN",
        help="register this run, as `gerne-low`: skips the choice by validation, which needs `--force`",
    )
    parser.add_argument(
        "--approve",
        metavar="NAME",
        default="",
        help="who approves the promotion: recorded in gate.json and tags",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="accept weak evidence, which is tagged; a rule that fails still holds",
    )
    parser.add_argument("--dry-run", action="store_true", help="judge, and write and move nothing")


def run(context: Context, options: argparse.Namespace) -> None:
    """Choose, judge, and move the alias; does nothing where it points to the candidate already.

    Raises:
        RegistryError: nothing is tracked, no run is a candidate, the gate holds, or another process is at it.
        ConfigError: the cohort is an imported benchmark, or there can be no such alias.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "a model to register")
    settings = load_stage(context.configs, context.cohort, "register", RegisterSettings).under(options.alias)
    threshold, alias = options.threshold or settings.threshold, settings.alias
    logged, claim = _candidate(context, settings, threshold, options)
    root = context.paths.root
    with one_at_a_time(root):
        registry = Registry(root, context.cohort)
        candidate, champion = registry.version(logged.version), registry.aliased(alias)
        if champion is not None and champion.number == candidate.number:
            logger.info("%s is at %s already", alias, candidate.told)
        else:
            evidence = gather_evidence(context, registry, threshold, candidate, champion)
            findings = judge(evidence, settings, claim)
            judgement = Judgement(
                alias, threshold, evidence, findings, settings, claim, forced=options.force, at=now()
            )
            Console().print(gate_table(judgement))
            if not options.dry_run:
                place = gate_path(context.paths)
                write_json(place, gate_json(judgement, registry.model))
                publish(registry, judgement, place)
            _require(judgement)
            if not options.dry_run:
                promote(registry, Aliases(alias, settings.previous), candidate, champion)
    done = "would be" if options.dry_run else "is"
    print(f"models:/{registry.model}@{alias} {done} {candidate.told}")


def _candidate(
    context: Context, settings: RegisterSettings, threshold: str, options: argparse.Namespace
) -> tuple[Logged, Claim]:
    """The run that validation chooses, or the one that was named."""
    store = ModelStore(context.paths.root, context.cohort)
    tracked = _tracked(context.paths, threshold, options.named)
    figures = {name: store.figures(logged) for name, logged in tracked.items()}
    name = options.named or choose(figures, settings.validation)
    figure = settings.validation.figure
    told = f"{figure} {shown(figures[name], f'validation/{figure}')}"
    return tracked[name], Claim(told, named=bool(options.named), approved=options.approve.strip())


def _require(judgement: Judgement) -> None:
    """Hold the candidate back where a rule does.

    Raises:
        RegistryError: with the reason of every such rule.
    """
    if not judgement.reasons:
        return
    candidate = judgement.evidence.candidate
    raise RegistryError(
        has=f"{candidate.told}: {'; '.join(judgement.reasons)}",
        needs="every rule of configs/register.yaml to hold",
        do=_advice(judgement),
    )


def _advice(judgement: Judgement) -> str:
    failed = {each.rule for each in failing(judgement.findings)}
    if failed - {"approval"}:
        return (
            f"leave {judgement.alias} where it is: choosing another model by its test figures would spend "
            "the test patients; change the training, or gather data (docs/registry.md)"
        )
    accept = "gather patients; or accept this weak evidence with --force, which is recorded"
    if not failed:
        return accept
    name = "have somebody answer for it, and add --approve NAME"
    return name if judgement.forced or not weak(judgement.findings) else f"{name}; {accept}"


def _tracked(paths: Paths, threshold: str, run: str | None) -> dict[str, Logged]:
    """The tracked runs to choose from: all at one threshold, or the one that was named."""
    try:
        receipts: list[dict[str, Any]] = read_json(paths.tracked, "track")["runs"]
    except ArtifactError as error:
        raise RegistryError(
            has=f"no tracked models of {paths.cohort} ({error.has})",
            needs=error.needs,
            do="run `evenpatch track` first",
        ) from error
    wanted = [r for r in receipts if (r["run"] == run if run else r["threshold"] == threshold)]
    if not wanted:
        raise RegistryError(
            has=f"tracked runs {', '.join(r['run'] for r in receipts)}",
            needs=f"the run {run}" if run else f"a run at threshold {threshold}",
            do="correct the name, or train, evaluate and track it",
        )
    return {r["run"]: Logged(r["mlflow_run_id"], r["model"], r["version"]) for r in wanted}
