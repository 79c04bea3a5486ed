from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from vampnet.errors import JobError
from vampnet.generation.progress import Progress
from vampnet.jobs.table import (
    CANCELLED,
    DONE,
    FAILED,
    MAX_TRIES,
    QUEUED,
    RUNNING,
    JobTable,
    NewJob,
    QueueFull,
    UnknownJob,
    WorkerRow,
    new_id,
)
from vampnet.jobs.table_schema import MIGRATIONS, TableError


@pytest.fixture
def table(tmp_path: Path) -> JobTable:
    return JobTable(tmp_path / "jobs.db")


def put(table: JobTable, **fields: object) -> str:
    values = {"id": new_id(), "request": {"task": "vamp"}, "work": {"task": "vamp", "input": "/in"}, "outputs": ["/o"]}
    job, _ = table.submit(NewJob(**(values | fields)))  # type: ignore[arg-type]
    return job.id


def test_submitted_job_comes_back_as_it_was(table: JobTable) -> None:
    job_id = put(table, owner="ann", client="harp", request={"task": "vamp", "prompt": "periodic(7)"})
    job = table.get(job_id)
    assert (job.state, job.owner, job.client, job.tries, job.cancel) == (QUEUED, "ann", "harp", 0, False)
    assert job.request == {"task": "vamp", "prompt": "periodic(7)"}
    assert job.outputs == ("/o",)
    with pytest.raises(UnknownJob, match="no job 'nothing'"):
        table.get("nothing")


def test_same_idempotency_key_gives_the_same_job_to_its_owner_alone(table: JobTable) -> None:
    first = put(table, owner="ann", idempotency="k")
    assert put(table, owner="ann", idempotency="k") == first
    assert put(table, owner="bob", idempotency="k") != first


def test_queue_limit(table: JobTable) -> None:
    put(table)
    with pytest.raises(QueueFull, match="1 jobs are waiting"):
        table.submit(NewJob(id=new_id(), request={}, work={}, outputs=[]), max_queued=1)


def test_oldest_job_is_claimed_once(table: JobTable) -> None:
    first, second = put(table), put(table)
    assert [job.id for job in table.claim("w", 10)] == [first]
    assert [job.id for job in table.claim("w", 10)] == [second]
    assert table.claim("w", 10) == []
    assert table.get(first).state == RUNNING


def test_jobs_of_one_model_are_claimed_together(table: JobTable) -> None:
    a, b, _, d = put(table, model="m"), put(table, model="m"), put(table, model="other"), put(table, model="m")
    assert [job.id for job in table.claim("w", 10, limit=8)] == [a, b]  # in order: the third is not passed over
    assert [job.id for job in table.claim("w", 10, limit=8)] != [d]


def test_job_of_a_dead_worker_is_claimed_again_and_the_dead_one_can_no_longer_write(table: JobTable) -> None:
    job_id = put(table)
    (dead,) = table.claim("dead", 0.0)
    time.sleep(0.01)
    (again,) = table.claim("alive", 10)
    assert again.id == job_id and again.tries == 2
    assert table.command(dead) == "drop"
    assert not table.renew(dead, 10)
    assert not table.finish(dead, DONE, result={})
    table.progress(dead, Progress("coarse", 1, 2, 0.9))
    assert table.get(job_id).share == 0.0
    assert table.finish(again, DONE, result={"a": 1})
    assert table.get(job_id).result == {"a": 1}


def test_third_death_fails_the_job(table: JobTable) -> None:
    job_id = put(table)
    for _ in range(MAX_TRIES):
        assert len(table.claim("w", 0.0)) == 1
        time.sleep(0.01)
    assert table.claim("w", 10) == []
    job = table.get(job_id)
    assert job.state == FAILED and "3 times" in (job.error or "")


def test_cancel_of_a_queued_job_is_at_once_of_a_running_one_a_command(table: JobTable) -> None:
    queued = put(table)
    assert table.cancel(queued).state == CANCELLED
    running = put(table)
    (job,) = table.claim("w", 10)
    assert job.id == running and table.command(job) == "go"
    assert table.cancel(running).state == RUNNING
    assert table.command(job) == "cancel"
    table.finish(job, CANCELLED)
    assert table.cancel(running).state == CANCELLED  # again changes nothing


def test_cancelled_job_of_a_dead_worker_ends_as_cancelled(table: JobTable) -> None:
    job_id = put(table)
    table.claim("dead", 0.0)
    table.cancel(job_id)
    time.sleep(0.01)
    assert table.claim("w", 10) == []
    assert table.get(job_id).state == CANCELLED


def test_released_job_waits_again_and_the_try_does_not_count(table: JobTable) -> None:
    job_id = put(table)
    for _ in range(5):
        (job,) = table.claim("w", 10)
        assert table.release(job)
    assert (table.get(job_id).state, table.get(job_id).tries) == (QUEUED, 0)


def test_share_never_falls(table: JobTable) -> None:
    job_id = put(table)
    (job,) = table.claim("w", 10)
    table.progress(job, Progress("coarse", 3, 4, 0.6))
    table.progress(job, Progress("c2f", 0, 4, 0.5))
    assert (table.get(job_id).stage, table.get(job_id).share) == ("c2f", 0.6)


def test_changes_have_growing_numbers_that_deleting_does_not_lower(table: JobTable) -> None:
    first = put(table)
    number = table.last_change()
    assert table.changed_since(number) == []
    second = put(table)
    assert [job.id for job in table.changed_since(number)] == [second]
    number = table.last_change()
    table.delete(second)
    table.cancel(first)
    assert [job.id for job in table.changed_since(number)] == [first]


def test_renewing_a_lease_is_no_change(table: JobTable) -> None:
    put(table)
    (job,) = table.claim("w", 10)
    number = table.last_change()
    assert table.renew(job, 10)
    assert table.last_change() == number


def test_list_is_newest_first_and_can_be_narrowed(table: JobTable) -> None:
    ids = [put(table, owner=owner) for owner in ("ann", "bob", "ann")]
    assert [job.id for job in table.list()] == ids[::-1]
    assert [job.id for job in table.list(owner="ann")] == [ids[2], ids[0]]
    assert [job.id for job in table.list(limit=1)] == [ids[2]]
    assert [job.id for job in table.list(before=table.get(ids[1]).created)] == [ids[0]]
    table.cancel(ids[1])
    assert [job.id for job in table.list(state=CANCELLED)] == [ids[1]]
    assert table.counts() == {"queued": 2, "running": 0, "done": 0, "failed": 0, "cancelled": 1}
    assert table.position(table.get(ids[2])) == 1


def test_workers_that_did_not_report_lately_are_left_out(table: JobTable) -> None:
    table.report_worker(WorkerRow("a", 1, "ready", "default", "", time.time()))
    table.report_worker(WorkerRow("b", 2, "ready", "default", "", time.time() - 100))
    assert [worker.id for worker in table.workers()] == ["a"]


def test_table_of_a_newer_version_is_refused_and_an_empty_file_migrated(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    sqlite3.connect(path).close()
    JobTable(path).close()
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        database.execute("PRAGMA user_version=99")
    with pytest.raises(JobError, match="newer vampnet"):
        JobTable(path)


def test_file_that_is_no_table_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(JobError, match="cannot be used as a job table"):
        JobTable(tmp_path / "jobs.db")


def test_a_table_of_the_first_version_is_migrated_with_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with sqlite3.connect(path) as database:
        database.executescript(MIGRATIONS[0] + "PRAGMA user_version=1;")
        database.execute(
            "INSERT INTO jobs (id, created, state, request, work, outputs, owner, client, model)"
            " VALUES ('a', 1, 'done', '{}', '{}', '[\"x.wav\"]', '', 'api', '')"
        )
    table = JobTable(path)
    assert table.get("a").outputs == ("x.wav",) and table.ends() == [("a", 1.0)]
    table.execute("INSERT INTO takes (id, project, job, number, created) VALUES ('t', 'p', 'a', 1, 1)")
    assert table.ends() == [] and table.kept_ids() == {"a"}
    table.delete("a")
    assert table.kept_ids() == set()


def test_a_full_disk_is_one_line_and_the_table_works_again_afterwards(table: JobTable) -> None:
    kept, pages = put(table), table.execute("PRAGMA page_count")[0][0]
    table.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(JobError, match="the job table cannot be used: database or disk is full"):
        put(table, request={"task": "x" * 100_000})
    assert table.get(kept).state == QUEUED
    table.execute(f"PRAGMA max_page_count={1 << 20}")
    assert table.get(put(table, request={"task": "x" * 100_000})).state == QUEUED


def test_a_commit_that_fails_leaves_no_transaction_open(table: JobTable) -> None:
    class FailingCommit:
        def execute(self, query: str, *values: object) -> object:
            if query == "COMMIT":
                raise TableError("the job table cannot be used: disk I/O error")
            return database.execute(query, *values)

    database, table._db = table._db, FailingCommit()  # type: ignore[assignment]
    with pytest.raises(TableError):
        put(table)
    table._db = database
    assert not table.counts() or sum(table.counts().values()) == 0
    assert table.get(put(table)).state == QUEUED
