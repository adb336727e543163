"""What a user may type as an address, and what is said of what is none."""

import pytest

from basis.errors import UserError
from basis.stored.address import is_address, parse_address


def test_an_address_has_a_bucket_a_path_and_options() -> None:
    typed = "s3://bucket/a/b c?endpoint_override=http://127.0.0.1:9000&region=eu"
    address = parse_address("--output", typed)
    assert (address.scheme, address.bucket, address.path) == ("s3", "bucket", "bucket/a/b c")
    assert address.option("endpoint_override") == "http://127.0.0.1:9000"
    assert str(address) == "s3://bucket/a/b c"
    assert address.typed == typed
    assert (
        parse_address("--output", "abfs://box@account.dfs.core.windows.net/a").bucket
        == "box@account.dfs.core.windows.net"
    )


@pytest.mark.parametrize("text", ["experiments/one", "/a/b", "~/x", "C", "a:b/c"])
def test_a_path_is_no_address(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s4://bucket/a", "unknown scheme s4; accepted: a folder, or one of s3://, gs://, abfs://"),
        ("s3://bucket", "names no folder in a bucket; accepted: s3://BUCKET/PATH"),
        ("s3:///a", "names no folder in a bucket"),
        ("s3://bucket/a/../b", "names no folder in a bucket"),
        ("s3://bucket/a?retries=3", "unknown option retries=3; accepted: endpoint_override, region, scheme"),
        ("gs://bucket/a?region=eu", "unknown option region=eu; accepted: endpoint_override, scheme"),
        ("s3://bucket/a?region", "is no address"),
        ("s3://[bucket/a", "is no address"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_in_a_line(text: str, said: str) -> None:
    assert is_address(text)
    with pytest.raises(UserError, match=r"^--output ") as told:
        parse_address("--output", text)
    assert said in str(told.value)


def test_keys_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="has keys in it") as told:
        parse_address("--output", "s3://AKIA:verysecret@bucket/a")
    assert "verysecret" not in str(told.value)
