"""OpenAI's files and fine-tuning jobs, served: uploads are checked, jobs learn, tuned models answer."""

from opoi.models.served.tuning.service import Tuning

__all__ = ["Tuning"]
