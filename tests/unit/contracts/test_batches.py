"""A place in a batch: told by a header that anybody may send, so believed only of the job that it makes."""

import uuid

import pytest

from contracts import names
from contracts.batches import MOST_REQUESTS, Place, find_place, list_places, read_place
from contracts.records import JobRecord, encode_alike, encode_record, headers_of

BATCH = str(uuid.UUID(int=7))


def test_a_place_is_what_its_text_says() -> None:
    place = Place(BATCH, 2, 3)
    assert read_place(str(place)) == place
    assert find_place(place.job_id, {names.HEADER_BATCH: str(place)}) == str(place)
    record = JobRecord(place.job_id, "bootstrap", "admin", "", "", "", batch=str(place))
    assert headers_of(record)[names.HEADER_BATCH] == str(place), "it is published again with its place"


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{BATCH}/3/3",
        f"{BATCH}/0/0",
        f"{BATCH}/0/{MOST_REQUESTS + 1}",
        f"{BATCH}/00/3",
        f"{BATCH.upper()}/0/3".replace("0", "A", 1),
        f"{BATCH}/0/3\n",
        f"{'-' * 36}/0/3",
    ],
)
def test_other_texts_are_no_place(text: str) -> None:
    assert read_place(text) is None


@pytest.mark.parametrize("job_id", ["portal.order-1", "order-1", Place(BATCH, 1, 3).job_id])
def test_nobody_claims_a_place_in_the_batch_of_another(job_id: str) -> None:
    assert find_place(job_id, {names.HEADER_BATCH: f"{BATCH}/0/3"}) is None


def test_every_place_is_another_job() -> None:
    places = list_places(BATCH)
    assert len({place.job_id for place in places}) == MOST_REQUESTS
    assert all(names.is_job_id(place.job_id) for place in places)
    assert names.idempotent_batch_id("admin", "key") != names.idempotent_job_id("admin", "key")


@pytest.mark.parametrize("index", [0, 7, MOST_REQUESTS - 1])
def test_a_place_names_its_job_as_uuids_are_named(index: int) -> None:
    """By RFC 9562, version 5: whoever knows the batch can name its jobs with any library."""
    batch_id = str(uuid.uuid4())
    assert names.batch_job_id(batch_id, index) == str(uuid.uuid5(uuid.UUID(batch_id), str(index)))


def test_records_of_a_batch_are_as_if_each_were_made() -> None:
    made = [JobRecord(place.job_id, "bootstrap", "a", "", "", "", batch=str(place)) for place in list_places(BATCH, 3)]
    others = [{"job_id": one.job_id, "batch": one.batch} for one in made]
    assert list(encode_alike(made[0], others)) == [encode_record(one) for one in made]
