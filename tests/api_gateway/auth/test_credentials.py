from __future__ import annotations

from api_gateway.auth import credentials


def test_a_made_key_is_taken_apart_again() -> None:
    made = credentials.new_credential()
    assert credentials.parse(str(made)) == made


def test_the_same_secret_has_another_hash_under_another_salt() -> None:
    first, second = credentials.new_salt(), credentials.new_salt()
    assert credentials.hash_secret("s", first) != credentials.hash_secret("s", second)


def test_only_the_right_secret_matches() -> None:
    salt = credentials.new_salt()
    stored = credentials.hash_secret("right", salt)
    assert credentials.matches("right", salt, stored)
    assert not credentials.matches("wrong", salt, stored)
