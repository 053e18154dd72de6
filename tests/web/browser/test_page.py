"""The page in Chromium: crystals in, numbers, pictures and files out, by mouse, by keys and on a phone."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from PIL import Image
from support.web import BROKEN, CSCL_CIF, SALT, Client


def colours(element: Any) -> int:
    """How many colours there are in what is drawn."""
    picture = Image.open(io.BytesIO(element.screenshot())).convert("RGB")
    return len(picture.getcolors(maxcolors=1 << 24))


def cells(page: Any, table: str) -> list[list[str]]:
    """The texts of a table."""
    rows = page.locator(f"{table} tbody tr")
    return [rows.nth(i).locator("th, td").all_inner_texts() for i in range(rows.count())]


def given(page: Any, **texts: str) -> None:
    """Choose files of these texts, and wait for the answer."""
    files = [{"name": name, "mimeType": "text/plain", "buffer": text.encode()} for name, text in texts.items()]
    page.set_input_files("#file", files)
    page.wait_for_selector("#shown:not([hidden])")
    page.wait_for_selector("body:not([aria-busy])")


def test_a_file_is_relaxed_and_the_numbers_are_those_of_the_interface(tab: Any, client: Client) -> None:
    page = tab().open()
    given(page, **{"mine.cif": CSCL_CIF})
    change = client.relax(CSCL_CIF)["structures"][0]["change"]
    errors = client.relax(CSCL_CIF)["structures"][0]["errors"]
    rows = {row[0]: row[1:] for row in cells(page, "#changes")}
    assert rows["volume (Å³)"][:2] == [f"{change['volume_before']:.2f}", f"{change['volume_after']:.2f}"]
    assert rows["volume (Å³)"][2] == f"{change['volume_change']:+.1f} %".replace("-", "\N{MINUS SIGN}")
    assert rows["volume (Å³)"][3] == f"{errors['volume']:.1f} %< {errors['volume_90']:.1f}"
    assert rows["a (Å)"][:2] == ["4.400", f"{change['cell_after'][0]:.3f}"]
    assert rows["space group"] == ["Pm-3m (221), kept"]
    assert page.inner_text("#name") == "CsCl"
    assert page.inner_text("#verdict").startswith("relaxed ")


@pytest.mark.parametrize("side", ["before", "after"])
def test_canvases_are_not_blank_and_turn_together(tab: Any, side: str) -> None:
    page = tab().begin_with("TiO₂")
    both = [page.locator(f"#{name}") for name in ("before", "after")]
    assert min(map(colours, both)) > 200
    first = [element.screenshot() for element in both]
    page.locator(f"#{side}").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    page.wait_for_timeout(200)
    turned = [element.screenshot() for element in both]
    assert all(one != other for one, other in zip(first, turned, strict=True))
    page.keyboard.press("0")
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)
    box = page.locator("#before").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 120, steps=4)
    page.mouse.up()
    page.wait_for_timeout(200)
    assert all(one != other.screenshot() for one, other in zip(first, both, strict=True))


def test_views_supercells_and_layers_show_something_else(tab: Any) -> None:
    page = tab().begin_with("TiO₂")
    after = page.locator("#after")
    seen = [after.screenshot()]
    for act in (
        lambda: page.check("input[name=cells][value='2']"),
        lambda: page.check("input[name=cells][value='3']"),
        lambda: page.get_by_label("overlaid").check(),
        lambda: page.check("input[name=cells][value='1']"),
        lambda: page.locator("#layer").fill("0"),
    ):
        act()
        page.wait_for_timeout(300)
        seen.append(after.screenshot())
    assert len(set(seen)) == len(seen)
    assert not page.locator("#before").is_visible()
    assert page.inner_text("#at-layer").startswith("as given: 75.59")
    page.locator("#play").click()
    page.wait_for_timeout(200)
    assert page.inner_text("#at-layer").startswith("after ")
    assert page.locator("#layer").get_attribute("aria-valuetext") == page.inner_text("#at-layer")


def test_what_is_pasted_is_relaxed_with_the_options(tab: Any, client: Client) -> None:
    page = tab().open()
    page.fill("#text", SALT)
    page.get_by_text("Options").click()
    page.select_option("#fix", "positions")
    page.fill("#passes", "2")
    page.get_by_role("button", name="Relax", exact=True).click()
    page.wait_for_selector("#shown:not([hidden])")
    change = client.relax(SALT, fix="positions", passes=2)["structures"][0]["change"]
    assert cells(page, "#changes")[0][2] == f"{change['volume_after']:.2f}"
    assert {row[0]: row for row in cells(page, "#changes")}["moved (Å)"][3] == "0.000"


def test_a_model_that_moves_no_atoms_does_not_offer_to_keep_the_cell(tab: Any) -> None:
    page = tab().open()
    page.select_option("#model", "perov-5")
    assert page.locator("#fix option[value=cell]").is_disabled()
    assert page.inner_text("#about-model").endswith("Moves the cell only.")


def test_one_bad_structure_among_others_is_told_and_hides_nothing(tab: Any) -> None:
    page = tab().open()
    given(page, **{"a.extxyz": BROKEN + SALT, "b.cif": CSCL_CIF, "<img src=x onerror=alert(1)>.cif": "nothing"})
    rows = cells(page, "#list")
    assert rows[0][1].split()[0] == "refused"
    assert len(rows) == 4
    assert "announces" in rows[0][1]
    assert page.inner_text("#status").startswith("2 relaxed, 2 refused")
    assert page.inner_text("#name") == "salt"
    page.locator("#list button").nth(3).click()
    assert "<img" in page.inner_text("#name")
    assert not page.locator("#views").is_visible()
    page.keyboard.press("ArrowUp")
    assert page.inner_text("#name") == "CsCl"
    assert page.locator("#views").is_visible()
    assert page.locator("#list tr[aria-current]").count() == 1


def test_errors_are_shown_and_the_page_goes_on(tab: Any) -> None:
    page = tab().open()
    page.get_by_role("button", name="Relax", exact=True).click()
    page.wait_for_selector("#error:not([hidden])")
    assert "there is no crystal yet" in page.inner_text("#error")
    page.set_input_files("#file", [{"name": "a.cif", "mimeType": "text/plain", "buffer": b"x" * 17_000_000}])
    page.wait_for_function("document.getElementById('error').textContent.startsWith('more than 16 MB')")
    page.set_input_files("#file", [{"name": "a", "mimeType": "text/plain", "buffer": b"no crystal"}])
    page.wait_for_selector("#shown:not([hidden])")
    assert not page.locator("#error").is_visible()
    assert "looks like no CIF" in page.inner_text("#verdict")


def test_without_3d_the_numbers_are_there(tab: Any, client: Client) -> None:
    made = tab()
    made.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page = made.begin_with("TiO₂")
    assert not page.locator("#error").is_visible()
    assert "WebGL is off" in page.inner_text("#after")
    assert cells(page, "#changes")[0][1] == "75.59"
    page.get_by_role("button", name="Strain", exact=True).click()
    page.wait_for_selector("#changes th:text('original')")


def test_a_server_that_is_gone_is_told(tab: Any) -> None:
    made = tab()
    page = made.open()
    page.route("**/api/relax", lambda route: route.abort())
    page.get_by_role("button", name="GaN").click()
    page.wait_for_selector("#error:not([hidden])")
    assert "does not answer" in page.inner_text("#error")
    assert all("ERR_FAILED" in line for line in made.said)
    made.said.clear()


def test_a_strained_crystal_comes_back(tab: Any) -> None:
    page = tab().begin_with("SrTiO₃")
    before = cells(page, "#changes")[0]
    page.get_by_role("button", name="Strain", exact=True).click()
    page.wait_for_selector("#changes th:text('original')")
    after = cells(page, "#changes")[0]
    assert after[3] == before[2]
    remarks = page.locator("#said li").all_inner_texts()
    assert remarks[0].startswith("lengths were off by ") or remarks[1].startswith("lengths were off by ")
    assert after[1] != before[1]


@pytest.mark.parametrize("kind", ["CIF", "POSCAR", "extxyz", "JSON"])
def test_files_hold_the_answer(tab: Any, kind: str, tmp_path: Path) -> None:
    page = tab().begin_with("GaN")
    with page.expect_download() as caught:
        page.get_by_role("button", name=kind, exact=True).click()
    path = tmp_path / caught.value.suggested_filename
    caught.value.save_as(path)
    assert path.name == {"CIF": "GaN.cif", "POSCAR": "GaN.vasp", "extxyz": "GaN.extxyz", "JSON": "GaN.json"}[kind]
    volume = float(cells(page, "#changes")[0][2])
    if kind == "JSON":
        assert abs(np.linalg.det(json.loads(path.read_text())["lattice"]["matrix"])) == pytest.approx(volume, abs=0.01)
    else:
        assert ase.io.read(path).get_volume() == pytest.approx(volume, abs=0.01)


def test_all_come_as_a_zip_or_in_one_file(tab: Any, tmp_path: Path) -> None:
    page = tab().begin_with("Twelve at once")
    with page.expect_download() as caught:
        page.get_by_role("button", name="all as zip").click()
    with zipfile.ZipFile(caught.value.path()) as archive:
        assert len(archive.namelist()) == 16
        answers = json.loads(archive.read("answers.json"))
    assert answers["relaxed"] == 12
    assert set(answers["structures"][0]) == {"file", "index", "id", "status", "warnings", "message", "change", "errors"}
    page.locator("#which-ones").get_by_label("all").check()
    with page.expect_download() as caught:
        page.get_by_role("button", name="CIF", exact=True).click()
    caught.value.save_as(tmp_path / "all.cif")
    assert len(ase.io.read(tmp_path / "all.cif", index=":")) == 12


def test_files_can_be_dropped_anywhere(tab: Any) -> None:
    page = tab().open()
    page.evaluate(
        """text => {
            const data = new DataTransfer();
            data.items.add(new File([text], "mine.extxyz"));
            document.querySelector("footer").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }""",
        SALT,
    )
    page.wait_for_selector("#shown:not([hidden])")
    assert page.inner_text("#name") == "salt"


def test_everything_can_be_reached_by_keys(tab: Any) -> None:
    page = tab().begin_with("Twelve at once")
    page.locator("body").press("Home")
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.name || document.activeElement.textContent"
            )
        )
    assert {
        "file",
        "text",
        "model",
        "relax",
        "before",
        "after",
        "mode",
        "cells",
        "reset",
        "play",
        "layer",
        "sigma",
        "strain",
    } <= reached
    assert {"which", "CIF", "all as zip", "SrTiO₃", "Options", "mp-865981"} <= reached


CONTRAST = """() => {
    const rgb = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const linear = x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
    const light = parts => parts.reduce((sum, x, i) => sum + linear(x / 255) * [.2126, .7152, .0722][i], 0);
    const behind = node => { for (; node; node = node.parentElement) { const c = getComputedStyle(node).backgroundColor;
        if (!c.endsWith(", 0)")) return c; } };
    const weak = [];
    for (const node of document.querySelectorAll("body *")) {
        const own = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
        if (!own || node.disabled || !node.checkVisibility() || node.closest(".canvas, .unseen")) continue;
        const [a, b] = [getComputedStyle(node).color, behind(node)].map(rgb).map(light).sort((x, y) => y - x);
        if ((a + .05) / (b + .05) < 4.5) weak.push(node.tagName + " " + node.textContent.slice(0, 40));
    }
    return weak;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(tab: Any, scheme: str) -> None:
    page = tab(color_scheme=scheme).begin_with("Twelve at once")
    assert page.evaluate(CONTRAST) == []


def test_names_and_labels_are_there_for_those_who_do_not_see_the_page(tab: Any) -> None:
    page = tab().begin_with("TiO₂")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, [role=img]")]
            .filter(node => !(node.labels?.length || node.getAttribute("aria-label") || node.textContent.trim()))
            .map(node => node.outerHTML)"""
    )
    assert nameless == []
    assert "63.9 cubic angstrom" in page.locator("#after").get_attribute("aria-label")
    assert page.locator("h1").count() == page.locator("main").count() == 1


def test_the_colours_can_be_chosen_and_are_kept(tab: Any) -> None:
    made = tab(color_scheme="light")
    page = made.open()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for _ in range(2):
        page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page = made.open()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


@pytest.mark.parametrize(
    ("name", "width", "height", "scheme"),
    [("desktop", 1360, 1000, "light"), ("dark", 1360, 1000, "dark"), ("phone", 390, 844, "light")],
)
def test_the_page_fits_and_is_drawn(tab: Any, pictures: Path, name: str, width: int, height: int, scheme: str) -> None:
    page = tab(viewport={"width": width, "height": height}, color_scheme=scheme).begin_with("TiO₂")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("(box => box.scrollWidth - box.clientWidth)(document.querySelector('article .scroll'))") == 0
    assert colours(page.locator("#after")) > 200
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    page.screenshot(path=pictures / f"{name}.png", full_page=True)


def test_the_interface_is_described_without_anything_from_elsewhere(tab: Any) -> None:
    page = tab().open("/api.html")
    page.wait_for_selector("#shapes section")
    said = page.inner_text("main")
    for path in ("/api/relax", "/api/models", "/api/strain", "/api/convert"):
        assert path in said
    assert page.locator("#Relax dt").all_inner_texts()[0] == "files"
    assert not page.locator("#error").is_visible()
