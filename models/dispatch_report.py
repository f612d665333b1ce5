"""What is said of a dispatch policy: its cost beside others', storage, generation, prices, training, feasibility."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sciml.dispatch import compare, plots
from sciml.report import Report

if TYPE_CHECKING:
    from models.dispatch import DispatchLearning


def headline(module: DispatchLearning) -> str:
    """The result of a run in one sentence."""
    verdict = module.verdict
    if verdict is None:
        return "Nothing was tested."
    comparison, own = verdict.comparison, next(iter(verdict.results))
    rows = {row.name: row for row in comparison.rows}
    row = rows[own]
    beside = []
    if own != comparison.reference:
        beside.append(f"{row.percent:+.2f} % ± {row.percent_half:.2f} against {comparison.reference}")
    if verdict.sddp and verdict.sddp.network == comparison.network:
        bound = verdict.sddp.bound
        beside.append(f"{100 * (row.cost / bound - 1):.2f} % above its lower bound")
    rival = next((name for name in module.settings if name), None)
    if rival:
        beside.append(f"{100 * (row.cost / rows[rival].cost - 1):+.2f} % against {rival}")
    return (
        f"{own} dispatches {module.case.name} for {row.cost:,.0f} $ in {module.data.stages} stages, network "
        f"{comparison.network}, {row.scenarios} scenarios that were not trained on: {', '.join(beside) or 'alone'}."
    )


def describe(module: DispatchLearning, report: Report) -> None:
    """Add tables and figures of the test to a report."""
    verdict = module.verdict
    if verdict is None:
        return
    own, results = next(iter(verdict.results)), verdict.results
    _costs(module, report)
    mine = results[own]
    against = results.get(verdict.comparison.reference) if verdict.comparison.reference != own else None
    report.section("Water")
    text = f"Stored water under {own}: median and bands over the scenarios, limits dashed."
    report.figure("storage", plots.storage_fan(mine, against=against), text)
    report.section("Power")
    report.figure("generation", plots.generation_mix(mine), f"Mean generation under {own}.")
    figure = plots.prices_and_water_values(mine)
    report.figure("prices", figure, "Marginal prices of the load, and what another hm3 of water would have saved.")
    _training(module, report)
    report.section("Feasibility", "Recomputed from volumes, flows and voltages, not taken from the solver.")
    report.code(str(verdict.feasible))
    report.section("The case")
    report.code(module.case.summary())


def _costs(module: DispatchLearning, report: Report) -> None:
    verdict = module.verdict
    assert verdict is not None
    comparison = verdict.comparison
    report.section(
        "Cost",
        f"Operating cost of {module.data.stages} stages, simulated stage by stage in the network {comparison.network} "
        f"on the same {comparison.rows[0].scenarios} scenarios, of which none was trained on or chosen by; differences "
        "are paired, with 95 % intervals.",
    )
    head, lines = comparison.table()
    report.table(head, lines)
    # Who uses up all water at once is too far away to be in one picture with the others.
    serious = {name: results for name, results in verdict.results.items() if name != "myopic"}
    if len(serious) > 1:
        figure = plots.paired_comparison(compare(serious, comparison.reference))
        report.figure("paired", figure, "Difference of every scenario, and their mean.")
    report.figure("costs", plots.cost_distribution(serious), "Costs of the scenarios.")
    rows: list[list[object]] = []
    if verdict.foresight is not None:
        rows.append(["cost with all inflows known in advance, $", f"{verdict.foresight:,.0f}"])
    if verdict.sddp:
        sddp = verdict.sddp
        last = sddp.history[-1]
        rows += [
            [f"SDDP's lower bound, network {sddp.network}, $", f"{sddp.bound:,.0f}"],
            ["... iterations", last.iteration],
            ["... CPU seconds", f"{last.seconds:.1f}"],
        ]
    if module.history:
        rows.append([f"seconds of training, all rules together, to step {module.history[-1].step}", _seconds(module)])
    for name, seconds in verdict.decision_seconds.items():
        what = "optimum of a stage with its cuts" if name == "SDDP" else "targets of a stage"
        rows.append([f"time of one decision of {name} ({what})", f"{1e6 * seconds:,.0f} µs"])
    report.table(["", "value"], rows)


def _training(module: DispatchLearning, report: Report) -> None:
    verdict, history = module.verdict, module.history
    assert verdict is not None
    if len(history) > 1:
        # Rules are trained in the same steps, so that the time of each is a share of what all take.
        share = 1 / len(module.policies)
        curves = {
            name: ([share * record.seconds for record in history], [record.costs[name] for record in history])
            for name in module.policies
        }
        sddp = verdict.sddp if verdict.sddp and verdict.sddp.network == module.network_name else None
        bound = ([r.seconds for r in sddp.history], [r.bound for r in sddp.history]) if sddp else None
        clock = "wall time" if module.workers else "CPU time"
        report.section("Training")
        text = f"Cost of the validation scenarios in training, against {clock}, shared equally among the rules."
        report.figure("training", plots.training_curves(curves, bound=bound), text)
    if verdict.sddp and len(verdict.sddp.history) > 1:
        report.figure("sddp", plots.sddp_convergence(verdict.sddp.history), "SDDP: lower bound and forward passes.")


def _seconds(module: DispatchLearning) -> str:
    clock = "wall" if module.workers else "CPU"
    return f"{module.history[-1].seconds:.1f} ({clock})"
