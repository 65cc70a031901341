"""OpenI: the XML and the CSV of one collection give the same reports, and broken files say so."""

import csv
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports import Unusable, read_source
from radllama.reports.openi import BROKEN_XML, NO_NUMBER, read_openi

COLUMNS = ("uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression")
ROWS = [
    ("1", "normal", "normal", "Two views", "XXXX-year-old, fever", "None.", "Clear  lungs.", "Normal <3 cm & >1."),
    ("2", "Opacity", "Opacity", "", "Pain", "", 'A "vague" opacity, left. ', "Opacity, left. See XXXX."),
    ("10", "normal", "normal", "One view", "", "", "", "Naïve reader: nothing."),
]
REPORTS = [
    Report("1", None, "Clear lungs.", "Normal <3 cm & >1.", "XXXX-year-old, fever", "None.", "", "openi"),
    Report("2", None, 'A "vague" opacity, left.', "Opacity, left. See XXXX.", "Pain", "", "", "openi"),
    Report("10", None, "", "Naïve reader: nothing.", "", "", "", "openi"),
]


def write_csv(path: Path, rows: Sequence[Sequence[str]] = ROWS, encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def render_xml(row: Sequence[str], encoding: str = "utf-8") -> bytes:
    cells = dict(zip(COLUMNS, row, strict=True))
    sections = "\n".join(
        f'          <AbstractText Label="{name.upper()}">{escape(cells[name])}</AbstractText>'
        for name in ("comparison", "indication", "findings", "impression")
    )
    return f"""<?xml version="1.0" encoding="{encoding}"?>
<eCitation>
  <uId id="CXR{cells["uid"]}"/>
  <pmcId id="{cells["uid"]}"/>
  <MedlineCitation>
    <Article>
      <Abstract>
{sections}
      </Abstract>
    </Article>
  </MedlineCitation>
  <MeSH><major>{cells["MeSH"]}</major></MeSH>
  <parentImage id="CXR1_1_IM-0001"><caption>{cells["image"]}</caption></parentImage>
</eCitation>""".encode(encoding)


def write_folder(path: Path, rows: Sequence[Sequence[str]] = ROWS) -> Path:
    folder = path / "ecgen-radiology"
    folder.mkdir(parents=True)
    for row in rows:
        (folder / f"{row[0]}.xml").write_bytes(render_xml(row))
    return path


def write_tgz(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for row in ROWS:
            data = render_xml(row)
            member = tarfile.TarInfo(f"ecgen-radiology/{row[0]}.xml")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def read_xml(tmp_path: Path, data: bytes) -> Report | Unusable:
    (tmp_path / "7.xml").write_bytes(data)
    (report,) = read_openi(tmp_path)
    return report


def test_csv_folder_and_tgz_give_the_same_reports(tmp_path: Path) -> None:
    assert list(read_openi(write_csv(tmp_path / "indiana_reports.csv"))) == REPORTS
    assert list(read_openi(write_folder(tmp_path / "folder"))) == REPORTS
    assert list(read_source("openi", write_tgz(tmp_path / "NLMCXR_reports.tgz"))) == REPORTS


_CELLS = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff") | st.just("\n"))


@given(st.lists(st.tuples(_CELLS, _CELLS, _CELLS, _CELLS), min_size=1, max_size=3))
def test_any_text_reads_the_same_from_csv_and_xml(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str, str, str]]
) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    rows = [(str(number), "", "", "", *sections) for number, sections in enumerate(cells, start=1)]
    from_csv = list(read_openi(write_csv(tmp_path / "a.csv", rows)))
    assert from_csv == list(read_openi(write_folder(tmp_path / "folder", rows)))


def test_line_breaks_and_indentation_in_the_xml_become_one_space(tmp_path: Path) -> None:
    data = render_xml(("7", "", "", "", "", "", "Clear\n              lungs.", "\n  Normal.\n"))
    report = read_xml(tmp_path, data)
    assert isinstance(report, Report)
    assert (report.findings, report.impression) == ("Clear lungs.", "Normal.")


def test_the_encoding_is_the_one_the_xml_declares(tmp_path: Path) -> None:
    assert read_xml(tmp_path, render_xml(("7", *ROWS[2][1:]), "iso-8859-1")) == Report(
        "7", None, "", "Naïve reader: nothing.", source="openi"
    )


def test_a_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    assert list(read_openi(write_csv(tmp_path / "a.csv", encoding="utf-8-sig"))) == REPORTS
    assert read_xml(tmp_path, b"\xef\xbb\xbf" + render_xml(("7", *ROWS[0][1:]))).id == "7"


def test_two_elements_with_one_label_are_joined_and_markup_inside_is_kept_as_text(tmp_path: Path) -> None:
    data = b"""<r><pmcId id="7"/><AbstractText Label="FINDINGS">Clear <b>left</b> lung.</AbstractText>
    <AbstractText Label="Findings">Normal heart.</AbstractText><AbstractText>Unlabelled.</AbstractText>
    <AbstractText Label="IMPRESSION"/></r>"""
    report = read_xml(tmp_path, data)
    assert isinstance(report, Report)
    assert (report.findings, report.impression) == ("Clear left lung. Normal heart.", "")


def test_the_number_is_that_of_the_uid_where_there_is_no_pmc_id(tmp_path: Path) -> None:
    assert read_xml(tmp_path, b'<r><uId id="CXR12"/></r>').id == "12"


def test_a_report_without_a_number_is_unusable(tmp_path: Path) -> None:
    assert read_xml(tmp_path, b"<r><pmcId/></r>") == Unusable("7", NO_NUMBER)


@pytest.mark.parametrize(
    "data",
    [b"", b"<r><pmcId id='7'/>", b"not XML", "<r>é</r>".encode("latin-1"), b'<?xml version="1.0" encoding="xx"?><r/>'],
    ids=["empty", "cut off", "text", "latin-1 undeclared", "unknown encoding"],
)
def test_one_broken_xml_file_among_others_is_unusable_by_its_name(tmp_path: Path, data: bytes) -> None:
    folder = write_folder(tmp_path)
    (folder / "ecgen-radiology" / "3.xml").write_bytes(data)
    read = list(read_openi(folder))
    assert read == [*REPORTS[:2], Unusable("3", BROKEN_XML), REPORTS[2]]


BOMB = b"""<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>
<r><pmcId id="7"/><AbstractText Label="FINDINGS">&c;</AbstractText></r>"""
LEAK = b"""<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<r><pmcId id="7"/><AbstractText Label="FINDINGS">&a;</AbstractText></r>"""


@pytest.mark.parametrize("data", [BOMB, LEAK], ids=["bomb", "a file of the machine"])
def test_xml_that_declares_entities_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"7\.xml declares XML entities") as caught:
        read_xml(tmp_path, data)
    assert "\n" not in str(caught.value)


def test_a_csv_without_a_column_says_which_and_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("uid,findings,indication,comparison,Impressions\n1,a,b,c,d\n")
    with pytest.raises(InputError, match="no column 'impression'; the columns are 'uid', 'findings'"):
        list(read_openi(path))


def test_a_csv_row_without_a_number_is_named_by_its_line(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [ROWS[0], ("", *ROWS[1][1:])])
    with pytest.raises(InputError, match=r"a\.csv:3: no uid"):
        list(read_openi(path))


@pytest.mark.parametrize(("content", "problem"), [("", "the file is empty"), (",".join(COLUMNS), "no reports")])
def test_a_csv_without_reports_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=problem):
        list(read_openi(tmp_path / "a.csv"))


def test_a_folder_without_xml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no reports in it; expected NLMCXR_reports\.tgz"):
        list(read_openi(tmp_path))


def test_sources_and_their_arguments_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="source 'padchest' is not known; choose one of openi, mimic-cxr, table"):
        read_source("padchest", tmp_path)
    with pytest.raises(InputError, match="fixed columns"):
        read_source("openi", tmp_path, {"a": "findings"})
    with pytest.raises(InputError, match="no such file or folder"):
        read_source("openi", tmp_path / "absent.tgz")
