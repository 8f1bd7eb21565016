"""nginx as a shared cache in front of the gateway: what it keeps, and what it never does."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path

import httpx

from tests.end_to_end.program import serving
from tests.missing import skip_or_fail

CONFIG = """
user {user}; pid {folder}/pid; error_log {folder}/error.log; daemon off; worker_processes 1;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  proxy_cache_path {folder}/cache keys_zone=calls:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {gateway}; proxy_cache calls; proxy_cache_key $uri$is_args$args;
      proxy_cache_revalidate on; add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""


@contextmanager
def nginx(gateway: str, folder: Path) -> Iterator[httpx.Client]:
    """A client of a cache in front of a gateway."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        skip_or_fail("nginx is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "conf").write_text(
        CONFIG.format(folder=folder, port=port, gateway=gateway, user=getuser())
    )
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "conf")])  # noqa: S603
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            for _ in range(200):
                try:
                    client.get("/healthz")
                    break
                except httpx.ConnectError:
                    time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait()


def ask(client: httpx.Client, query: str, **headers: str) -> tuple[str, httpx.Response]:
    """What the cache says of a query by GET, and the response."""
    response = client.get("/graphql", params={"query": query}, headers=headers)
    assert response.status_code == 200, response.text
    assert "errors" not in response.json()
    return response.headers["x-cache"], response


def test_a_final_call_is_fetched_once_and_a_live_one_every_time(tmp_path: Path) -> None:
    with serving("--port", "0", until="GraphiQL", GATEWAY_CACHE_CONTROL="public") as server:
        page = server.ask("{ calls(first: 60) { nodes { sid status price } } }")
        calls = page["calls"]["nodes"]
        final = next(one["sid"] for one in calls if one["price"])
        live = next(one["sid"] for one in calls if one["status"] == "IN_PROGRESS")
        with nginx(server.url, tmp_path) as client:
            seen = {
                text: [ask(client, text)[0] for _ in range(3)]
                for text in (
                    f'{{ call(sid: "{final}") {{ status price }} }}',
                    f'{{ call(sid: "{live}") {{ status }} }}',
                    f'{{ call(sid: "{final}") {{ to }} }}',
                    "{ calls { nodes { sid } } }",
                )
            }
            explained, response = ask(client, next(iter(seen)), **{"Gateway-Explain": "totals"})

    once, live_, personal, newest = seen.values()
    assert once == ["MISS", "HIT", "HIT"]
    assert live_ == personal == newest == ["MISS"] * 3
    assert explained == "MISS"
    assert "upstream" in response.json()["extensions"]
