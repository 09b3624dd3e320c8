"""The report of a session as a PDF in a DICOM object.

Source: DICOM PS3.3 A.45.1 and C.24 (encapsulated document).
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from cinegate.exports.dicom.study import Study, date_time
from gating.pages.pdf import page_as_pdf
from gating.report.html import render
from gating.report.labels import LONGEST, Labels
from gating.report.summary import summarise_data


def report_document(study: Study, number: int) -> Dataset:
    """Return the session's report. Raises `PdfError` where WeasyPrint is missing."""
    data = study.session.data
    labels = Labels(patient=(study.identity.patient_name or study.identity.patient_id)[:LONGEST])
    pdf = page_as_pdf(render(data, summarise_data(data), labels, plays=False))
    made = study.new(EncapsulatedPDFStorage, number, "DOC", "report")
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES"
    made.AcquisitionDateTime = date_time(study.began)
    made.DocumentTitle = f"Gating session {study.session.session_id}"
    made.ConceptNameCodeSequence = []
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    made.EncapsulatedDocumentLength = len(pdf)
    return made
