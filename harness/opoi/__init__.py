"""`opoi`: a test bench for turning expert corrections of tool-using agents into fine-tuning data.

The map of the package is `opoi.pipeline`; the words it uses are `opoi.types`; what a plug-in has to
offer is `opoi.protocols`. Nothing is imported here, so that `import opoi` costs nothing.
"""

__version__ = "0.1.0"
