"""Options that both web servers have: where they listen, how they are reached, who may sign in."""

from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[str, typer.Option(help="The address to listen at; 127.0.0.1 is this machine alone.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen at.")]
OpenId = Annotated[
    str | None, typer.Option(help="The OpenID provider (its issuer's address) that people may sign in at.")
]
OpenIdClient = Annotated[
    str, typer.Option(help="What this server is called there; its secret, if any: RADLLAMA_OPENID_SECRET.")
]
SessionHours = Annotated[float, typer.Option(min=0.01, max=720, help="Until people must sign in again.")]
TlsCert = Annotated[Path | None, typer.Option(help="The certificate chain, as PEM.")]
TlsKey = Annotated[Path | None, typer.Option(help="Its private key, as PEM.")]
Proxies = Annotated[
    list[str] | None,
    typer.Option(help="The address of a reverse proxy whose X-Forwarded headers are true; repeat."),
]
AllowedHosts = Annotated[list[str] | None, typer.Option(help="A name under which browsers reach this server; repeat.")]
