"""What stands before every HTTP part of ours: limits that hold before a byte of a request is interpreted.

`middleware.HttpLimits` goes around an ASGI application, `server.LimitedServer` is uvicorn with a bound on its
connections and deadlines for their headers; the other modules are what those two are made of. All but
`server` need nothing beyond the standard library. Every
part that serves HTTP may import it; it imports `common` alone.
"""
