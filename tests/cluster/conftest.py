"""An object store on this machine, for the tests behind the marker `cluster`."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of an empty bucket, whose server every process finds by its environment."""
    server_module = pytest.importorskip("moto.server")
    fsspec = pytest.importorskip("fsspec")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # An earlier module's client is kept under the same name, and knows a server that is gone.
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        bucket = fsspec.filesystem("s3")
        bucket.mkdir("studies")
        yield "s3://studies"
        bucket.rm("studies", recursive=True)  # servers of one process share what they keep
    server.stop()
