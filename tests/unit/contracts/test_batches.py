"""A place in a batch: told by a header that anybody may send, so believed only of the job that it makes."""

import uuid

import pytest

from contracts import names
from contracts.batches import MOST_REQUESTS, Place, find_place, list_places, read_place
from contracts.records import headers_of, queued_record

BATCH = str(uuid.UUID(int=7))


def test_a_place_is_what_its_text_says() -> None:
    place = Place(BATCH, 2, 3)
    assert read_place(str(place)) == place
    assert find_place(place.job_id, {names.HEADER_BATCH: str(place)}) == str(place)
    record = queued_record(place.job_id, "bootstrap", "admin", "", "", "", batch=str(place))
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
