"""`python -m croco.compare` on artifacts made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from croco.artifacts import records, store
from croco.artifacts.files import write_atomically
from croco.artifacts.records import Prompt, Result
from croco.compare import main
from croco.evals.comparing import stored

Scores = Mapping[tuple[str, str], Mapping[str, float]]
"""(system, language) -> prompt -> value"""
EIGHT = [f"p{i}" for i in range(8)]


def finished(root: Path, name: str, scores: Scores, prompts: Mapping[str, str] | None = None, **more: Any) -> Path:
    """A report with an evaluation (`quality`) behind it; `prompts` are English texts by id."""
    evaluation, metric = more.get("evaluation", "quality"), more.get("metric", "quality")
    settings = {
        "method": {"name": more.get("method", name), "seed": more.get("data_seed")},
        "model": {"lora": {"seed": more.get("adapter_seed")}},
        "reward": {"training": {"seed": more.get("reward_seed", more.get("seed", 42))}},
        "lang": {"languages": more.get("languages", ["en", "da"])},
    }
    here = store.Store(root, {"run": {**settings, "seed": more.get("seed", 42), "paths": name}})
    quality = here.artifact(
        evaluation, 1, {"of": name, "grader": more.get("grader", "g"), "quality": {"resamples": name}}
    )
    quality.config.pop("of")
    rows = [
        Result(evaluation, system, prompt, language, 0, name_of, value)
        for (system, language), by_prompt in scores.items()
        for prompt, value in by_prompt.items()
        for name_of in (metric, "tokens")
    ]
    quality.write_table("results", records.schema(Result), map(records.as_dict, rows))
    quality.seal({}, 0.0)
    lineage = {"training": "training/nowhere", evaluation: f"{evaluation}/{quality.address}"}
    if prompts is not None:
        folder = here.artifact("prompts", 1, dict(prompts))
        texts = [Prompt(p, "en", [{"role": "user", "content": text}], "heldout") for p, text in prompts.items()]
        folder.write_table("prompts", records.schema(Prompt), map(records.as_dict, texts))
        folder.seal({}, 0.0)
        lineage["prompts/en"] = f"prompts/{folder.address}"
    report = here.artifact("report", 1, {"of": name})
    write_atomically(report.path / "lineage.json", json.dumps(lineage))
    report.seal({}, 0.0)
    return report.path


def two(root: Path) -> list[str]:
    """Base 0.2 everywhere. `one` is at 0.5; `two` 0.6 in English, 0.3 in Danish, where it did not answer p7."""
    base = {("base", language): dict.fromkeys(EIGHT, 0.2) for language in ("en", "da")}
    one = {("tuned", language): dict.fromkeys(EIGHT, 0.5) for language in ("en", "da")}
    other = {("tuned", "en"): dict.fromkeys(EIGHT, 0.6), ("tuned", "da"): dict.fromkeys(EIGHT[:-1], 0.3)}
    paths = finished(root, "dpo", base | one), finished(root, "sft", base | other)
    return [f"one={paths[0]}", f"two={paths[1]}"]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--format", "json", "--resamples", "200"]) == 0
    return json.loads(capsys.readouterr().out)


def by_key(made: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["system"], row["language"]): row for row in made["rows"]}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_two_runs_against_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sign flips of equal differences reach their mean only all to one side; macro of two: (0.1 - 0.2) / 2."""
    made = said(capsys, *two(tmp_path), "--baseline", "one")
    rows = by_key(made)
    assert made["baseline"] == "one"
    assert list(rows) == [(system, lang) for system in ("base", "two") for lang in ("en", "da", "macro")]
    assert rows["base", "macro"]["difference"] == pytest.approx(-0.3)
    assert rows["two", "en"]["difference"] == pytest.approx(0.1)
    assert rows["two", "macro"]["difference"] == pytest.approx(-0.05)
    assert (rows["two", "da"]["prompts"], rows["two", "da"]["not_shared"]) == (7, 1)
    assert rows["two", "en"]["win_rate"] == 1.0


def test_the_baseline_is_base_and_names_are_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two addresses: the runs are called by their method, in the order given, and p-values are one family: with 8 equal
    differences each of 4 has p = 2 / 2^8 by enumeration, times 4 and less."""
    addresses = [Path(run.partition("=")[2]).name for run in two(tmp_path)]
    made = said(capsys, *reversed(addresses), "--artifacts", str(tmp_path))
    assert (made["baseline"], list(dict.fromkeys(row["system"] for row in made["rows"]))) == ("base", ["sft", "dpo"])
    plain = by_key(said(capsys, *addresses, "--artifacts", str(tmp_path), "--correction", "none"))
    holm = by_key(said(capsys, *addresses, "--artifacts", str(tmp_path)))
    smallest = min(row["p"] for key, row in plain.items() if key[1] != "macro")
    assert min(row["p"] for key, row in holm.items() if key[1] != "macro") == pytest.approx(4 * smallest)


def test_a_single_run_is_compared_with_its_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = Path(two(tmp_path)[0].partition("=")[2]).name
    made = said(capsys, address[:6], "--artifacts", str(tmp_path))
    assert made["baseline"] == "base"
    assert [row["system"] for row in made["rows"]] == [address[:8]] * 3
    assert "fewer than 3 seeds" in made["warnings"][0]


def seeds(root: Path, method: str, *values: float) -> list[str]:
    """A run per seed, at these values on every prompt; the base is at 0.2."""
    base = {("base", "en"): dict.fromkeys(EIGHT, 0.2)}
    return [
        str(
            finished(
                root, f"{method}{seed}", base | {("tuned", "en"): dict.fromkeys(EIGHT, value)}, method=method, seed=seed
            )
        )
        for seed, value in enumerate(values)
    ]


def test_seeds_are_one_arm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Differences by seed 0.1, 0.2, 0.6: mean 0.3. Prompts have no spread, so the interval is that of the seeds: the lowest
    mean of three drawn seeds is 0.1, the highest 0.6. The other method has one seed, and that is said."""
    made = said(capsys, *seeds(tmp_path, "dpo", 0.3, 0.4, 0.8), *seeds(tmp_path, "sft", 0.5))
    rows = by_key(made)
    dpo, sft = rows["dpo", "macro"], rows["sft", "macro"]
    assert (dpo["difference"], dpo["seeds"], sft["seeds"]) == (pytest.approx(0.3), 3, 1)
    assert (dpo["lowest"], dpo["highest"]) == (pytest.approx(0.1), pytest.approx(0.6))
    assert (dpo["low"], dpo["high"]) == (pytest.approx(0.1), pytest.approx(0.6, abs=0.14))
    assert made["warnings"] == ["fewer than 3 seeds (sft 1): what another seed would give is not in these intervals"]
    against = by_key(
        said(capsys, *seeds(tmp_path, "dpo", 0.3, 0.4, 0.8), *seeds(tmp_path, "sft", 0.5), "--baseline", "dpo")
    )
    assert against["sft", "en"]["difference"] == pytest.approx(0.0)


def test_each_seed_is_told_by_its_name_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`seed` that differs is told alone, though the reward model's follows it; another order of the data by its own key. By
    seed the differences are 0.1, 0.2, 0.6: three strokes in the plot of means, three in that of the one language."""
    runs = seeds(tmp_path, "dpo", 0.3, 0.4, 0.8)
    scores = {("base", "en"): dict.fromkeys(EIGHT, 0.2), ("tuned", "en"): dict.fromkeys(EIGHT, 0.5)}
    runs += [str(finished(tmp_path, f"sft{n}", scores, method="sft", data_seed=n)) for n in (7, 8)]
    apart = {"seed": 5, "data_seed": 3, "adapter_seed": 3, "reward_seed": 3}
    said_otherwise = str(finished(tmp_path, "dpo_3", scores, method="dpo", **apart))
    arms = stored.arms([stored.open_run(run, tmp_path) for run in (*runs[:3], said_otherwise)])
    assert [arm.seeds for arm in arms] == ["4 (seed 0, 1, 2, 3)"]
    page = tmp_path / "page.html"
    assert main([*runs, "--resamples", "50", "--html", str(page)]) == 0
    table = capsys.readouterr().out
    assert "3 (seed 0, 1, 2)" in table
    assert "2 (method.seed 7, 8)" in table
    html = page.read_text(encoding="utf-8")
    means, languages = html.split('<svg class="forest"')[1].split("</svg>")[0], html.split("a stroke per seed")[1]
    assert means.count('class="seed') == 3 + 2
    assert "; seeds +0.100, +0.200, +0.600</title>" in means
    assert languages.count('class="seed') == 2 * (3 + 2), "the language and the mean over languages"


def test_languages_that_only_some_runs_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The four runs of `-m lang=da,de method=dpo,sft`: each is compared with base in its own language."""
    runs = []
    for language, method, value in (("da", "dpo", 0.5), ("da", "sft", 0.1), ("de", "dpo", 0.7), ("de", "sft", 0.2)):
        scores = {("base", language): dict.fromkeys(EIGHT, 0.2), ("tuned", language): dict.fromkeys(EIGHT, value)}
        name = f"{language}-{method}"
        runs.append(str(finished(tmp_path, name, scores, method=method, languages=[language])))
    made = said(capsys, *runs)
    rows = by_key(made)
    assert list(rows) == [
        (f"{lang} {m}", where) for lang in ("da", "de") for m in ("dpo", "sft") for where in (lang, "macro")
    ]
    assert rows["de dpo", "de"]["difference"] == pytest.approx(0.5)
    assert any("means over languages" in line for line in made["warnings"])
    other = said(capsys, *runs, "--baseline", "da dpo")
    assert {row["system"] for row in other["rows"]} == {"base", "da sft"}
    assert any(line.startswith("de dpo: not compared") for line in other["warnings"])


def test_any_metric_and_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = said(capsys, *two(tmp_path), "--metric", "tokens", "--baseline", "base")
    assert (made["metric"], made["baseline"]) == ("tokens", "base")
    assert {row["system"] for row in made["rows"]} == {"one", "two"}


def test_false_discovery_is_over_the_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Languages: 4 p-values p1 <= ... <= p4 become min over k >= j of 4 pk / k; macro rows: a family of 2."""
    runs = two(tmp_path)
    raw, bh = (by_key(said(capsys, *runs, "--correction", c)) for c in ("none", "bh"))
    for family in ([k for k in raw if k[1] != "macro"], [k for k in raw if k[1] == "macro"]):
        p = sorted((raw[key]["p"], key) for key in family)
        for j, (_, key) in enumerate(p):
            expected = min(min(1.0, len(p) * p[k][0] / (k + 1)) for k in range(j, len(p)))
            assert bh[key]["p"] == pytest.approx(expected)


def test_the_same_id_with_another_text_is_another_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of p0 to p7, p0 has another text in the second run: 7 are shared, and one of each run is not."""
    scores = {("tuned", "en"): dict.fromkeys(EIGHT, 0.5)}
    texts = {prompt: f"text of {prompt}" for prompt in EIGHT}
    first = finished(tmp_path, "dpo", scores, texts)
    second = finished(tmp_path, "sft", scores, texts | {"p0": "something else"})
    (english, _) = said(capsys, f"a={first}", f"b={second}", "--baseline", "a")["rows"]
    assert (english["prompts"], english["not_shared"]) == (7, 2)


def test_different_bases_keep_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        finished(tmp_path, name, {("base", "en"): {"a": value, "b": 0.0}, ("tuned", "en"): {"a": 1.0, "b": 1.0}})
        for name, value in (("dpo", 0.0), ("sft", 0.5))
    ]
    made = said(capsys, f"a={runs[0]}", f"b={runs[1]}", "--baseline", "a")
    assert [row["system"] for row in made["rows"] if row["language"] == "en"] == ["base", "b base", "b"]
    own = by_key(said(capsys, f"a={runs[0]}", f"b={runs[1]}"))
    assert own["b", "en"]["first"] == pytest.approx(0.25), "each against its own"


def test_evaluations_set_up_differently_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another grader is, other resamples (which differ in every pair of runs here) are not."""
    scores = {("tuned", "en"): dict.fromkeys(EIGHT, 0.5)}
    runs = [f"{n}={finished(tmp_path, n, scores, grader=g)}" for n, g in (("a", "g"), ("b", "g"), ("c", "other"))]
    assert not any("set up" in line for line in said(capsys, *runs[:2])["warnings"])
    assert "the runs' 'quality' was not set up alike: grader" in said(capsys, *runs)["warnings"]


def test_a_win_rate_is_compared_with_one_half(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An arena keeps 1 - win for the base. Runs that win 0.75 and 1 of each prompt have one base, which is at 0.5."""
    runs = []
    for name, won in (("dpo", 0.75), ("sft", 1.0)):
        scores = {("tuned", "en"): dict.fromkeys(EIGHT, won), ("base", "en"): dict.fromkeys(EIGHT, 1 - won)}
        runs.append(f"{name}={finished(tmp_path, name, scores, evaluation='arena', metric='win')}")
    rows = by_key(said(capsys, *runs, "--baseline", "dpo"))
    assert list(rows) == [(system, lang) for system in ("base", "sft") for lang in ("en", "macro")]
    assert rows["base", "en"]["difference"] == pytest.approx(-0.25)
    alone = by_key(said(capsys, *runs, "--metric", "win", "--baseline", "base"))
    assert {key[0]: row["difference"] for key, row in alone.items()} == pytest.approx({"dpo": 0.25, "sft": 0.5})


def test_formats_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [*two(tmp_path), "--resamples", "100", "--baseline", "one"]
    page = tmp_path / "out" / "page.html"
    shown = {}
    for kind in ("text", "markdown", "latex"):
        assert main([*runs, "--format", kind, "--html", str(page)]) == 0
        shown[kind] = capsys.readouterr().out
    assert "method.name=sft" in shown["text"]
    assert "paths" not in shown["text"]
    assert "| two | da | 7 | 1 | 0.5000 | 0.3000 | -0.2000 |" in shown["markdown"]
    assert r"two & da & 7 & 1 & 0.5000 & 0.3000 & -0.2000" in shown["latex"]
    assert shown["latex"].count(r"\begin{tabular}") == shown["latex"].count(r"\end{tabular}") == 3
    html = page.read_text(encoding="utf-8")
    assert "against one" in html
    assert html.count('<svg class="forest"') == html.count('<table class="multiples"') == 1
    assert "-0.200 [-0.200, -0.200]" in html, "two against one in Danish"
    assert "http" not in html.replace("http-equiv", "")


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = two(tmp_path)
    assert "no results of 'arena'; it has quality" in refused(capsys, *runs, "--evaluation", "arena")
    assert "--metric fluency: not in all runs; their 'quality' has quality, tokens" in refused(
        capsys, *runs, "--metric", "fluency"
    )
    assert "--baseline nobody: no such system; there are base, one, two" in refused(
        capsys, *runs, "--baseline", "nobody"
    )
    assert "0 finished artifacts start with 'abc'" in refused(capsys, "abc", "--artifacts", str(tmp_path))
    assert "the same run is named twice" in refused(capsys, runs[0], runs[0])
    elsewhere = finished(tmp_path, "orpo", {("tuned", "de"): {"x": 1.0}})
    french = finished(tmp_path, "kto", {("tuned", "fr"): {"x": 1.0}})
    assert "b: not compared, no prompt in common with a" in refused(capsys, f"a={elsewhere}", f"b={french}")
    quality = next(tmp_path.glob("quality/*"))
    assert "no lineage.json" in refused(capsys, str(quality))


def test_a_run_without_results_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = store.Store(tmp_path).artifact("report", 1, {})
    write_atomically(report.path / "lineage.json", "{}")
    report.seal({}, 0.0)
    assert "no evaluation is in all runs (a: none)" in refused(capsys, f"a={report.path}")
