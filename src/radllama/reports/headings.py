"""The words that sections of radiology reports start with, as data.

Collected from the house styles we have read about and from the counts that the MIMIC-CXR authors
published with their section files. To support another style, add its phrase to a line here and a
report in that style to `tests/test_sections.py`.
"""

# ruff: noqa: SIM905 - words in quotes, one by one, would be harder to read and to extend.

from typing import Literal

Kind = Literal[
    "findings",
    "report",
    "exam name",
    "impression",
    "interpretation",
    "summary",
    "findings and impression",
    "indication",
    "comparison",
    "technique",
    "other",
    "wet read",
    "preliminary",
    "addendum",
    "final",
    "rule",
]

# "report" is findings, and "summary" the impression, only where no plainer heading stands:
# US reports use REPORT as a banner above FINDINGS, UK reports use it instead of FINDINGS.
# "interpretation" is the impression, or the findings where the impression has a heading of its own.
HEADINGS: dict[Kind, tuple[str, ...]] = {
    "findings": (
        "FINDINGS", "FINDING", "DESCRIPTION OF FINDINGS", "TECHNIQUE AND FINDINGS",
        "PROCEDURE AND FINDINGS", "DETAILED FINDINGS",
    ),
    "report": ("REPORT", "RESULT", "RESULTS", "DESCRIPTION", "BODY OF REPORT", "NARRATIVE"),
    "impression": (
        "IMPRESSION", "IMPRESSIONS", "CONCLUSION", "CONCLUSIONS", "OPINION", "IMPRESSION AND PLAN",
        "IMPRESSION/PLAN", "IMPRESSION AND RECOMMENDATION", "IMPRESSION AND RECOMMENDATIONS",
        "IMPRESSION/RECOMMENDATION", "IMPRESSION/RECOMMENDATIONS", "IMPRESSION & RECOMMENDATIONS",
        "IMPRESSION/CONCLUSION", "CONCLUSION/IMPRESSION", "SUMMARY/IMPRESSION", "IMPRESSION/SUMMARY",
        "SUMMARY AND CONCLUSION", "RADIOLOGIST IMPRESSION", "RADIOLOGIST'S IMPRESSION",
    ),
    "interpretation": ("INTERPRETATION",),
    "summary": ("SUMMARY",),
    "findings and impression": (
        "FINDINGS AND IMPRESSION", "FINDINGS AND IMPRESSIONS", "FINDINGS & IMPRESSION",
        "FINDINGS/IMPRESSION", "FINDINGS, IMPRESSION", "FINDINGS/IMPRESSIONS", "FINDINGS-IMPRESSION",
        "IMPRESSION AND FINDINGS", "IMPRESSION/FINDINGS", "IMPRESSION & FINDINGS",
        "FINDINGS AND CONCLUSION", "FINDINGS/CONCLUSION", "FINDINGS AND INTERPRETATION",
        "FINDINGS/INTERPRETATION", "REPORT AND CONCLUSION", "REPORT/CONCLUSION",
    ),
    "indication": (
        "INDICATION", "INDICATIONS", "INDICATION(S)", "CLINICAL INDICATION", "CLINICAL INDICATIONS",
        "INDICATION FOR STUDY", "INDICATION FOR EXAM", "INDICATION FOR EXAMINATION", "HISTORY",
        "CLINICAL HISTORY", "PATIENT HISTORY", "BRIEF HISTORY", "RELEVANT HISTORY", "HISTORY/INDICATION",
        "INDICATION/HISTORY", "HISTORY AND INDICATION", "REASON FOR EXAM", "REASON FOR EXAMINATION",
        "REASON FOR STUDY", "REASON FOR THIS EXAMINATION", "REASON FOR REQUEST", "REASON",
        "CLINICAL INFORMATION", "CLINICAL DETAILS", "CLINICAL DATA", "CLINICAL QUESTION",
        "CLINICAL CONTEXT", "CLINICAL BACKGROUND", "CLINICAL STATEMENT", "CLINICAL IMPRESSION",
        "CLINICAL FINDINGS", "CLINICAL", "REQUEST", "PRESENTING COMPLAINT",
    ),
    "comparison": (
        "COMPARISON", "COMPARISONS", "COMPARISON(S)", "COMPARISON EXAM", "COMPARISON FILM",
        "COMPARISON STUDY", "COMPARISON STUDIES", "COMPARISON EXAMINATION", "REFERENCE EXAM",
        "PRIOR STUDIES", "PRIOR EXAMS", "PREVIOUS STUDIES", "PREVIOUS IMAGING", "PRIOR IMAGING",
        "COMPARED TO", "COMPARED WITH", "COMPARISION", "COMPARSION",
    ),
    "technique": (
        "TECHNIQUE", "TECHNIQUES", "PROCEDURE", "PROTOCOL", "SCAN PROTOCOL", "IMAGING TECHNIQUE",
        "TECHNICAL FACTORS", "METHOD", "PROCEDURE AND TECHNIQUE", "TECHNIQUE/PROCEDURE",
    ),
    "other": (
        "EXAMINATION", "EXAMINATIONS", "EXAM", "EXAM(S)", "EXAMS", "STUDY", "TYPE OF EXAMINATION",
        "EXAMINATION TYPE", "EXAM TYPE", "EXAM DATE", "DATE OF EXAM", "STUDY DATE", "DATE", "ACCESSION",
        "ACCESSION NUMBER", "REFERRER", "REFERRING PHYSICIAN", "RECOMMENDATION", "RECOMMENDATIONS",
        "RECOMMENDATION(S)", "NOTIFICATION", "NOTIFICATIONS", "NOTIFICATION(S)", "COMMUNICATION",
        "CRITICAL RESULT", "CRITICAL RESULTS", "DIAGNOSIS", "CONTRAST", "MEDICATIONS", "RADIATION DOSE",
        "DOSE", "FLUOROSCOPY TIME", "COMPLICATIONS", "END OF REPORT", "END OF IMPRESSION",
    ),
    "wet read": ("WET READ", "WETREAD", "WET READING", "PRELIMINARY READ", "PRELIMINARY READING"),
    "preliminary": (
        "PRELIMINARY REPORT", "PROVISIONAL REPORT", "PRELIMINARY IMPRESSION", "PROVISIONAL IMPRESSION",
        "PRELIMINARY FINDINGS",
    ),
    "addendum": ("ADDENDUM", "ADDENDA", "ADDENDUM REPORT", "ADDENDUM TO REPORT", "SUPPLEMENTARY REPORT"),
    "final": (
        "FINAL REPORT", "FINAL", "ORIGINAL REPORT", "END OF ADDENDUM", "END ADDENDUM", "END OF WET READ",
    ),
}  # fmt: skip

# May stand before FINDINGS or IMPRESSION as part of the heading: "CT FINDINGS:", "FINAL IMPRESSION:".
QUALIFIERS = (
    "CT", "CTA", "MR", "MRI", "MRA", "PET", "PET/CT", "US", "ULTRASOUND", "SONOGRAPHIC", "RADIOGRAPHIC",
    "RADIOLOGICAL", "RADIOLOGIC", "RADIOLOGY", "MAMMOGRAPHIC", "IMAGING", "X-RAY", "XRAY", "FINAL",
    "OVERALL", "DIAGNOSTIC",
)  # fmt: skip

# After these, "FINDINGS:" inside a line is part of a sentence or of a sub-heading.
NOT_BEFORE_A_HEADING = frozenset(
    "a above additional ancillary and below critical family following for her his important in incidental key "
    "major medical minor my no of on or other our past pertinent positive previous prior relevant secondary "
    "significant smoking social surgical the their these this those to unchanged unexpected with".split()
)
# After these it is a sub-heading where findings or an impression are under way ("LUNG FINDINGS:"), but the
# end of a line of the order where they are not ("EXAM: CHEST FINDINGS:").
BODY_PARTS = frozenset(
    "abdominal abdomen bone bony brain cardiac chest extracardiac gi head hepatic liver lung mediastinal "
    "musculoskeletal neck non-cardiac osseous pelvic pelvis pleural pulmonary renal skeletal spine tissue "
    "vascular".split()
)

# A line of these words alone, at least two and a colon, names the examination ("CHEST, TWO VIEWS:").
# MIMIC-CXR reports often have their findings under it.
EXAM_WORDS = frozenset(
    "abdomen abdominal and angiogram ankle ap axial bedside brain cervical chest computed contrast coronal "
    "ct cta dual elbow erect examination extremity femur film films foot four frontal hand head hip iv "
    "kidneys knee kub lateral left lower lumbar magnetic mobile mr mra mri neck of oblique one or pa pelvis plain "
    "portable radiograph radiographs renal resonance right sagittal scan semi-upright semiupright "
    "shoulder single spine study supine the thoracic three tomography two ultrasound upper upright us view "
    "views without with wrist x-ray x-rays xray 1 2 3 4".split()
)

# What follows these at the start of a line or sentence is who signed, not what was seen. The first
# letter must be a capital: "reviewed by" at the start of a wrapped line is prose.
SIGNATURES = (
    r"(?:This |The )?(?:report |document |study |exam(?:ination)? )?(?:was |has been |is )?"
    r"(?:electronically|digitally) (?:\w+ and )?"
    r"(?:signed|reviewed|authenticated|approved|verified|finali[sz]ed)\b",
    r"(?:electronic|digital) signature\b",
    r"(?:dictated|transcribed|signed|approved|verified|authenticated|interpreted|reported|read|reviewed|"
    r"finali[sz]ed|prepared)(?: and \w+)?(?: electronically)? by\b",
    r"(?:dictated|transcribed|signed|signed off|dictation|transcription|transcriptionist|typed)[ \t]*:",
    r"I,? (?:Dr|the (?:attending|undersigned|teaching))\b",
    r"I (?:have )?(?:personally |also )(?:reviewed|viewed|interpreted|examined|supervised)\b",
    r"I have (?:reviewed|viewed|interpreted|examined)\b",
    r"As the (?:attending|teaching) (?:physician|radiologist)\b",
    r"(?:(?:attending|resident|reporting|interpreting|staff|consultant|primary)[ \t]+)?"
    r"(?:radiologist|physician|interpreter|fellow)s?[ \t]*:",
    r"(?:attending|resident)[ \t]*:",
    r"(?:D|T|DD|DT|TD|TT):[ \t]*\d{1,4}[/.-]\d",
    r"(?:job|workstation|dictation)[ \t]*(?:id|number|no\.?|#)",
)
SIGNED_NAMES = (
    r"(?:Dr|Prof|Professor|Mr|Mrs|Ms)\b\.?[ \t][^\n]{2,80}"
    r"(?:Radiologist|Radiographer|Registrar|FRCR|FRANZCR|M\.?D\.?)[^\w\n]*$",
    r"[A-Z_][\w.'-]*(?:[ \t]+[A-Z_][\w.'-]*){0,3},[ \t]*"
    r"(?:M\.?D\.?|D\.?O\.?|FRCR|FRANZCR|MBBS)(?!\w)[^\n]{0,60}$",
)
