"""The figures for people: tables in a terminal, and one HTML file with plots and sample traces."""

from opoi.report.contents import report_tables
from opoi.report.html import Sample, render
from opoi.report.tables import Cell, Table
from opoi.report.terminal import print_report

__all__ = ["Cell", "Sample", "Table", "print_report", "render", "report_tables"]
