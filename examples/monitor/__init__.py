"""A page that shows what the machine it runs on is doing, live, and hands out the history.

    sampler.py    asks the machine (psutil)
    store.py      keeps the samples (SQLite)
    formats.py    what a sample in a file may hold, in each format
    archive.py    keeps imported histories, each in a file of its own
    imports.py    takes files in: upload, decoder, validation, batches
    live.py       what pages are told as it happens
    latency.py    a source that can fail, and the circuit breaker around it
    lab.py        a stream to be read too slowly
    service.py    what runs while the app is served
    histories.py  routes of what was: exports, imports
    app.py        the app: the page, its feed, and all of the above put together
    static/       draws it (no build step, nothing from elsewhere)

`python -m examples.monitor` serves it.
"""
