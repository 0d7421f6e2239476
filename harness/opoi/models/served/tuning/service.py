"""The endpoints: files, fine-tuning jobs, their events and checkpoints, and the models that they made.

    POST GET    /v1/files                                 upload, list
    GET DELETE  /v1/files/{id}, GET /v1/files/{id}/content
    POST GET    /v1/fine_tuning/jobs                      create, list
    GET         /v1/fine_tuning/jobs/{id}                 and /events, /checkpoints
    POST        /v1/fine_tuning/jobs/{id}/cancel          and /pause, /resume
    DELETE      /v1/models/{id}                           of a tuned model

There is no clock and no worker behind the scenes. A job moves on when it is looked at, that is each time it
is retrieved or the first page of its events is asked for, and the answer shows it after the move:

    validating_files -> queued -> running -> ... one epoch a look ... -> succeeded

so that a job of `n` epochs has succeeded at the look `n + 2`. Failing files end it at the first look. Times
are counts of what happened on this server, from 0.
"""

from __future__ import annotations

import re
import threading
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from opoi.models.served.language import LanguageModel
from opoi.models.served.requests import RefusedError
from opoi.models.served.tuning.clock import Clock
from opoi.models.served.tuning.examples import Dialogue, InvalidFileError, read_dialogues, warnings
from opoi.models.served.tuning.files import FileStore, StoredFile, read_body, read_upload
from opoi.models.served.tuning.jobs import Checkpoint, Event, Job, results
from opoi.models.served.tuning.limits import Limits
from opoi.models.served.tuning.paging import page
from opoi.models.served.tuning.request import JobRequest, read_job
from opoi.models.served.tuning.training import Training, plan

__all__ = ["Tuning"]

_LONGEST_REQUEST = 2**20
"""Most bytes of a request for a job."""

_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)


class Tuning:
    """The files, jobs and tuned models of one server: in memory, bounded, safe to use from several threads.

    Args:
        base: Name of the model that is served.
        language: What tuning starts from; it is copied, never changed.
        limits: How much is kept.
    """

    def __init__(self, base: str, language: LanguageModel, limits: Limits | None = None) -> None:
        self._base = base
        self._limits = limits or Limits()
        self._clock = Clock()
        self._files = FileStore(self._clock, self._limits)
        self._lock = threading.Lock()  # guards what follows, jobs included
        self._languages = {base: language}
        self._jobs: dict[str, Job] = {}

    def models(self) -> list[str]:
        """Return the names of all tuned models and kept checkpoints, oldest first."""
        with self._lock:
            return [name for name in self._languages if name != self._base]

    def language_of(self, name: str) -> LanguageModel | None:
        """Return the language model of the base or of a tuned model, None for any other name."""
        with self._lock:
            return self._languages.get(name)

    def routes(self) -> list[Route]:
        """Return the endpoints. They raise `RefusedError`, which the application turns into error bodies."""
        jobs = "/v1/fine_tuning/jobs"
        return [
            Route("/v1/files", self._upload, methods=["POST"]),
            Route("/v1/files", self._list_files, methods=["GET"]),
            Route("/v1/files/{id}", self._get_file, methods=["GET"]),
            Route("/v1/files/{id}", self._delete_file, methods=["DELETE"]),
            Route("/v1/files/{id}/content", self._get_content, methods=["GET"]),
            Route(jobs, self._create, methods=["POST"]),
            Route(jobs, self._list_jobs, methods=["GET"]),
            Route(f"{jobs}/{{id}}", self._get_job, methods=["GET"]),
            Route(f"{jobs}/{{id}}/events", self._list_events, methods=["GET"]),
            Route(f"{jobs}/{{id}}/checkpoints", self._list_checkpoints, methods=["GET"]),
            Route(f"{jobs}/{{id}}/{{verb:str}}", self._command, methods=["POST"]),
            Route("/v1/models/{id:path}", self._delete_model, methods=["DELETE"]),
        ]

    # ------------------------------------------------------------ files

    async def _upload(self, request: Request) -> Response:
        body = await read_body(request, self._limits.bytes)
        name, purpose, content = await read_upload(request.headers, body)
        return _json((await run_in_threadpool(self._files.add, name, purpose, content)).card())

    def _list_files(self, request: Request) -> Response:
        query = request.query_params
        files = self._files.all(purpose=query.get("purpose"), order=query.get("order", "desc"))
        return _json(page(files, query, StoredFile.card, id_of=_id, default=10_000, most=10_000))

    def _get_file(self, request: Request) -> Response:
        return _json(self._files.named(request.path_params["id"]).card())

    def _get_content(self, request: Request) -> Response:
        file = self._files.named(request.path_params["id"])
        return Response(file.content, media_type="application/octet-stream")

    def _delete_file(self, request: Request) -> Response:
        id = request.path_params["id"]
        self._files.delete(id)
        return _json({"id": id, "object": "file", "deleted": True})

    # ------------------------------------------------------------ jobs

    async def _create(self, request: Request) -> Response:
        asked = read_job(await read_body(request, _LONGEST_REQUEST))
        return _json(await run_in_threadpool(self._created, asked))

    def _created(self, asked: JobRequest) -> dict[str, Any]:
        size = len(self._tunable(asked.training_file, "training_file").content)
        if asked.validation_file is not None:
            size += len(self._tunable(asked.validation_file, "validation_file").content)
        with self._lock:
            language = self._languages.get(asked.model)
            if language is None:
                raise RefusedError(
                    f"the model {asked.model!r} does not exist or cannot be tuned; there is {self._base!r}",
                    param="model",
                    code="model_not_available",
                )
            self._refuse_too_much(size)
            job = Job(asked, base=self._base, language=language, size=size, clock=self._clock)
            self._jobs[job.id] = job
            return job.card()

    def _tunable(self, id: str, param: str) -> StoredFile:
        """Return a file to tune on."""
        file = self._files.get(id)
        if file is None:
            raise RefusedError(f"there is no file {id!r}", param=param, code="file_not_found")
        if file.purpose != "fine-tune":
            raise RefusedError(
                f"the file {id!r} was uploaded for {file.purpose!r}, not for 'fine-tune'",
                param=param,
                code="invalid_purpose",
            )
        return file

    def _refuse_too_much(self, size: int) -> None:
        kept = [job.size for job in self._jobs.values() if not job.over or self._keeps_a_model_of(job)]
        most = self._limits
        if len(self._jobs) >= most.jobs or size + sum(kept) > most.learned:
            raise RefusedError(
                f"the server takes at most {most.jobs} jobs, and {most.learned} bytes of their files until"
                " tuned models are deleted",
                status=413,
                code="job_limit_exceeded",
            )

    def _keeps_a_model_of(self, job: Job) -> bool:
        return any(name in self._languages for name in job.models)

    def _job(self, id: str) -> Job:
        """Return a job; the lock is held by the caller."""
        job = self._jobs.get(id)
        if job is None:
            raise RefusedError(
                f"there is no fine-tuning job {id!r}",
                status=404,
                param="fine_tune_id",
                code="fine_tune_not_found",
            )
        return job

    def _list_jobs(self, request: Request) -> Response:
        query = request.query_params
        with self._lock:
            jobs = [job for job in reversed(self._jobs.values()) if _noted(job, query)]
            return _json(page(jobs, query, Job.card, id_of=_id, default=20, most=100))

    def _get_job(self, request: Request) -> Response:
        job = self._looked_at(request.path_params["id"])
        with self._lock:
            return _json(job.card())

    def _list_events(self, request: Request) -> Response:
        id, query = request.path_params["id"], request.query_params
        if not query.get("after"):
            self._looked_at(id)
        with self._lock:
            events = self._job(id).events[::-1]
        return _json(page(events, query, lambda event: event.card(), id_of=_id, default=20, most=100))

    def _list_checkpoints(self, request: Request) -> Response:
        query = request.query_params
        with self._lock:
            checkpoints = self._job(request.path_params["id"]).checkpoints[::-1]
        return _json(page(checkpoints, query, lambda point: point.card(), id_of=_id, default=10, most=100))

    def _command(self, request: Request) -> Response:
        id, verb = request.path_params["id"], request.path_params["verb"]
        with self._lock:
            job = self._job(id)
            if verb not in ("cancel", "pause", "resume"):
                raise RefusedError(f"a job cannot be told to {verb!r}", status=404, code="unknown_url")
            idle = verb != "cancel" and job.paused is (verb == "pause")
            if job.over or idle:
                state = job.status if job.over else "paused" if job.paused else "not paused"
                raise RefusedError(
                    f"the job {id!r} is {state}: it cannot be told to {verb}", code="invalid_job_state"
                )
            if verb == "cancel":
                job.cancel()
            else:
                job.paused = verb == "pause"
                job.tell(f"The job was {verb}d")
            return _json(job.card())

    # ------------------------------------------------------------ moving on

    def _looked_at(self, id: str) -> Job:
        """Move a job on by one and return it."""
        with self._lock:
            job = self._job(id)
        with job.working:  # the work itself is done without the lock of the store
            if job.paused or job.over:
                return job
            if job.status == "validating_files":
                self._validate(job)
            elif job.status == "queued":
                self._start(job)
            elif job.training is not None:
                self._epoch(job, job.training)
        return job

    def _validate(self, job: Job) -> None:
        try:
            training, notes = self._prepared(job)
        except InvalidFileError as error:
            with self._lock:
                if not job.over:  # it may have been cancelled meanwhile
                    job.fail(error.code, error.message, error.param)
            return
        with self._lock:
            if not job.over:
                job.queue(training, notes)

    def _prepared(self, job: Job) -> tuple[Training, list[str]]:
        asked = job.request
        train = self._dialogues(asked.training_file, "training_file")
        valid = []
        if asked.validation_file is not None:
            valid = self._dialogues(asked.validation_file, "validation_file")
        training = Training(job.language, train, valid, plan(asked.hyperparameters, len(train)), job.seed)
        if training.total_steps > self._limits.steps:
            raise InvalidFileError(
                "invalid_hyperparameters",
                f"{training.total_steps} steps are more than {self._limits.steps}: take larger batches",
                "hyperparameters",
            )
        return training, warnings(train, valid)

    def _dialogues(self, id: str, param: str) -> list[Dialogue]:
        file = self._files.get(id)
        if file is None:
            raise InvalidFileError("file_not_found", f"the file {id!r} was deleted", param)
        return read_dialogues(file.content, param)

    def _start(self, job: Job) -> None:
        with self._lock:
            if not job.over:
                job.start()

    def _epoch(self, job: Job, training: Training) -> None:
        steps, language = training.epoch()
        with self._lock:
            if job.over:
                return
            self._languages[job.learned(training, steps).model] = language
            for old in job.forget(self._limits.checkpoints):
                self._languages.pop(old.model, None)
            if training.done:
                name = f"results-{job.id}.csv"
                file = self._files.add(name, "fine-tune-results", results(job.steps), bounded=False)
                job.succeed(training.tokens, file.id)

    # ------------------------------------------------------------ models

    def _delete_model(self, request: Request) -> Response:
        id = request.path_params["id"]
        with self._lock:
            if id == self._base or self._languages.pop(id, None) is None:
                raise RefusedError(
                    f"there is no tuned model {id!r}", status=404, param="model", code="model_not_found"
                )
        return _json({"id": id, "object": "model", "deleted": True})


def _id(item: StoredFile | Job | Event | Checkpoint) -> str:
    return item.id


def _noted(job: Job, query: QueryParams) -> bool:
    """Tell whether a job has the metadata that a query asks for: `metadata[key]=value`, `metadata=null`."""
    if query.get("metadata") == "null" and job.request.metadata is not None:
        return False
    notes = job.request.metadata or {}
    asked = [(found[1], value) for key, value in query.multi_items() if (found := _METADATA.fullmatch(key))]
    return all(notes.get(key) == value for key, value in asked)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
