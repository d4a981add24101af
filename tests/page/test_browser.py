"""The page in a real browser: it loads nothing, complains of nothing, sorts, keeps what was chosen, fits a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from croco import page
from croco.page.curves import Curve
from croco.show.tables import Table
from tests.page import samples
from tests.support import axe, browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium on this machine"),
]
HOSTILE = '</script><img src="http://127.0.0.1:9/x.png" onerror="window.broken=1"><script>window.broken=1</script>'
PHONE = (390, 844)
COLUMN = "[...document.querySelectorAll('#t1 tbody tr')].map(row => row.cells[{}].textContent)"
CLICK = "document.querySelectorAll('#t1 th button')[{}].click()"
SEEN = "[...document.querySelectorAll('.answer')].filter(a => a.offsetParent).map(a => a.id)"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Tab]:
    with browser.tab(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three languages, whose differences as text would sort in another order (-2 before -10); hostile text wherever a user's
    or a model's may stand."""
    rows = [("en", 8, -2.0, -3.0, 1.0), ("da", 8, -10.0, -12.0, -8.0), ("mt", 8, None, None, None)]
    rows += [("macro", 24, 3.5, 1.0, 6.0)]
    results = Table(f"Results {HOSTILE}", ("language", "prompts", "difference", "low", "high"), rows, HOSTILE)
    wide = Table("Wide", [f"a wide column {i}" for i in range(30)], [["x" * 30] * 30])
    made = page.Page(
        title=f"title {HOSTILE}",
        headline=HOSTILE + "unbroken" * 40,
        tables=[results, wide],
        curves=[Curve(HOSTILE, [0, 10], {HOSTILE: [1.0, 0.5], "other": [None, 0.25]})],
        answers=[page.Answer(lang, HOSTILE, HOSTILE, "w" * 500, HOSTILE) for lang in ("en", "da", "da")],
        settings={"key": HOSTILE, "long": "z" * 400},
        more=[Table("Costs", ("artifact", "seconds"), [(HOSTILE, 1.0)])],
        verdict=HOSTILE,
        warnings=[HOSTILE],
    )
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(page.render(made), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with all that a run's may have."""
    file = tmp_path_factory.mktemp("everything") / "page.html"
    file.write_text(page.render(samples.page_of_all()), encoding="utf-8")
    return file.as_uri()


def test_it_loads_nothing_and_complains_of_nothing(tab: browser.Tab, address: str) -> None:
    tab.goto(address)
    assert tab.requests == [address]
    assert tab.complaints == []
    assert tab.tell("performance.getEntriesByType('resource').length") == 0


def test_hostile_text_stays_text(tab: browser.Tab, address: str) -> None:
    tab.goto(address)
    assert tab.tell("window.broken === undefined")
    assert tab.tell("document.images.length") == 0
    assert tab.tell("document.scripts.length") == 1
    assert tab.tell("document.querySelector('#en-1 .said').textContent") == HOSTILE
    assert tab.tell("document.title") == f"title {HOSTILE}"


def test_a_script_that_is_not_the_pages_own_is_refused(tab: browser.Tab, address: str) -> None:
    """The second line of defence: markup that got through escaping would neither run nor load."""
    tab.goto(address)
    tab.tell(f"document.body.insertAdjacentHTML('beforeend', {HOSTILE.replace('</script>', '')!r})")
    assert tab.tell("window.broken === undefined")
    image, script = sorted(tab.complaints, key=lambda said: "inline event handler" in said)  # in either order
    for refused in (image, script):
        assert "violates the following Content Security Policy directive" in refused
    assert "inline event handler" in script
    assert "x.png" in image


def test_a_column_sorts_as_numbers_down_and_back(tab: browser.Tab, address: str) -> None:
    """What is missing comes last both ways; the third click brings the first order back."""
    tab.goto(address)
    first = ["en", "da", "mt", "macro"]
    orders = [["da", "en", "macro", "mt"], ["macro", "en", "da", "mt"], first]
    assert tab.tell(COLUMN.format(0)) == first
    for order, said in zip(orders, ("ascending", "descending", None), strict=True):
        tab.tell(CLICK.format(2))
        assert tab.tell(COLUMN.format(0)) == order
        assert tab.tell("document.querySelectorAll('#t1 th')[2].getAttribute('aria-sort')") == said


def test_the_keyboard_sorts(tab: browser.Tab, address: str) -> None:
    tab.goto(address)
    tab.tell("document.querySelectorAll('#t1 th button')[2].focus()")
    tab.press("Enter", 13)
    assert tab.tell(COLUMN.format(0)) == ["da", "en", "macro", "mt"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(tab: browser.Tab, everything: str, scheme: str) -> None:
    """Contrast, names, order of headings, keyboards' reach, on a page with every kind of picture, all sections open."""
    program = axe.program()
    if program is None:
        pytest.skip("axe-core cannot be fetched")
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.goto(everything)
    assert axe.violations(tab, program) == []
    tab.goto("about:blank")
    tab.tell("(() => { document.body.innerHTML = '<button></button>'; })()")
    assert axe.violations(tab, program), "it would find something"


def test_answers_are_filtered(tab: browser.Tab, everything: str) -> None:
    """Three answers: one in Danish got better, of two in English one, and each was checked for something."""
    choose = (
        "(list => {{ list.value = {!r}; list.dispatchEvent(new Event('change')); }})(document.getElementById({!r}))"
    )
    tab.goto(everything)
    assert tab.tell("document.getElementById('shown').textContent") == "3 answers"
    tab.tell(choose.format("better", "outcome"))
    assert tab.tell(SEEN) == ["da-1", "en-2"]
    tab.tell(choose.format("length", "check"))
    assert tab.tell(SEEN) == ["en-2"]
    tab.goto(tab.tell("location.href"))
    assert tab.tell(SEEN) == ["en-2"]
    assert tab.tell("document.getElementById('shown').textContent") == "1 of 3 answers"
    tab.tell(choose.format("", "outcome"))
    assert tab.tell(SEEN) == ["en-1", "en-2"]


def test_no_table_is_wider_than_the_page(tab: browser.Tab, everything: str) -> None:
    tab.resize(1400, 900, mobile=False)
    tab.goto(everything)
    tab.tell("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    wide = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1).length"
    assert tab.tell(wide) == 0


def test_a_link_shows_the_same(tab: browser.Tab, address: str) -> None:
    """Sort, language, answer and turned sections: chosen in one page, seen in another that is opened at its address."""
    tab.goto(address)
    tab.tell(CLICK.format(2))
    tab.tell("document.querySelector('#da-2 button').click()")
    tab.tell("document.querySelector('#settings summary').click()")
    tab.tell("document.querySelector('#results-2 summary').click()")
    tab.tell(
        "(picker => { picker.value = 'da'; picker.dispatchEvent(new Event('change')); })(document.getElementById('language'))"
    )
    chosen = tab.tell("location.href")
    for _ in range(2):
        assert tab.tell(COLUMN.format(0)) == ["da", "en", "macro", "mt"]
        assert tab.tell(SEEN) == ["da-1", "da-2"]
        assert tab.tell("[...document.querySelectorAll('#t1 tr')].filter(r => r.offsetParent).length") == 1 + 2
        assert tab.tell(
            "[...document.querySelectorAll('g:not(.other) > title')].map(t => t.textContent.split(':')[0])"
        ) == [
            "da",
            "macro",
        ]
        assert tab.tell("document.querySelector('.answer.chosen').id") == "da-2"
        assert tab.tell("document.getElementById('settings').open")
        assert not tab.tell("document.getElementById('results-2').open")
        assert tab.tell("document.getElementById('answers').open")
        tab.goto(chosen)
        assert tab.tell("location.href") == chosen
    tab.tell("location.hash = '#lang=nowhere&t1=99a&answer=%3Cb%3E'")
    assert tab.tell(SEEN) == ["en-1", "da-1", "da-2"], "what is not there chooses nothing"
    assert tab.tell(COLUMN.format(0)) == ["en", "da", "mt", "macro"]
    assert tab.complaints == []


def test_it_fits_a_phone(tab: browser.Tab, address: str) -> None:
    """The page does not scroll sideways, also with all sections open; the wide table does, in its own box."""
    tab.resize(*PHONE)
    tab.goto(address)
    tab.tell("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert tab.tell("innerWidth") == PHONE[0]
    assert tab.tell("document.documentElement.scrollWidth") <= PHONE[0]
    assert tab.tell("(box => box.scrollWidth > box.clientWidth)(document.querySelector('#results-2 .scroll'))")
    smallest = (
        "Math.min(...[...document.querySelectorAll('svg text')].map(t => parseFloat(getComputedStyle(t).fontSize)"
    )
    scale = " * t.ownerSVGElement.getBoundingClientRect().width / t.ownerSVGElement.viewBox.baseVal.width))"
    assert tab.tell(smallest + scale) >= 10, "pixels"
