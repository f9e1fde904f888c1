"""What the index finds: terms, vectors, filters, order, and nothing of anybody else's."""

from memory.model import START, Owner


def test_a_recorded_message_is_found_by_word_and_by_vector(house, bag, ann, everything) -> None:
    record = house.record()
    first, second = record.add(ann, "the cat sleeps on the piano", "we fly to Lisbon in May")
    writer = house.running(record, bag)
    assert writer.wait_until_caught_up(20)
    index = house.index(bag, record.store)
    assert [found for found, _ in index.keyword_candidates(ann, everything, ["lisbon"], 10)] == [second]
    ranked = index.vector_candidates(ann, everything, bag.embed_query("the cat sleeps on the piano"), 10)
    assert [found for found, _ in ranked] == [first, second]
    assert abs(ranked[0][1] - 1.0) < 1e-5
    assert index.position("keywords") == index.position("vectors") == record.store.head() != START
    assert index.keyword_candidates(Owner("t", "bob"), everything, ["lisbon"], 10) == []
