"""A page that shows what the machine it runs on is doing, live, and hands out the history.

    sampler.py   asks the machine (psutil)
    store.py     keeps the samples (SQLite)
    formats.py   what a sample in a file may hold, in each format
    archive.py   keeps imported histories, each in a file of its own
    imports.py   takes files in: upload, decoder, validation, batches
    app.py       the routes (Quart, rxstream, quart_adapter)
    static/      draws them (no build step, nothing from elsewhere)

`python -m examples.monitor` serves it.
"""
