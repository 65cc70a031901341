"""The scan for identifiers: what it must raise, what only looks alike, and that it never tells the text."""

import json

import pytest

from radllama.report import Report
from radllama.reports.phi import KINDS, PATTERNS, SHOWN_IDS, count_kinds, scan


def report(findings: str, report_id: str = "1", **sections: str) -> Report:
    return Report(id=report_id, patient_id=None, findings=findings, impression="Normal.", **sections)


HITS = [
    ("date", "Compared with 3/14/2015."),
    ("date", "Compared with 03/14/15."),
    ("date", "Compared with 14/3/2015."),
    ("date", "Compared with 14.03.2015."),
    ("date", "Compared with 03-14-2015."),
    ("date", "Compared with 2015-03-14."),
    ("record number", "Study 20150314 shows less fluid."),
    ("date", "Compared with March 14."),
    ("date", "Compared with March 14th, 2015."),
    ("date", "COMPARED WITH MAR 14 2015"),
    ("date", "Compared with 14 March 2015."),
    ("date", "Compared with 14-MAR-15."),
    ("date", "Compared with the 2nd of May."),
    ("date", "Stones since Sept. 2014."),
    ("date", "Film dated 3/14."),
    ("date", "DOB: 4 of the month"),
    ("phone or fax", "Called to (317) 555-0142."),
    ("phone or fax", "Called to 317-555-0142."),
    ("phone or fax", "Called to +1 317.555.0142."),
    ("phone or fax", "Pager 4711."),
    ("phone or fax", "Fax number: 555 0142"),
    ("phone or fax", "the ward, ext. 20411"),
    ("social security number", "Listed as 078-05-1120."),
    ("record number", "MRN 0012345"),
    ("record number", "MRN: AB-20341"),
    ("record number", "Accession number CT20134"),
    ("record number", "Medical record no. 77123"),
    ("record number", "Folder 84120077."),
    ("record number", "A pump, serial number 55512, lies in the flank."),
    ("e-mail", "Write to ward.7@clinic.example.org"),
    ("web address", "Images at https://pacs/viewer"),
    ("web address", "Images at www.pacs.example"),
    ("web address", "Sent to 10.0.3.17"),
    ("name", "Called to Dr. Miller."),
    ("name", "CALLED TO DR. MILLER"),
    ("name", "Called to Dr O'Brien."),
    ("name", "Mrs. Ito was told."),
    ("name", "Dictated by: Ruth Alvarez"),
    ("name", "Dictated and signed by Alvarez"),
    ("name", "Electronically signed by ALVAREZ"),
    ("name", "Discussed by telephone with Ruth Alvarez."),
    ("name", "Ruth B. Alvarez, M.D."),
    ("name", "Ruth Alvarez MD"),
    ("name", "Ruth Alvarez, RN"),
    ("name", "Patient name: Ruth"),
    ("address", "Lives at 12 North Elm Street."),
    ("address", "Lives at 4 Oak Rd"),
    ("address", "Springfield, IN 46202"),
    ("address", "P.O. Box 12"),
    ("address", "zip code 46202"),
    ("age over 89", "A 92-year-old woman."),
    ("age over 89", "A 101 year old man."),
    ("age over 89", "90 yo with a fall"),
    ("age over 89", "95 y/o with a fall"),
    ("age over 89", "93 years of age"),
    ("age over 89", "Woman, aged 94."),
]

LOOK_ALIKES = [
    "Disc spaces at L1-2, T12 and C5/6 are narrow.",
    "Fractures of ribs 3-4-10 and of 12/15 teeth.",
    "Fractures of the 5th/6th ribs on the left.",
    "A cyst of 1.5 x 2.3 cm, before 1.2 x 2.0 x 1.1 cm.",
    "A cyst of 10/12/9 mm.",
    "A grade 3/6 murmur, strength 4/5 on the left.",
    "Images 2/14 and 5/120.",
    "Attenuation of 1200 HU, 5-6 mm slices, 120 kVp, 250.5 mAs.",
    "A 7-10 day old bruise may 2 have caused it; the march of time.",
    "Nodules may 3 mm or less be left alone.",
    "Pain for 90 years of smoking; a 90-pack-year history.",
    "An 89-year-old man, 45 yo woman, 4 y old.",
    "SpO2 of 95, ejection fraction 92%, at age 94 days.",
    "Stenosis of 95%, 1995 surgery, since 2012.",
    "Compared with XXXX, discussed with Dr. XXXX by XXXX.",
    "Dr. ___ was called at ___ on ___.",
    "DR. XXXX AND MS. XXXX",
    "History of MS with lesions; DO NOT MISS Pneumothorax.",
    "Discussed with the Emergency Department. Reviewed by Radiology Resident.",
    "Dictated by XXXX, signed by: Dr. XXXX",
    "Reported to Emergency Medicine.",
    "Radiograph Chest PA and lateral. Left Lateral Decubitus, PA.",
    "Chest CT 12345 slices? No: 123 slices. MR 3.0 T.",
    "Cell 5 mm, cells 12000; tel-aviv; ext rotation 30.",
    "A 1 cm St. Jude valve; 3 Chest Ct Scans.",
    "Order of 12 mm; case 4; exam 3; account of 20.",
    "Ratio 0.1234567, 12,345,678 counts.",
    "The mar 2 cm below; June is hot.",
    "ICD 786.2, 780.60, V72.83.",
    "Left @ right; see http for none.",
    "Dec 5 mm in size.",
]


@pytest.mark.parametrize(("kind", "findings"), HITS)
def test_an_identifier_is_raised_as_its_kind(kind: str, findings: str) -> None:
    assert scan(report(findings)) == {kind}


@pytest.mark.parametrize("findings", LOOK_ALIKES)
def test_a_look_alike_raises_nothing(findings: str) -> None:
    assert scan(report(findings)) == set()


def test_every_pattern_says_why_and_every_pattern_has_a_hit() -> None:
    for pattern in PATTERNS:
        assert pattern.reason
        assert any(kind == pattern.kind and pattern.regex.search(text) for kind, text in HITS), pattern


@pytest.mark.parametrize("section", ["findings", "impression", "indication", "comparison", "technique"])
def test_every_section_is_scanned(section: str) -> None:
    sections = {"findings": "Normal.", "impression": "Normal.", section: "Seen 3/14/2015."}
    assert scan(Report(id="1", patient_id=None, **sections)) == {"date"}


def test_a_hit_does_not_reach_from_one_section_into_the_next() -> None:
    assert scan(Report(id="1", patient_id=None, findings="Called to Dr.", impression="Normal.")) == set()


def test_the_count_names_ids_and_never_the_words() -> None:
    reports = [report("Called to Dr. Miller on 3/14/2015.", str(number)) for number in range(30)]
    counts = count_kinds([*reports, report("Normal kidney.", "x")])
    assert counts == {
        "date": {"reports": 30, "ids": [str(number) for number in range(SHOWN_IDS)]},
        "name": {"reports": 30, "ids": [str(number) for number in range(SHOWN_IDS)]},
    }
    assert "Miller" not in json.dumps(counts)


def test_kinds_are_counted_in_the_order_of_the_table() -> None:
    counts = count_kinds([report("Woman, aged 94, called 3/14/2015 by Dr. Miller.")])
    assert list(counts) == [kind for kind in KINDS if kind in counts]
    assert len(counts) == 3


def test_a_report_of_ten_thousand_words_is_scanned_in_a_moment() -> None:
    assert scan(report("Normal Chest Radiograph of 12 mm and 3/4 on 1 Chest " * 2000)) == set()


def test_clean_reports_count_to_nothing() -> None:
    assert count_kinds([report("Normal kidney."), report("Normal bladder.", "2")]) == {}
