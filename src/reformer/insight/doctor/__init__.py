"""Examination of a model: which promises it keeps, and the smallest input that shows where it does not."""

from reformer.insight.doctor.examination import Finding, Property, examine
from reformer.insight.doctor.loading import load_subject
from reformer.insight.doctor.properties import PROPERTIES
from reformer.insight.doctor.subject import SeriesSubject, Subject, TokenSubject, subject_of

__all__ = [
    "PROPERTIES",
    "Finding",
    "Property",
    "SeriesSubject",
    "Subject",
    "TokenSubject",
    "examine",
    "load_subject",
    "subject_of",
]
