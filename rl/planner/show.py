"""A forecast in words and for machines."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rl.config.recipe import Recipe
from rl.planner.choose import Choice
from rl.planner.forecast import Forecast
from rl.planner.ladder import LadderForecast
from rl.planner.predict import Prediction


def forecast_dict(recipe: Recipe, forecasts: Sequence[Forecast]) -> dict[str, Any]:
    """Forecasts for machines."""
    return {"recipe": recipe.name, "model": recipe.model.name, "machines": [asdict(each) for each in forecasts]}


def forecast_text(recipe: Recipe, forecasts: Sequence[Forecast]) -> str:
    """Forecasts for people: one in full, several as a table with what they rest on."""
    shape, first = forecasts[0].shape, forecasts[0]
    head = [
        f"recipe     {recipe.name}: {recipe.optimizer.max_steps} steps of {recipe.algorithm.problems_per_step} "
        f"problems x {recipe.rollout.num_generations} completions",
        f"model      {recipe.model.name}: {shape.parameters:,} parameters, {shape.trainable:,} learn",
    ]
    if len(forecasts) == 1:
        return "\n".join([*head, *machine_lines(first)])
    return "\n".join([*head, "", *table(forecasts), "", *assumption_lines(forecasts)])


def machine_lines(forecast: Forecast) -> list[str]:
    """One machine in full."""
    seen = forecast.prediction
    how = "calibrated by running it" if forecast.measured else "not measured, see below"
    cut = f", {seen.cut_share:.0%} cut off" if seen.cut_share else ""
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in seen.seconds.items())
    return [
        f"machine    {forecast.machine}; {how}",
        f"answers    {seen.mean_length:.0f} tokens on average{cut}; {seen.signal_share:.0%} of groups have a signal",
        f"a step     {seen.step_seconds:.1f} s: {phases}",
        f"           {seen.generated_tokens:,.0f} tokens generated; {seen.packed_tokens:,.0f} computed by the learner "
        f"in {seen.passes:.0f} passes, {seen.learner_flops / 1e12:.2f} TFLOP; "
        f"{seen.sync_bytes / 2**20:.0f} MiB to the engine",
        f"the run    {hours(seen)}: start {seen.start_seconds:.0f} s, {seen.evaluations} evaluations of "
        f"{seen.evaluation_seconds:.0f} s, and the steps",
        f"price      {price(seen)}",
        "memory     GiB a rank",
        *(f"  {name:<22}{size:8.2f}" for name, size in seen.memory_gib.items()),
        f"  {'at once, at most':<22}{seen.peak_gib:8.2f}",
        *choice_lines(forecast.choice),
        *assumption_lines([forecast]),
    ]


def choice_lines(choice: Choice) -> list[str]:
    """Whether it fits, what would be chosen, and what would help."""
    if choice.micro_batch_tokens is not None:
        share = choice.gpu_memory_utilization
        engine = "" if share is None else f" rollout.gpu_memory_utilization={share:g}"
        chosen = [f"choice     optimizer.micro_batch_tokens={choice.micro_batch_tokens}{engine}"]
    else:
        chosen = []
    if choice.fits:
        return [f"fits       {choice.peak_gib:.1f} of {choice.limit_gib:.1f} GiB that can be planned with", *chosen]
    helps = [f"  {advice}" for advice in choice.advice] or ["  nothing that the planner knows: use a smaller model"]
    return [f"DOES NOT FIT: it needs {choice.peak_gib:.1f} of {choice.limit_gib:.1f} GiB. What would do:", *helps]


def table(forecasts: Sequence[Forecast]) -> list[str]:
    """Machines side by side."""
    rows = [f"{'machine':<10}{'step s':>8}{'hours':>8}{'dollars':>9}{'GiB':>7}  fits"]
    for each in forecasts:
        seen = each.prediction
        fits = "yes" if each.choice.fits else "no: " + (each.choice.advice or ("use a smaller model",))[0]
        costs = f"{seen.step_seconds:>8.1f}{seen.hours:>8.2f}{priced(seen.dollars):>9}"
        rows.append(f"{each.machine:<10}{costs}{seen.peak_gib:>7.1f}  {fits}")
    return rows


def assumption_lines(forecasts: Sequence[Forecast]) -> list[str]:
    """Everything that was not measured, once."""
    found = dict.fromkeys(text for each in forecasts for text in each.prediction.assumptions)
    return ["assumed, not measured:", *(f"  {text}" for text in found)] if found else []


def ladder_dict(name: str, forecasts: Sequence[LadderForecast]) -> dict[str, Any]:
    """Forecasts of a pipeline for machines."""
    machines = [asdict(each) | {"hours": each.hours, "dollars": each.dollars} for each in forecasts]
    return {"pipeline": name, "machines": machines}


def ladder_text(name: str, forecasts: Sequence[LadderForecast]) -> str:
    """Forecasts of a pipeline for people: a table of stages for each machine, then what they rest on."""
    lines = [f"pipeline   {name}"]
    for each in forecasts:
        lines += ["", f"{each.machine:<18}{'hours':>7}{'dollars':>9}"]
        lines += [
            f"  {rung.stage:<16}{rung.hours:>7.2f}{priced(rung.dollars):>9}  {rung.counted}" for rung in each.rungs
        ]
        lines.append(f"  {'all':<16}{each.hours:>7.2f}{priced(each.dollars):>9}")
    found = dict.fromkeys(text for each in forecasts for text in each.assumptions)
    return "\n".join([*lines, "", "assumed, not measured:", *(f"  {text}" for text in found)])


def priced(dollars: float | None) -> str:
    """Dollars in a column, empty where no price is known."""
    return "" if dollars is None else f"{dollars:.2f}"


def hours(seen: Prediction) -> str:
    """How long a run takes, in the unit that suits."""
    return f"{seen.hours:.1f} hours" if seen.hours >= 2 else f"{seen.hours * 60:.1f} minutes"


def price(seen: Prediction) -> str:
    """What a run costs."""
    if seen.dollars is None:
        return "not known (run.dollars_per_hour, --dollars-per-hour)"
    return f"${seen.dollars:.2f}" if seen.dollars >= 0.1 else f"${seen.dollars:.4f}"
