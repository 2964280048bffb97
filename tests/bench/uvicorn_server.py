"""uvicorn as `riskengine serve` runs it, for the servers that it is compared with: one worker, uvloop, httptools."""

import uvicorn
from fastapi import FastAPI


def serve(app: FastAPI, port: int) -> None:
    """Serve on loopback until a signal."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
    )
