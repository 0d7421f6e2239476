"""The figures for people: tables in a terminal, and one HTML file with plots and sample traces."""

from opoi.report.html import Sample, render
from opoi.report.tables import Cell, Table, build_tables
from opoi.report.terminal import print_report

__all__ = ["Cell", "Sample", "Table", "build_tables", "print_report", "render"]
