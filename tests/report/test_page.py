"""The report of the command: whole, by itself, and saying what ``summary.json`` says."""

import dataclasses
import json
import re
import shutil
import subprocess
import warnings

import numpy as np
import pytest
import yaml
from astropy.table import Table as AstropyTable
from ctapipe.core import run_tool

from ctapipe_gammalearn.report.page import Key, Section, Table, page
from ctapipe_gammalearn.report.time_figure import timing_section
from ctapipe_gammalearn.tools.irf import IrfTool
from ctapipe_gammalearn.tools.irf_report import write_report
from tests.irf.dl2 import PREFIXES, write_dl2
from tests.irf.toy import sample as toy_sample
from tests.irf.toy import toy
from tests.report.reader import Report, found, same

SCALE = {"ref": 1.0, "dl": 0.8}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ENERGY = ("sensitivity", "sensitivity_percent", "theta68", "eres", "bias", "aeff", "auc")
ENERGY += ("background_rate", "efficiency", "containment68", "cuts", "cuts_left")
EVENTS = ("roc", "gammaness", "purity", "theta2_0", "theta2_1", "theta2_2")


def run(folder, dl2, names, *options):
    """Exit code of the command for some reconstructors."""
    labels = {"reference": "Hillas & <RF>", "network": "γ-PhysNet", "third": "v1.5"}
    prefixes = {"reference": "ref", "network": "dl", "third": "dl"}
    settings = {
        "reconstructors": {n: PREFIXES[prefixes[n]] | {"label": labels[n]} for n in names},
        "background_ring": [0.0, 3.0], "n_replicas": 40, "seed": 123456,
    }  # fmt: skip
    (folder / "irf.yaml").write_text(yaml.safe_dump({"IrfTool": settings}), encoding="utf-8")
    argv = ["--config", folder / "irf.yaml", *dl2, *options]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        return run_tool(IrfTool(), argv=[str(w) for w in argv], cwd=folder, raises=True)


@pytest.fixture(scope="module")
def dl2(tmp_path_factory):
    """Options that give files of gammas and protons, some of which are not valid."""
    folder = tmp_path_factory.mktemp("dl2")
    rng = np.random.default_rng(1)
    for kind, sample in toy(8_000, 12_000, seed=3, scale=SCALE).items():
        parts = {
            name: dataclasses.replace(r, valid=rng.random(len(sample)) > lost)
            for (name, r), lost in zip(sample.reconstructions.items(), (0.05, 0.01), strict=True)
        }
        sample = dataclasses.replace(sample, reconstructions=parts)
        write_dl2(folder / f"{kind}.dl2.h5", sample)
    return ["--gamma", folder / "gamma.dl2.h5", "--proton", folder / "proton.dl2.h5"]


@pytest.fixture(scope="module")
def out(dl2, tmp_path_factory):
    """Folder of a finished run."""
    folder = tmp_path_factory.mktemp("report")
    assert run(folder, dl2, ["reference", "network"], "-o", folder / "out") == 0
    return folder / "out"


@pytest.fixture(scope="module")
def summary(out):
    """What the page is about."""
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def report(out):
    """The page, parsed."""
    return Report((out / "report.html").read_text(encoding="utf-8"))


def test_every_number_is_that_of_the_summary(report, summary):
    assert len(report.keys) > 100
    wrong = [(k, t, found(summary, k)) for k, t in report.keys if not same(t, found(summary, k))]
    assert not wrong


def test_no_cell_of_a_table_has_a_number_of_its_own(report):
    loose = [t for t in report.loose if re.search(r"\d", t.replace("θ68", "").replace("v1.5", ""))]
    assert not loose


def test_all_of_the_verdict_is_on_the_page(report, summary):
    keys = {k for k, _ in report.keys}
    assert "verdict.network.headline" in keys
    for i, _ in enumerate(summary["verdict"]["network"]["endpoints"]):
        for name in ("reference", "candidate", "p_holm", "n", "n_bins", "sentence"):
            assert f"verdict.network.endpoints.{i}.{name}" in keys


@pytest.mark.parametrize("key", ENERGY + EVENTS)
def test_every_figure_is_there(report, out, key):
    assert key in report.ids
    assert (out / "figures" / f"{key}.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize(
    "key", ["kept_network_valid", "kept_network_above", "endpoints_network", "migration_reference"]
    + [f"scatter_network_{q}" for q in ("gammaness_gamma", "log10_energy_gamma")]
)  # fmt: skip
def test_every_figure_of_a_pair_is_there(report, key):
    assert key in report.ids


def test_every_figure_has_words_and_a_table(report, out):
    pictures = [a for a in report.all("svg") if a.get("role") == "img"]
    assert len(pictures) == len(list((out / "figures").iterdir())) == len(report.all("figure"))
    assert all(len(a["aria-label"]) > 80 for a in pictures)
    tables = [a["href"] for a in report.all("a") if a["href"].startswith("benchmarks/")]
    assert len(tables) == len(pictures)
    assert not [t for t in tables if not (out / t).is_file()]


def test_the_page_needs_nothing_else(report, out):
    text = (out / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", text)
    assert not re.search(r"@import|url\(\s*['\"]?http", text)
    assert not report.all("script")
    assert len(text.encode()) < 4e6


def test_identifiers_are_unique_and_links_lead_somewhere(report):
    assert len(report.ids) == len(set(report.ids))
    inside = {a["href"][1:] for a in report.all("a") if a["href"].startswith("#")}
    assert inside <= set(report.ids)


def test_names_are_text_and_never_markup(out):
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<RF>" not in text
    assert "Hillas &amp; &lt;RF&gt;" in text


def test_order_of_the_page(report):
    wanted = ["verdict", "warnings", "by-energy", "events", "definitions", "provenance"]
    places = [report.ids.index(name) for name in wanted]
    assert places == sorted(places)


def test_tables_and_summary_give_the_same_page_again(out, tmp_path):
    """Nothing is drawn that is not in a table, and the same tables give the same bytes."""
    tables = {p.stem: AstropyTable.read(p) for p in (out / "benchmarks").iterdir()}
    write_report(tmp_path, json.loads((out / "summary.json").read_text()), tables)
    names = ["report.html", *(f"figures/{p.name}" for p in out.glob("figures/*"))]
    assert len(names) > 20
    assert not [n for n in names if (tmp_path / n).read_bytes() != (out / n).read_bytes()]


def test_no_html_gives_the_same_summary_without_page_and_figures(out, dl2, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("of an earlier run")
    options = ["-o", tmp_path / "out", "--no-html"]
    assert run(tmp_path, dl2, ["reference", "network"], *options) == 0
    assert not (tmp_path / "out" / "report.html").exists()
    assert not (tmp_path / "out" / "figures").exists()
    names = ["summary.json", *(f"benchmarks/{p.name}" for p in out.glob("benchmarks/*"))]
    assert not [n for n in names if (tmp_path / "out" / n).read_bytes() != (out / n).read_bytes()]


@pytest.mark.parametrize("names", [["reference"], ["reference", "network", "third"]], ids=len)
def test_one_or_three_reconstructors(dl2, tmp_path, names):
    assert run(tmp_path, dl2, names, "-o", tmp_path / "out") == 0
    report = Report((tmp_path / "out/report.html").read_text(encoding="utf-8"))
    summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    assert set(ENERGY + EVENTS) <= set(report.ids)
    assert {f"migration_{n}" for n in names} <= set(report.ids)
    assert not [k for k, t in report.keys if not same(t, found(summary, k))]


def test_warnings_say_what_is_missing(report, summary):
    assert any("No electrons" in w for w in summary["warnings"])
    assert [k for k, _ in report.keys if k.startswith("warnings.")]


def test_without_diffuse_gammas_the_section_says_so(report, out):
    assert "By-offset".lower() in {i.lower() for i in report.ids}
    assert "No diffuse gammas were given" in (out / "report.html").read_text(encoding="utf-8")
    names = [p.stem for p in (out / "figures").glob("offset_*")]
    assert names == ["offset_background_efficiency"]


@pytest.mark.parametrize("n_diffuse", [4000, 40])
def test_diffuse_gammas_are_shown_by_offset(n_diffuse, dl2, tmp_path):
    """Few of them, too: no error and no warning."""
    sample = toy_sample("gamma_diffuse", n_diffuse, np.random.default_rng(2), SCALE)
    write_dl2(tmp_path / "d.h5", sample)
    options = ["--gamma-diffuse", tmp_path / "d.h5", "-o", tmp_path / "out"]
    assert run(tmp_path, dl2, ["reference", "network"], *options) == 0
    report = Report((tmp_path / "out/report.html").read_text(encoding="utf-8"))
    for name in ("efficiency", "aeff", "theta68", "eres", "bias", "auc", "background_efficiency"):
        assert f"offset_{name}" in report.ids
        table = AstropyTable.read(tmp_path / f"out/benchmarks/offset_{name}.ecsv")
        assert table["valid"].any() == (n_diffuse > 1000 or name == "background_efficiency")
        svg = (tmp_path / f"out/figures/offset_{name}.svg").read_text(encoding="utf-8")
        assert ("too few events" in svg) == (not table["valid"].all())
    summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    table = AstropyTable.read(tmp_path / "out/benchmarks/offset_auc.ecsv")
    rows = table[table["reconstructor"] == "network"]
    rings = summary["by_offset"]["auc"]["network"]
    for key, missing in (("offset_max", 0), ("value", None), ("n_bkg_mc", 0), ("valid", 0)):
        values = rows[key].tolist()
        assert [r[key] for r in rings] == [missing if v != v else v for v in values]
    table = AstropyTable.read(tmp_path / "out/benchmarks/theta68.ecsv")
    np.testing.assert_allclose(table["offset_min"], 0.3, atol=1e-9)
    np.testing.assert_allclose(table["offset_max"], 0.5, atol=1e-9)


def test_leakage_is_a_banner(summary):
    name = next(iter(summary["leakage"]))
    assert not [a for a in Report(page(summary, [])).all("div") if a.get("role") == "alert"]
    found = {"overlap": True, "sentences": ["7 events were trained on"]}
    report = Report(page(summary | {"leakage": summary["leakage"] | {name: found}}, []))
    assert (f"leakage.{name}.sentences.0", "7 events were trained on") in report.keys
    assert [a for a in report.all("div") if a.get("role") == "alert"]


def test_time_per_event_is_a_table_and_a_figure(summary):
    name = summary["settings"]["reference"]
    timing = {"machine": "a <fast> one", "ms_per_event": {name: 2.0}, "ratio": {name: 1.0}}
    timing["ms_range"] = {name: [2.0, 2.5]}
    text = page(summary | {"timing": timing}, [timing_section(timing, {name: "Forest"}, name)])
    report = Report(text)
    assert "timing" in report.ids
    assert "from the fastest to the slowest run" in text
    assert {(f"timing.ms_per_event.{name}", "2"), (f"timing.ratio.{name}", "1")} <= {*report.keys}
    assert "a &lt;fast&gt; one" in text


def test_tables_of_other_sections_take_their_numbers_from_the_summary(summary):
    rows = [["replicas", Key(("settings", "n_replicas"), "d")]]
    text = page(summary, [Section("More", "Text.", [], [Table("A table", ["what", "n"], rows)])])
    assert ("settings.n_replicas", "40") in Report(text).keys


PROBE = """<script>
window.addEventListener("load", () => {
  const boxes = [...document.querySelectorAll("figure svg")].map(s => s.getBoundingClientRect());
  const places = [...document.querySelectorAll("[data-key]")];
  const keys = places.map(e => [e.dataset.key, e.textContent]);
  const result = {drawn: boxes.filter(b => b.width > 100 && b.height > 80).length,
    wide: document.documentElement.scrollWidth - window.innerWidth, keys: keys};
  const place = document.createElement("pre");
  place.id = "probe"; place.textContent = JSON.stringify(result); document.body.append(place);
});
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_in_a_browser(out, summary, tmp_path, width, scheme):
    """No message on the console, all figures drawn, no sideways scrolling, the same numbers."""
    text = (out / "report.html").read_text(encoding="utf-8").replace("</body>", PROBE)
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={scheme}", f"--window-size={width},900",
            "--enable-logging=stderr", "--v=0", "--dump-dom", f"file://{tmp_path}/report.html",
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)[1]
    result = json.loads(probe.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert result["drawn"] == len(list((out / "figures").iterdir()))
    assert result["wide"] <= 0
    assert len(result["keys"]) > 100
    assert not [k for k, t in result["keys"] if not same(t, found(summary, k))]
