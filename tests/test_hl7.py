"""HL7 v2 as bytes -> messages and reports: what real systems send, and what no byte string may do."""

import tracemalloc
from contextlib import suppress
from pathlib import Path

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports import Unusable, read_source
from radllama.reports.hl7 import is_result, parse_message, parse_parts
from radllama.reports.parts import join_parts

HEAD = "MSH|^~\\&|RIS|HOSP|RAD|HOSP|20260101120000||ORU^R01^ORU_R01|C1|P|2.5.1|||||||"


def message(*segments: str, head: str = HEAD, end: str = "\r") -> bytes:
    return (end.join([head, *segments]) + end).encode()


WHOLE = message(
    "PID|1||S000001^^^HOSP^MR||NOBODY^NAMED",
    "OBR|1|P7|F7^RIS|71046^XR CHEST^C4|||||||||||||||||||||F",
    "OBX|1|TX|18785-6^Reason for study^LN||Cough.||||||F",
    "OBX|2|TX|59776-5^Findings^LN||Heart \\T\\ lungs are normal.~No effusion\\.br\\No pneumothorax.||||||F",
    "OBX|3|TX|59776-5^Findings^LN||Size 3 ^ 4 mm.||||||F",
    "OBX|4|NM|99999^Dose^L||12||||||F",
    "OBX|5|TX|19005-8^Impression^LN||Normal chest.||||||F",
)


def write(folder: Path, **files: bytes) -> Path:
    for name, data in files.items():
        (folder / f"{name}.hl7").write_bytes(data)
    return folder


def test_sections_come_from_labelled_segments_unescaped() -> None:
    sections = join_parts(parse_parts(parse_message(WHOLE)))
    assert sections.findings == "Heart & lungs are normal.\nNo effusion\nNo pneumothorax.\nSize 3 ^ 4 mm."
    assert (sections.impression, sections.indication) == ("Normal chest.", "Cough.")


@pytest.mark.parametrize(
    "obx3", ["71046&GDT^XR CHEST^L", "RPT^Findings^L", "X^^L^59776-5^^LN", "^FINDINGS"], ids=lambda one: str(one)
)
def test_findings_are_known_by_suffix_name_or_alternate_code(obx3: str) -> None:
    parts = parse_parts(parse_message(message(f"OBX|1|FT|{obx3}||Clear lungs.")))
    assert [part.section for part in parts] == ["findings"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segments_end_as_senders_end_them_with_or_without_a_frame(end: str) -> None:
    raw = message("OBR|1|P7", "OBX|1|TX|RPT||FINDINGS: Clear.", end=end)
    for framed in (raw, b"\x0b" + raw + b"\x1c\r"):
        assert [segment[0] for segment in parse_message(framed).segments] == ["MSH", "OBR", "OBX"]


def test_other_separators_and_another_escape_character_are_read() -> None:
    raw = b"MSH#*!/%#RIS\rOBX#1#TX#59776-5*Findings*LN##A /F/ B!C /X41/ \\D"
    assert parse_parts(parse_message(raw))[0].text == "A # B\nC A \\D"


@pytest.mark.parametrize(("charset", "encoding"), [("UNICODE UTF-8", "utf-8"), ("8859/1", "latin-1"), ("", "utf-8")])
def test_the_character_set_is_the_one_that_is_named(charset: str, encoding: str) -> None:
    head = f"MSH|^~\\&|RIS|||||||C1|P|2.5.1||||||{charset}"
    raw = f"{head}\rOBX|1|TX|59776-5||Größe normal.".encode(encoding)
    assert parse_parts(parse_message(raw))[0].text == "Größe normal."


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "does not begin with MSH"),
        (b"PID|1", "does not begin with MSH"),
        (b"MSH|^~\\", "does not begin with MSH"),
        (b"MSH|||||||||", "name no five separators"),
        (b"MSH|^^^^|zebrafinch", "name no five separators"),
        (HEAD.encode() + b"|" * 140_000, "over 131,072 bytes"),
        (HEAD.encode() + b"\rzebrafinch|1", "segment 2 has no name"),
        (HEAD.encode() + b"\rOBX|1|TX|a||\xff zebrafinch", "not in the character set that MSH-18 names"),
        (b"MSH|^~\\&|a|||||||C1|P|2.5||||||EBCDIC\rOBX", "MSH-18: this character set is not read"),
    ],
)
def test_what_cannot_be_read_is_told_without_quoting_it(raw: bytes, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_message(raw)
    assert told in str(caught.value)
    assert "zebrafinch" not in str(caught.value)


def test_text_that_is_escaped_comes_back_and_another_library_reads_it_alike() -> None:
    text = "a|b^c~d\\e&f\nsecond line"
    one = parse_message(WHOLE)
    escaped = one.escape(text)
    assert one.unescape(escaped) == text
    theirs = hl7.parse(f"{HEAD}\rOBX|1|TX|RPT||{escaped}\r")
    assert theirs.unescape(str(theirs["OBX"][0][5])).replace("\r", "\n") == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_survives_escaping(text: str) -> None:
    one = parse_message(WHOLE)
    assert one.unescape(one.escape(text)) == "\n".join(text.splitlines())


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([WHOLE, b"MSH|^~\\&|", b"\r", b"|", b"^", b"\\X", b"\\.br\\", b"OBX|", b"\x0b"])).map(
            b"".join
        ),
    )
)
def test_no_bytes_crash_the_reader(raw: bytes) -> None:
    try:
        one = parse_message(raw)
    except InputError:
        return
    join_parts(parse_parts(one))
    assert is_result(one) in (True, False)


def test_a_hostile_message_is_read_in_linear_time_and_memory() -> None:
    for piece in ("|", "^", "~", "\\F\\", "\\", "\\X", "\r"):
        raw = message("OBX|1|TX|59776-5||" + piece * (100_000 // len(piece)))
        tracemalloc.start()
        with suppress(InputError):
            join_parts(parse_parts(parse_message(raw)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20_000_000, piece


# As a report source


def test_a_folder_of_messages_becomes_reports(tmp_path: Path) -> None:
    second = WHOLE.replace(b"F7^RIS", b"F8^RIS").replace(b"S000001", b"S000002")
    found = list(read_source("hl7", write(tmp_path, one=WHOLE + second)))
    assert [one.id for one in found] == ["F7", "F8"]
    assert isinstance(found[0], Report)
    assert (found[0].patient_id, found[0].source, found[0].impression) == ("S000001", "hl7", "Normal chest.")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (WHOLE.replace(b"|||F\rOBX", b"|||P\rOBX", 1), "preliminary report only"),
        (WHOLE.replace(b"Normal chest.||||||F", b"Normal chest.||||||P"), "preliminary report only"),
        (WHOLE.replace(b"ORU^R01^ORU_R01", b"ADT^A01"), "not ORU^R01"),
        (message("OBR|1||F9"), "no text"),
        (message("OBR|1||F9", "OBX|1|TX|RPT||Lungs are clear."), "no section headings"),
        (b"MSH|broken|broken", "not an HL7 v2 message"),
        (b"MSH|^~\\&|broken|broken", "not ORU^R01"),
    ],
)
def test_what_is_no_final_report_is_counted_and_not_read(tmp_path: Path, raw: bytes, reason: str) -> None:
    (one,) = read_source("hl7", write(tmp_path, one=raw))
    assert isinstance(one, Unusable)
    assert one.reason == reason
