"""Learning classical domains on AMLGym's suite: worldplan against its SAM, OffLAM and NOLAM.

    python -m benchmarks.numeric.amlgym --peer PYTHON [--problems 5] [--limit 5]

PYTHON is an interpreter with AMLGym (see benchmarks/numeric/amlgym_peer.py); its package carries
the domains, trajectories, problems and test states, none of which is copied here. All systems learn
from the suite's ten complete, noiseless trajectories of each domain. That is the setting of SAM.
OffLAM is made for partial and NOLAM for noisy traces; both take complete ones, NOLAM with noise 0.

Syntactic precision and recall and problem solving (Fast Downward, validated in the reference
domain) are AMLGym's own code, in its own process. Predicted applicability and effects have AMLGym's
definition, evaluated here on its test states (`predictive_power_fast`), because its simulator takes
minutes a domain. A false plan is one that fails in the reference domain.

Learning time is CPU seconds, files included. Rows are kept in results/amlgym.csv and finished rows
are not run again; the tables are in the .md beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from worldplan.planners.numeric.model_scores import Agreement, changes
from worldplan.world_models.action_model.learner import learn
from worldplan.world_models.numeric.domain import Ground, NumericAction, NumericModel, State
from worldplan.world_models.numeric.trajectories import read_objects, read_trajectory
from worldplan.world_models.pddl.reading import read_model, read_vocabulary
from worldplan.world_models.pddl.writing import write_domain

RESULTS = Path(__file__).resolve().parent / "results"
PEER = Path(__file__).with_name("amlgym_peer.py")
OURS = "worldplan"
KEY = ["domain", "system"]
MEASURES = {
    "learning_seconds": "learning s",
    "syntactic_precision:mean": "synt. prec.",
    "syntactic_recall:mean": "synt. recall",
    "applicability_precision": "applic. prec.",
    "applicability_recall": "applic. recall",
    "effects_precision": "effects prec.",
    "effects_recall": "effects recall",
    "solving:solving_ratio": "solved",
    "solving:false_plans_ratio": "false plans",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peer", required=True, help="an interpreter with AMLGym")
    parser.add_argument("--domains", nargs="+", help="default: all that have trajectories")
    parser.add_argument("--systems", nargs="+", default=[OURS, "SAM", "OffLAM", "NOLAM"])
    parser.add_argument("--problems", type=int, default=5, help="problems to solve in each domain")
    parser.add_argument("--limit", type=int, default=5, help="seconds for a problem")
    parser.add_argument(
        "--stop", type=int, default=300, help="seconds for learning, and for the metrics"
    )
    parser.add_argument("--batch", type=int, default=7, help="domains in one process of the peer")
    options = parser.parse_args()
    options.peer = str(Path(options.peer).absolute())
    command = [options.peer, "-P", str(PEER), "data"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    data = Path(json.loads(output)["data"])
    domains = options.domains or sorted(p.name for p in (data / "trajectories/learning").iterdir())
    table = RESULTS / "amlgym.csv"
    rows = pd.read_csv(table).to_dict("records") if table.exists() else []
    done = {tuple(row[name] for name in KEY) for row in rows}
    for system in options.systems:
        missing = [domain for domain in domains if (domain, system) not in done]
        for start in range(0, len(missing), options.batch):
            batch = missing[start : start + options.batch]
            rows += [
                {"domain": domain, "system": system} | row
                for domain, row in run(data, batch, system, options).items()
            ]
            pd.DataFrame(rows).to_csv(table, index=False)
            print(pd.DataFrame(rows[-len(batch) :]).to_string(), flush=True)
    text = report(pd.DataFrame(rows), options)
    (RESULTS / "amlgym.md").write_text(text)
    print(text)


def run(
    data: Path, domains: list[str], system: str, options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """The rows of some domains and one system."""
    rows: dict[str, dict[str, Any]] = {domain: {"note": ""} for domain in domains}
    peer, stop = [options.peer, "-P", str(PEER)], str(options.stop)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if system == OURS:
            for domain in domains:
                rows[domain] |= ours(data, domain, folder / f"{domain}.pddl")
        else:
            add(rows, [*peer, "learn", scratch, stop, system, *domains])
        learned = [domain for domain in domains if (folder / f"{domain}.pddl").exists()]
        for domain in learned:
            try:
                rows[domain] |= predictive(data, domain, folder / f"{domain}.pddl")
            except Exception as error:  # a peer's domain may be no PDDL that can be read exactly
                rows[domain]["note"] = f"predictive metrics: {error}"[:200]
        limits = [str(options.problems), str(options.limit)]
        add(rows, [*peer, "judge", scratch, stop, *limits, *learned])
    return rows


def add(rows: dict[str, dict[str, Any]], command: list[str]) -> None:
    """Add what a process of the peer prints to the rows of its domains."""
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in output.splitlines():
        if line.startswith("{"):
            entry = json.loads(line)
            rows[entry.pop("domain")] |= entry


def ours(data: Path, domain: str, learned: Path) -> dict[str, Any]:
    """Learn without problem files, and write the model."""
    vocabulary = read_vocabulary(data / "domains" / f"{domain}.pddl")
    start = time.process_time()
    paths = sorted((data / "trajectories/learning" / domain).iterdir())
    model = learn(vocabulary, [read_trajectory(path, vocabulary) for path in paths])
    seconds = time.process_time() - start
    write_domain(model, learned)
    excluded = model.detail["report"].excluded
    return {
        "learning_seconds": seconds,
        "note": "; ".join(f"{name}: {reason}" for name, reason in excluded.items()),
    }


def predictive(data: Path, domain: str, path: Path) -> dict[str, float]:
    """AMLGym's predicted applicability and effects, as means over the actions."""
    true, learned = read_model(data / "domains" / f"{domain}.pddl"), read_model(path)
    states = json.loads(
        (data / "states/predictive_power_fast" / domain / "test_states.json").read_text()
    )
    applicability: dict[str, Agreement] = {}
    effects: dict[str, Agreement] = {}
    for problem, by_number in states.items():
        objects = read_objects(data / "problems/predictive_power" / domain / problem)
        objects = {**true.vocabulary.constants, **objects}
        for entry in by_number.values():
            atoms = frozenset(tuple(text[1:-1].split()) for text in entry["fluents"])
            state = State(atoms, {})
            allowed = set(applicable_calls(learned, objects, state))
            right = {
                (name, *arguments)
                for name, calls in entry["applicable_actions"].items()
                for arguments in calls
            }
            for name in {call[0] for call in allowed | right} | set(entry["applicable_actions"]):
                known = {call for call in allowed if call[0] == name}
                correct = {call for call in right if call[0] == name}
                applicability[name] = applicability.get(name, Agreement()) + compared(
                    correct, known
                )
                for call in known & correct:
                    effects[name] = effects.get(name, Agreement()) + compared(
                        changes(state, true.actions[name].successor(call[1:], state)),
                        changes(state, learned.actions[name].successor(call[1:], state)),
                    )
    return _means("applicability", applicability) | _means("effects", effects)


def compared(true: set[Any], learned: set[Any]) -> Agreement:
    """The counts of two sets."""
    return Agreement(len(true & learned), len(learned - true), len(true - learned))


def _means(name: str, agreement: dict[str, Agreement]) -> dict[str, float]:
    """Mean precision and recall over the actions; 1 where there is nothing to count."""
    recalls = [a.recall if a.both + a.true_only else 1.0 for a in agreement.values()]
    precisions = [a.precision for a in agreement.values()]
    count = len(agreement) or 1
    return {
        f"{name}_precision": sum(precisions) / count,
        f"{name}_recall": sum(recalls) / count,
    }


def applicable_calls(
    model: NumericModel, objects: dict[str, str], state: State
) -> Iterator[Ground]:
    """Every ground action of a model that is applicable in a state."""
    by_name: dict[str, list[Ground]] = {}
    for atom in state.atoms:
        by_name.setdefault(atom[0], []).append(atom)
    vocabulary = model.vocabulary
    fitting = {
        kind: [name for name, own in objects.items() if vocabulary.is_a(own, kind)]
        for kind in {kind for action in model.actions.values() for _, kind in action.parameters}
    }
    for action in model.actions.values():
        for binding in _bindings(action, by_name, fitting):
            if action.applicable(binding, state):
                yield (action.name, *binding)


def _bindings(
    action: NumericAction, by_name: dict[str, list[Ground]], fitting: dict[str, list[str]]
) -> Iterator[Ground]:
    """The bindings under which every positive precondition is a true atom."""
    conditions = sorted(action.positive, key=lambda atom: len(by_name.get(str(atom[0]), ())))

    def extended(number: int, bound: dict[int, str]) -> Iterator[dict[int, str]]:
        if number == len(conditions):
            missing = next((i for i in range(len(action.parameters)) if i not in bound), None)
            if missing is None:
                yield bound
            else:
                for name in fitting[action.parameters[missing][1]]:
                    yield from extended(number, bound | {missing: name})
            return
        name, *terms = conditions[number]
        for atom in by_name.get(str(name), ()):
            new = dict(bound)
            if all(
                new.setdefault(term, value) == value if isinstance(term, int) else term == value
                for term, value in zip(terms, atom[1:], strict=True)
            ):
                yield from extended(number + 1, new)

    kinds = [set(fitting[kind]) for _, kind in action.parameters]
    for bound in extended(0, {}):
        if all(bound[i] in kind for i, kind in enumerate(kinds)):
            yield tuple(bound[i] for i in range(len(kinds)))


def report(rows: pd.DataFrame, options: argparse.Namespace) -> str:
    """Means by system, and a row for each domain."""
    systems = list(dict.fromkeys(rows["system"]))
    lines = [
        "# Classical domains of AMLGym 1.0.13: worldplan against the suite's learners",
        "",
        f"Ten complete trajectories a domain; {options.problems} problems, {options.limit} s each, "
        "by Fast Downward. Means over the domains that a system finished; learning in CPU seconds "
        "(mean, in brackets the longest). `python -m benchmarks.numeric.amlgym` made this table.",
        "",
        f"| system | domains | {' | '.join(MEASURES.values())} |",
        f"|{'---|' * (len(MEASURES) + 2)}",
    ]
    for system in systems:
        part = rows[rows.system == system]
        finished = part[part["solving:solving_ratio"].notna()]
        cells = [f"{part[name].mean():.3f}" for name in MEASURES]
        cells[0] = f"{part.learning_seconds.mean():.2f} ({part.learning_seconds.max():.1f})"
        lines.append(f"| {system} | {len(finished)} of {len(part)} | {' | '.join(cells)} |")
    heads = " | ".join(f"{name}: s, synt. recall, solved, false" for name in systems)
    lines += ["", f"| domain | {heads} | note |", f"|{'---|' * (len(systems) + 2)}"]
    names = (
        "learning_seconds",
        "syntactic_recall:mean",
        "solving:solving_ratio",
        "solving:false_plans_ratio",
    )
    for domain, part in rows.groupby("domain", sort=True):
        by_system = part.set_index("system")
        cells = [
            ", ".join(f"{by_system.loc[system, name]:.2f}" for name in names)
            if system in by_system.index
            else ""
            for system in systems
        ]
        note = by_system.loc[OURS, "note"] if OURS in by_system.index else ""
        note = "" if not isinstance(note, str) else note
        lines.append(f"| {domain} | {' | '.join(cells)} | {note} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
